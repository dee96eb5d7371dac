"""From a folder of products to replicas elsewhere, by commands as a user would give them."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from centres import Centre

from euclid_dask.api.data import Way
from euclid_dask.data.model import Access
from euclid_dask.data.registry import Registry
from euclid_dask.data.rules import Rule, Selector

PRODUCT = """\
<p:DpdVisRawFrame xmlns:p="http://ecdm.euclid-ec.org/schema/dpd/vis/rawframe">
  <Header>
    <ProductId>frame-{number}</ProductId><DataSetRelease>R1</DataSetRelease>
  </Header>
  <Data>
    <ObservationSequence><ObservationId>{number}</ObservationId></ObservationSequence>
    <DataStorage format="vis.raw" version="0.1">
      <DataContainer filestatus="PROPOSED"><FileName>frame-{number}.fits</FileName></DataContainer>
    </DataStorage>
  </Data>
</p:DpdVisRawFrame>
"""


@pytest.fixture
def centre(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Centre:
    """Return a centre with two products in `archive`, and nothing in `scratch`."""
    monkeypatch.setenv("EUCLID_DASK_REGISTRY", str(tmp_path / "r.sqlite"))
    monkeypatch.chdir(tmp_path)
    found = Centre(tmp_path)
    (found.archive / "raw" / "data").mkdir(parents=True)
    found.scratch.mkdir()
    for number in (1, 2):
        product = found.archive / "raw" / f"frame-{number}.xml"
        product.write_text(PRODUCT.format(number=number))
        (found.archive / "raw" / "data" / f"frame-{number}.fits").write_bytes(b"x" * 1000 * number)
    return found


def add(centre: Centre, name: str, folder: Path, *words: str) -> dict[str, Any]:
    return centre.told("storage", "add", name, f"file://{folder}", *words)


def ingested(centre: Centre) -> dict[str, Any]:
    add(centre, "ARCHIVE", centre.archive, "--label", "country=CH")
    value = "Data.ObservationSequence.ObservationId"
    return centre.told("ingest", str(centre.archive), "--value", value)


def test_products_are_ingested_found_located_and_replicated(centre: Centre) -> None:
    assert ingested(centre) == {
        "state": "done",
        "files": 4,
        "products": 2,
        "read": 4,
        "bytes": 3000 + sum(path.stat().st_size for path in centre.archive.glob("raw/*.xml")),
    }
    assert ingested(centre)["read"] == 0
    query = "DpdVisRawFrame where Data.ObservationSequence.ObservationId == 2"
    found = centre.told("find", query)
    assert [one["product_id"] for one in found["products"]] == ["frame-2"]
    add(centre, "SCRATCH", centre.scratch, "--not-durable")
    plan = centre.told("replicate", "frame-2.xml", "--closure", "--to", "SCRATCH", "--dry-run")
    assert sorted(one["file"] for one in plan["copies"]) == ["frame-2.fits", "frame-2.xml"]
    assert [path.name for path in centre.scratch.iterdir()] == [".eufas-storage"]
    made = centre.told("replicate", "frame-2.xml", "--closure", "--to", "SCRATCH")
    assert made["copies"] == plan["copies"]
    (place,) = centre.told("locate", "frame-2.fits")["files"]
    copy, original = sorted(place["urls"], reverse=True)
    assert Path(original.removeprefix("file://")).is_relative_to(centre.archive)
    assert Path(copy.removeprefix("file://")).read_bytes() == b"x" * 2000
    assert centre.told("replicate", "frame-2.xml", "--closure", "--to", "SCRATCH")["copies"] == []


def test_what_rules_want_of_new_files_is_queued(centre: Centre) -> None:
    add(centre, "ARCHIVE", centre.archive, "--label", "tier=disk")
    add(centre, "TAPE", centre.scratch, "--label", "tier=tape")
    with Registry(centre.folder / "r.sqlite") as registry:
        registry.rules.put(
            Rule(name="keep", select=Selector(names=("*.fits",)), places="tier=tape")
        )
    centre.told("ingest", str(centre.archive))
    with Registry(centre.folder / "r.sqlite", read_only=True) as registry:
        queued = sorted((one.file, one.destination) for one in registry.transfers.active())
    assert queued == [("frame-1.fits", "TAPE"), ("frame-2.fits", "TAPE")]


def test_a_registry_that_is_not_there_is_not_made_by_looking(centre: Centre) -> None:
    told = centre.refused("find", "DpdVisRawFrame")
    assert "there is no registry at" in told
    assert "euclid-dask storage add" in told
    assert not (centre.folder / "r.sqlite").exists()


def test_what_is_wrong_is_told_at_once_and_nothing_is_registered(centre: Centre) -> None:
    add(centre, "ARCHIVE", centre.archive)
    (centre.archive / "raw" / "data" / "frame-1.fits").unlink()
    (centre.archive / "raw" / "a b.txt").write_text("x")
    outside = centre.folder / "outside.txt"
    outside.write_text("x")
    told = centre.refused("ingest", str(centre.archive), str(outside))
    assert "names frame-1.fits, which is not beside it" in told
    assert "a b.txt: its name has a blank" in told
    assert (
        f"outside.txt is in no storage; those of this zone are: ARCHIVE ({centre.archive})" in told
    )
    assert "the registry knows no file frame-2.fits" in centre.refused("locate", "frame-2.fits")


def test_a_name_never_gets_other_content(centre: Centre) -> None:
    ingested(centre)
    (centre.archive / "raw" / "data" / "frame-1.fits").write_bytes(b"y" * 1000)
    told = centre.refused("ingest", str(centre.archive / "raw" / "data" / "frame-1.fits"))
    assert "frame-1.fits" in told


def test_a_dry_run_registers_nothing(centre: Centre) -> None:
    add(centre, "ARCHIVE", centre.archive)
    done = centre.told("ingest", str(centre.archive), "--dry-run")
    assert (done["files"], done["read"]) == (4, 0)
    assert centre.told("find", "DpdVisRawFrame")["products"] == []


def test_storages_are_checked_and_a_missing_disk_is_noticed(centre: Centre) -> None:
    add(centre, "ARCHIVE", centre.archive)
    findings = centre.told("storage", "check")["storages"]
    assert {one["outcome"] for found in findings.values() for one in found} <= {"yes", "no"}
    assert sorted(path.name for path in centre.archive.iterdir()) == [".eufas-storage", "raw"]
    shutil.move(centre.archive, centre.folder / "away")
    centre.archive.mkdir()
    done = centre.call("storage", "check", "ARCHIVE")
    assert done.exit_code == 1
    assert "is its disk mounted?" in done.stdout or "no marker" in done.stdout
    add(centre, "SCRATCH", centre.scratch)


def test_a_second_way_leaves_the_storage_as_it_is(centre: Centre) -> None:
    add(centre, "A", centre.archive, "--label", "tier=disk", "--not-durable", "--state", "readonly")
    again = add(centre, "A", centre.archive, "--zone", "far", "--write", "0", "--label", "x=y")
    assert again["storage"]["labels"] == {"tier": "disk", "x": "y"}
    assert (again["storage"]["state"], again["storage"]["durable"]) == ("readonly", False)
    (centre.archive / ".eufas-storage").unlink()
    told = centre.refused("storage", "add", "A", f"file://{centre.archive}", "--write", "0")
    assert "is its disk mounted?" in told


def test_a_way_that_is_added_again_keeps_its_priorities(centre: Centre) -> None:
    add(centre, "A", centre.archive, "--write", "0", "--delete", "0", "--read", "3")
    add(centre, "A", centre.archive, "--label", "x=y")
    (way,) = centre.told("storage", "list")["accesses"]
    assert (way.get("read", 1), way["write"], way["delete"]) == (3, 0, 0)
    assert not (centre.archive / ".eufas-storage").exists()
    marked = add(centre, "A", centre.archive, "--write", "1")["storage"]["marker"]
    assert (centre.archive / ".eufas-storage").read_text().strip() == marked


def test_directories_one_in_the_other_are_no_two_storages(centre: Centre) -> None:
    add(centre, "ARCHIVE", centre.archive)
    for inner in (centre.archive / "raw", centre.folder):
        told = centre.refused("storage", "add", "B", f"file://{inner}")
        assert "a file in both would count as two copies" in told
    assert [one["name"] for one in centre.told("storage", "list")["storages"]] == ["ARCHIVE"]


def test_a_directory_within_a_storage_of_another_registry_is_no_storage(centre: Centre) -> None:
    add(centre, "ARCHIVE", centre.archive)
    told = centre.refused(
        *("storage", "add", "B", f"file://{centre.archive / 'raw'}"),
        *("--registry", str(centre.folder / "other.sqlite")),
    )
    assert f"is within {centre.archive}, which is marked as a storage" in told


def test_files_of_a_wrong_disk_are_not_registered(centre: Centre) -> None:
    add(centre, "ARCHIVE", centre.archive)
    (centre.archive / ".eufas-storage").write_text("another\n")
    told = centre.refused("ingest", str(centre.archive))
    assert "is the right disk mounted there?" in told
    (centre.archive / ".eufas-storage").unlink()
    assert "is its disk mounted?" in centre.refused("ingest", str(centre.archive))


def test_a_checksum_that_is_declared_later_is_compared(centre: Centre) -> None:
    add(centre, "ARCHIVE", centre.archive)
    data = centre.archive / "raw" / "data" / "frame-1.fits"
    centre.told("ingest", str(data))
    product = centre.archive / "raw" / "frame-1.xml"
    digest = hashlib.md5(data.read_bytes()).hexdigest()
    declared = f'filestatus="PROPOSED" checksumMethod="MD5" checksumValue="{digest}"'
    product.write_text(PRODUCT.format(number=1).replace('filestatus="PROPOSED"', declared))
    assert centre.told("ingest", str(product))["read"] == 2
    (place,) = centre.told("locate", "frame-1.fits")["files"]
    assert digest in [one["value"] for one in place["file"]["checksums"]]


def test_a_root_of_another_storage_is_refused(centre: Centre) -> None:
    add(centre, "ARCHIVE", centre.archive)
    told = centre.refused(
        *("storage", "add", "OTHER", f"file://{centre.archive}"),
        *("--registry", str(centre.folder / "other.sqlite")),
    )
    assert "is marked as storage 'ARCHIVE'" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("storage", "add", "A", "file://data/x"), "file:///data/"),
        (("storage", "add", "a/b", "file:///tmp"), "it is a path, not a name"),
        (("storage", "add", "A", "gopher://x/y"), "a root URL begins with one of"),
        (("storage", "add", "A", "file:///tmp", "--label", "x"), "--label 'x' is not KEY=TEXT"),
        (("find", "where ("), "query"),
    ],
)
def test_bad_words_are_refused(centre: Centre, words: tuple[str, ...], told: str) -> None:
    assert told in centre.refused(*words)


def test_a_way_that_is_not_there_is_told(centre: Centre) -> None:
    ingested(centre)
    add(centre, "FAR", centre.scratch, "--zone", "far")
    told = centre.refused("replicate", "frame-1.fits", "--to", "FAR")
    assert "FAR" in told
    assert "the zone local has no way to FAR" in centre.refused("storage", "check", "FAR")


def test_a_storage_is_edited_while_its_disk_is_away(centre: Centre) -> None:
    ingested(centre)
    (centre.archive / ".eufas-storage").unlink()
    words = ("--state", "disabled", "--label", "country=", "--label", "x=y")
    edited = centre.told("storage", "edit", "ARCHIVE", *words)["storage"]
    assert (edited["state"], edited["labels"]) == ("disabled", {"x": "y"})
    edited = centre.told("storage", "edit", "ARCHIVE", "--not-durable")["storage"]
    assert (edited["state"], edited["durable"]) == ("disabled", False)
    assert centre.told("storage", "show", "ARCHIVE")["replicas"] == {"available": 4}
    assert "disabled, not durable" in centre.call("storage", "show", "ARCHIVE").stdout
    assert "there is no storage" in centre.refused("storage", "edit", "Z")


def test_a_dry_run_edits_nothing(centre: Centre) -> None:
    ingested(centre)
    words = ("--state", "disabled", "--quota", "1TB", "--dry-run")
    told = centre.told("storage", "edit", "ARCHIVE", *words)
    assert (told["state"], told["storage"]["state"]) == ("ok", "disabled")
    shown = centre.told("storage", "show", "ARCHIVE")
    assert shown["storage"].get("state", "enabled") == "enabled"
    assert shown.get("quota") is None
    assert "there is no storage" in centre.refused("storage", "edit", "Z", "--dry-run")
    text = centre.call("storage", "edit", "ARCHIVE", *words, "--label", "tier=tape").stdout
    assert text == "ARCHIVE would be disabled, country=CH, tier=tape, quota 1TB\n"


def test_a_dry_run_adds_and_marks_nothing(centre: Centre) -> None:
    told = add(centre, "ARCHIVE", centre.archive, "--label", "country=CH", "--dry-run")
    assert (told["state"], told["storage"]["labels"]) == ("ok", {"country": "CH"})
    assert not (centre.folder / "r.sqlite").exists()
    assert not (centre.archive / ".eufas-storage").exists()
    ingested(centre)
    words = ("storage", "add", "SCRATCH", f"file://{centre.archive / 'raw'}", "--dry-run")
    assert "are one in the other" in centre.refused(*words)
    add(centre, "ARCHIVE", centre.scratch, "--not-durable", "--dry-run")
    (way,) = centre.told("storage", "show", "ARCHIVE")["accesses"]
    assert way["root"] == f"file://{centre.archive}"
    assert centre.told("storage", "show", "ARCHIVE")["storage"].get("durable", True)
    assert list(centre.scratch.iterdir()) == []


def test_a_storage_is_reached_in_another_way_and_no_more_in_the_old_one(centre: Centre) -> None:
    ingested(centre)
    moved = centre.archive.rename(centre.folder / "elsewhere")
    add(centre, "ARCHIVE", moved)
    old = f"file://{centre.archive}"
    words = ("storage", "remove", "ARCHIVE", old)
    assert centre.told(*words, "--dry-run")["accesses"][0]["root"] == old
    assert len(centre.told("storage", "list")["accesses"]) == 2
    assert "the zone far has no way" in centre.refused(*words, "--zone", "far")
    centre.told(*words)
    (way,) = centre.told("storage", "list")["accesses"]
    assert way["root"] == f"file://{moved}"
    (place,) = centre.told("locate", "frame-1.fits")["files"]
    assert place["urls"] == [f"file://{moved}/raw/data/frame-1.fits"]
    assert "has no way to ARCHIVE by" in centre.refused(*words)


def test_a_storage_is_forgotten_only_when_it_has_nothing(centre: Centre) -> None:
    ingested(centre)
    add(centre, "SCRATCH", centre.scratch)
    for words in (("--dry-run",), ()):
        assert "has replicas" in centre.refused("storage", "remove", "ARCHIVE", *words)
    assert centre.told("storage", "remove", "SCRATCH", "--dry-run")["state"] == "ok"
    assert len(centre.told("storage", "list")["storages"]) == 2
    assert centre.call("storage", "remove", "SCRATCH").stdout.endswith("SCRATCH is forgotten\n")
    assert [one["name"] for one in centre.told("storage", "list")["storages"]] == ["ARCHIVE"]
    assert "there is no storage" in centre.refused("storage", "remove", "SCRATCH")


def test_options_of_a_way_are_kept_and_taken_away() -> None:
    place = {"storage": "H", "zone": "z", "root": "http://host/x"}
    before = Access(**place, credential="c", options={"timeout_s": "1", "min_rate": "2"})
    after = Way(**place, options={"min_rate": ""}).access([before])
    assert (after.credential, after.options) == ("c", {"timeout_s": "1"})


def test_what_cannot_be_read_is_not_said_to_be_brought_by_a_copy(centre: Centre) -> None:
    ingested(centre)
    (centre.archive / "raw" / "data" / "frame-1.fits").unlink()
    assert centre.call("fsck", "ARCHIVE").exit_code == 1
    told = centre.call("locate", "frame-1.fits").stdout
    assert "none of its replicas can be read" in told
    assert "replicate" not in told
    far = centre.call("locate", "frame-2.fits", "--zone", "far").stdout
    assert "`euclid-dask replicate` brings it" in far
