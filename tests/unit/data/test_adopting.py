"""Files are registered where they lie: whole products, on the disk, and each file once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from euclid_dask.api.data import DataSettings, ingest
from euclid_dask.core.errors import InputError, StoppedError
from euclid_dask.data import adopting
from euclid_dask.data.adopting import Adopted, adopt
from euclid_dask.data.model import Access, FileState, Storage
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.unruled import UNRULED
from euclid_dask.data.rules import Rule, Selector
from euclid_dask.data.ruling import Ruling
from euclid_dask.data.storage import MARKER, StorageError
from euclid_dask.data.survey import Find, survey

PRODUCT = """<DpdTest><Header><ProductId>{id}</ProductId></Header><Data>{files}</Data></DpdTest>"""
CONTAINER = (
    """<DataContainer filestatus="PROPOSED" {more}><FileName>{name}</FileName></DataContainer>"""
)
WRONG = 'checksumMethod="MD5" checksumValue="00000000000000000000000000000000"'


class World:
    """A registry, and storages in directories."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = Registry(folder / "registry.db")
        for name in ("a", "b", "run"):
            (folder / name).mkdir()
            (folder / name / MARKER).write_text(name)
            self.registry.storages.put(Storage(name=name, marker=name, durable=name != "run"))
            self.registry.storages.put_access(
                [Access(storage=name, zone="z", root=f"file://{folder / name}")]
            )

    def write(self, place: str, content: str = "x") -> Path:
        path = self.folder / place
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(content)
        return path

    def product(self, number: int, *files: str, more: str = "") -> None:
        first = CONTAINER.format(name=files[0], more=more)
        containers = first + "".join(CONTAINER.format(name=name, more="") for name in files[1:])
        self.write(f"a/{number}.xml", PRODUCT.format(id=number, files=containers))

    def find(self, *places: str) -> Find:
        accesses = self.registry.storages.accesses("z")
        paths = [self.folder / place for place in places]
        return survey(paths, self.registry.storages.all(), accesses)

    def adopt(self, *places: str) -> Adopted:
        return adopt(self.registry, self.find(*places))

    def states(self) -> dict[str, FileState]:
        names = [path.name for path in self.folder.rglob("*") if path.is_file()]
        return {name: file.state for name, file in self.registry.files(names).items()}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.registry.close()


def test_one_file_is_no_two_copies(world: World) -> None:
    first = world.write("a/x.fits")
    assert world.adopt("a").problems == ()
    os.link(first, world.folder / "b/x.fits")
    (problem,) = world.adopt("b").problems
    assert problem.endswith(f"b/x.fits is {first} in a: one file counts as one copy")
    assert [one.storage for one in world.registry.locate(["x.fits"])["x.fits"]] == ["a"]
    (world.folder / "b/x.fits").unlink()
    world.write("b/x.fits")
    assert world.adopt("b").problems == ()
    assert len(world.registry.locate(["x.fits"])["x.fits"]) == 2


def test_an_output_that_was_linked_into_the_archive_counts_where_it_does_not_last(
    world: World,
) -> None:
    first = world.write("a/x.fits")
    world.adopt("a")
    os.link(first, world.folder / "run/x.fits")
    assert world.adopt("run").problems == ()


def test_a_product_is_registered_with_all_its_files_or_not_at_all(world: World) -> None:
    world.write("a/data/good.fits")
    world.write("a/data/bad.fits")
    world.write("a/data/shared.fits")
    world.write("a/alone.txt")
    world.product(1, "good.fits", "shared.fits")
    world.product(2, "bad.fits", "shared.fits", more=WRONG)
    world.product(3, "shared.fits")
    adopted = world.adopt("a")
    assert len(adopted.problems) == 1
    assert "bad.fits is not what its product says: md5" in adopted.problems[0]
    with pytest.raises(InputError, match=r"all was registered but what follows:\n.*bad\.fits"):
        adopted.check()
    assert set(world.states()) == {"good.fits", "shared.fits", "alone.txt", "1.xml", "3.xml"}
    assert set(world.registry.products(["1", "2", "3"])) == {"1", "3"}


def test_what_is_refused_keeps_no_other_from_being_registered(world: World) -> None:
    world.write("b/07.fits", "another content")
    world.adopt("b")
    for number in range(20):
        world.write(f"a/{number:02}.fits")
    (world.folder / "a/13.fits").chmod(0)
    adopted = world.adopt("a")
    wrong = (
        {"07.fits"} if os.access(world.folder / "a/13.fits", os.R_OK) else {"07.fits", "13.fits"}
    )
    assert len(adopted.problems) == len(wrong)
    assert all(any(name in told for told in adopted.problems) for name in wrong)
    kept = {f"{number:02}.fits" for number in range(20)} - wrong
    assert {one for one, there in world.registry.locate(kept).items() if there} == kept


def test_what_cannot_be_looked_at_is_told_before_anything_is_read(world: World) -> None:
    (world.folder / "a/gone.fits").symlink_to("nowhere.fits")
    (world.folder / "a/loop.fits").symlink_to("loop.fits")
    with pytest.raises(InputError) as told:
        world.find("a")
    assert "gone.fits cannot be looked at: No such file" in told.value.message
    assert "loop.fits cannot be looked at: Too many levels" in told.value.message


def test_a_file_that_is_met_more_than_once_is_looked_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lstat, looks = os.lstat, list[str]()

    def counting(path: str) -> os.stat_result:
        looks.append(str(path))
        return lstat(path)

    world.write("a/data/x.fits")
    world.product(1, "x.fits")
    world.product(2, "x.fits")
    monkeypatch.setattr(os, "lstat", counting)
    found = world.find("a", "a/2.xml", "a/data/../data")
    monkeypatch.undo()
    assert {one.place for one in found.files} == {"1.xml", "2.xml", "data/x.fits"}
    for one in found.files:
        assert looks.count(one.path) == 1


def test_links_are_followed_to_where_files_are_but_not_out_of_the_storages(world: World) -> None:
    world.write("b/deep/x.fits")
    world.write("outside/y.fits")
    world.write("ab/z.fits")  # a folder that only begins as the root of a storage
    (world.folder / "a/x.fits").symlink_to(world.folder / "b/deep/x.fits")
    (found,) = world.find("a").files
    assert (found.storage, found.place) == ("b", "deep/x.fits")
    for target in ("outside/y.fits", "ab/z.fits"):
        link = world.folder / "a" / Path(target).name
        link.symlink_to(world.folder / target)
        with pytest.raises(InputError, match=f"{link} is in no storage"):
            world.find("a")
        link.unlink()
    (world.folder / "a/data").symlink_to(world.folder / "outside")
    world.product(1, "y.fits")
    with pytest.raises(InputError, match=r"a/data/y\.fits is in no storage"):
        world.find("a")


def test_a_file_of_a_product_that_is_a_link_to_one_of_another_name_is_told(world: World) -> None:
    world.write("a/store/y.fits")
    (world.folder / "a/x.fits").symlink_to("store/y.fits")
    world.product(1, "x.fits")
    with pytest.raises(InputError, match=r"a/x\.fits, which .*1\.xml names, .* to a file y\.fits"):
        world.find("a")


def test_a_product_that_is_given_by_a_link_is_registered_by_its_name(world: World) -> None:
    world.write("a/x.fits")
    world.product(1, "x.fits")
    (world.folder / "a/1.xml").rename(world.write("a/store/2.xml"))
    (world.folder / "a/1.xml").symlink_to("store/2.xml")
    assert world.adopt("a/1.xml").problems == ()
    assert set(world.states()) == {"2.xml", "x.fits"}


def test_what_is_below_the_folder_one_is_in_is_told_as_it_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write("a/2026/none")
    world.write("a/x.fits")
    monkeypatch.chdir(world.folder / "a")
    with pytest.raises(InputError, match=r"\n  2026/none: its name stands for no file\n"):
        survey([Path()], world.registry.storages.all(), world.registry.storages.accesses("z"))


def test_a_folder_that_cannot_be_looked_into_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    world.write("a/closed/x.fits")
    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(InputError, match="closed cannot be looked into: Permission denied"):
        world.find("a")


def test_what_is_registered_is_on_the_disk_and_its_name_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = set[Path]()
    for name in ("sync_file", "sync_directory"):
        monkeypatch.setattr(adopting, name, lambda path: synced.add(Path(path)))
    files = {world.write(f"a/2026/{number % 3}/{number}.fits") for number in range(20)}
    world.adopt("a")
    top = world.folder / "a"
    assert synced == files | {top / f"2026/{number}" for number in range(3)} | {top / "2026", top}
    synced.clear()
    assert world.adopt("a").read == 0
    assert synced == set()


def test_a_disk_that_does_not_take_a_file_has_no_replica_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sync(path: str) -> None:
        if path.endswith("/13.fits"):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(adopting, "sync_file", sync)
    for number in range(20):
        world.write(f"a/{number}.fits")
    with pytest.raises(StorageError, match=r"a/13\.fits: Input/output error"):
        world.adopt("a")
    assert world.states() == {}


def test_a_disk_that_goes_away_while_it_is_read_has_nothing_registered(world: World) -> None:
    world.write("a/x.fits")
    found = world.find("a")
    (world.folder / "a" / MARKER).write_text("another")
    with pytest.raises(StorageError, match="not 'a'"):
        adopt(world.registry, found)
    assert world.states() == {}


def test_what_is_new_waits_for_the_rules_and_is_not_removed_before(world: World) -> None:
    world.write("a/data/x.fits")
    world.write("a/alone.txt")
    world.product(1, "x.fits")
    rule = Rule(name="keep", select=Selector(names=("*.fits",)), places="tier=disk")
    world.registry.storages.put(Storage(name="b", marker="b", labels={"tier": "disk"}))
    world.registry.rules.put(rule)
    world.adopt("a")
    assert sorted(world.registry.unruled.page(10)) == ["1.xml", "alone.txt", "x.fits"]
    assert world.registry.pins.owners("x.fits") == [UNRULED]
    Ruling(world.registry).catch_up()
    assert world.registry.unruled.page(10) == []
    assert [one.destination for one in world.registry.transfers.active()] == ["b"]
    assert world.adopt("a").read == 0
    assert world.registry.unruled.page(10) == []


def test_a_rule_that_ends_meanwhile_does_not_make_the_files_wrong(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(_: Ruling) -> None:
        raise InputError("rule keep has ended")

    monkeypatch.setattr(Ruling, "catch_up", end)
    path = world.write("a/x.fits")
    world.registry.close()
    address = str(world.folder / "registry.db")
    with pytest.raises(StoppedError, match="rule keep has ended"):
        ingest(DataSettings(registry=address, zone="z"), [path])
    world.registry = Registry(address)
    assert world.states() == {"x.fits": FileState.COMMITTED}


def test_the_files_of_a_product_that_is_new_are_new_to_rules_again(world: World) -> None:
    world.write("a/data/x.fits")
    world.adopt("a")
    Ruling(world.registry).catch_up()
    world.product(1, "x.fits")
    assert world.adopt("a").read == 1
    assert sorted(world.registry.unruled.page(10)) == ["1.xml", "x.fits"]
    Ruling(world.registry).apply_all()
    assert world.registry.unruled.page(10) == []
