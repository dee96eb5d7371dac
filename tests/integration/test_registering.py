"""Outputs of runs are registered where they lie, with what they were made from, and as often."""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from euclid_dask import api
from euclid_dask.api.data import DataSettings, Way, add_storage, ingest
from euclid_dask.api.lineage import known
from euclid_dask.api.registering import Choices, Registered, register, release
from euclid_dask.cli.app import app
from euclid_dask.core.errors import InputError, WorkdirError
from euclid_dask.data.model import ReplicaState
from euclid_dask.data.query import parse_query
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.schema import files
from euclid_dask.data.rules import Rule, Selector
from euclid_dask.runner.workspace import Workspace

PRODUCT = """\
<p:{kind} xmlns:p="http://ecdm.euclid-ec.org/schema/dpd/{kind}">
  <Header><ProductId>{key}</ProductId><DataSetRelease>R1</DataSetRelease></Header>
  <Data><Storage format="x"><DataContainer filestatus="PROPOSED">
    <FileName>{key}.fits</FileName>
  </DataContainer></Storage></Data>
</p:{kind}>
"""
PROGRAM = f"""\
import sys
from pathlib import Path

kind, *words = sys.argv[1:]
given = dict(word.lstrip("-").split("=", 1) for word in words)
work = Path(given["workdir"])
(work / "data").mkdir(exist_ok=True)


def write(port, kind):
    key = f"{{work.name}}-{{given[port].replace('/', '-').removesuffix('.xml')}}"
    (work / "data" / f"{{key}}.fits").write_text(f"pixels of {{key}}")
    (work / given[port]).write_text('''{PRODUCT}'''.format(kind=kind, key=key))


if kind == "clean":
    write("frame", "DpdFrame")
else:
    write("image", "DpdImage")
    (work / given["notes"]).write_text("<notes/>")
"""
SCRIPT = """\
from euclid_dask import Executable, Input, Output, parallel, pipeline

clean = Executable("{program} clean", inputs=["raw"], outputs=[Output("frame", temporary={goes})])
stack = Executable(
    "{program} stack",
    inputs=[Input("frames", content_type="listfile")],
    outputs=["image", Output("notes")],
)


@parallel(iterable="raw")
def each(raw):
    return clean(raw=raw)


@pipeline(outputs={outputs})
def night(raws):
    frames = each(raw=raws)
    image, notes = stack(frames=frames)
    return {results}
"""


@dataclass
class Site:
    """A registry, an archive, raw products outside of both, and pipelines over them."""

    folder: Path

    @property
    def data(self) -> DataSettings:
        return DataSettings(registry=str(self.folder / "r.sqlite"))

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    def run(
        self, workdir: Path, *, all_results: bool = False, settings: api.Settings | None = None
    ) -> api.RunResult:
        script = self.folder / "night.py"
        results = ("image", "notes", *(("frames",) if all_results else ()))
        script.write_text(
            SCRIPT.format(
                program=f"{sys.executable} {self.folder / 'program.py'}",
                goes=not all_results,
                outputs=results,
                results=", ".join(results),
            )
        )
        done = api.run(
            script,
            workdir=workdir,
            settings=settings or api.Settings(executor="inline"),
            raws=self.folder / "raw" / "raws.json",
        )
        assert not done.failures
        return done

    def rows(self) -> dict[str, Any]:
        """Return all that the registry says of files and products."""
        with Registry(self.folder / "r.sqlite", read_only=True) as registry:
            ids = [one.product_id for one in registry.find(parse_query("DpdImage"), limit=100)]
            ids += [one.product_id for one in registry.find(parse_query("DpdFrame"), limit=100)]
            products = registry.products(ids)
            names = registry.database.read(
                lambda it: sorted(it.execute(select(files.c.name)).scalars())
            )
            return {
                "products": products,
                "files": registry.files(names),
                "places": {
                    name: sorted((one.storage, one.path, one.state) for one in there)
                    for name, there in registry.locate(names, frozenset(ReplicaState)).items()
                },
                "storages": [one.name for one in registry.storages.all()],
            }

    def call(self, *words: str) -> Result:
        return CliRunner().invoke(
            app, words, env={"EUCLID_DASK_REGISTRY": str(self.folder / "r.sqlite")}
        )

    def keep(self, *, kind: str = "DpdImage") -> None:
        """Have a rule keep products of a type in the archive."""
        with Registry(self.folder / "r.sqlite") as registry:
            registry.rules.put(
                Rule(name="keep", select=Selector(query=kind), places="name=ARCHIVE")
            )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    found = Site(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw" / "data").mkdir(parents=True)
    found.archive.mkdir()
    for key in ("raw-1", "raw-2"):
        (tmp_path / "raw" / f"{key}.xml").write_text(PRODUCT.format(kind="DpdRaw", key=key))
        (tmp_path / "raw" / "data" / f"{key}.fits").write_text("raw pixels")
    (tmp_path / "raw" / "raws.json").write_text('["raw-1.xml", "raw-2.xml"]')
    (tmp_path / "program.py").write_text(PROGRAM)
    add_storage(found.data, Way(storage="ARCHIVE", zone="local", root=found.archive.as_uri()))
    return found


def test_outputs_are_registered_where_they_lie_and_doing_it_again_changes_nothing(
    site: Site,
) -> None:
    workdir = site.folder / "w"
    run = site.run(workdir)
    before = {path.name: path.stat().st_ino for path in workdir.rglob("*.*") if path.is_file()}
    done = register(workdir, None, site.data)
    (notes,) = (name for name in done.files if name.startswith("stack.notes-"))
    assert set(done.files) == {
        "DpdImage__w-stack-image.xml",
        "w-stack-image.fits",
        notes,
    }
    assert (done.products, done.read, done.copies) == (("w-stack-image",), 3, 0)
    rows = site.rows()
    assert rows["storages"] == ["ARCHIVE", done.storage]
    for name in done.files:
        ((storage, path, state),) = rows["places"][name]
        assert (storage, path, state) == (done.storage, f"data/{name}", "available")
        assert not (workdir / path).stat().st_mode & 0o222
        assert (workdir / path).stat().st_ino in before.values(), "a byte was copied"
    again = register(workdir, run.id, site.data)
    assert again == Registered(
        storage=done.storage, files=done.files, products=done.products, size=done.size
    )
    assert site.rows() == rows


def test_what_a_product_was_made_by_and_from_can_be_asked(site: Site) -> None:
    run = site.run(site.folder / "w")
    assert not list((site.folder / "w").rglob("frame.xml")), "temporary outputs are gone"
    register(site.folder / "w", None, site.data)
    image = known(site.data, "w-stack-image")
    origin = image.lineage.origin
    assert origin is not None
    assert (origin.run, origin.task, origin.attempt, origin.executable) == (
        run.id,
        "stack",
        1,
        "stack",
    )
    assert origin.inputs == (("frames", "raw-1"), ("frames", "raw-2"))
    ask = f"DpdImage where Run.Id == '{run.id}'"
    with Registry(site.folder / "r.sqlite", read_only=True) as registry:
        found = registry.find(parse_query("DpdImage where Run.Task == stack"))
    assert [one.product_id for one in found] == ["w-stack-image"], ask
    shown = site.call("product", "show", "w-stack-image")
    assert shown.exit_code == 0, shown.stderr
    assert f"made by stack: task stack of {run.id}, attempt 1\n" in shown.stdout
    assert "made from raw-1 (input frames)\n" in shown.stdout
    told = json.loads(site.call("product", "show", "w-stack-image", "--json").stdout)
    assert told["provenance"]["origin"]["inputs"] == [["frames", "raw-1"], ["frames", "raw-2"]]
    assert "registry knows no product" in site.call("product", "show", "other").stderr


def test_products_are_linked_from_one_to_the_next(site: Site) -> None:
    site.run(site.folder / "w", all_results=True)
    done = register(site.folder / "w", None, site.data)
    frames = [key for key in done.products if "clean" in key]
    assert len(frames) == 2
    image = known(site.data, "w-stack-image").lineage
    assert image.origin is not None
    assert sorted(target for _, target in image.origin.inputs) == sorted(frames)
    first = known(site.data, min(frames)).lineage
    assert first.origin is not None
    assert first.origin.inputs == (("raw", "raw-1"),)
    assert first.children == ("w-stack-image",)


def test_work_that_was_taken_over_is_told_of_who_did_it(site: Site) -> None:
    first = site.run(site.folder / "w")
    second = site.run(site.folder / "w")
    assert second.id != first.id
    register(site.folder / "w", second.id, site.data)
    rows = site.rows()
    register(site.folder / "w", first.id, site.data)
    assert site.rows() == rows
    origin = known(site.data, "w-stack-image").lineage.origin
    assert origin is not None
    assert origin.run == first.id


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("at", [0, 3, 5])
def test_whatever_is_cut_off_ends_in_the_same_rows(site: Site, at: int) -> None:
    site.keep()
    for name in ("calm", "w"):
        site.run(site.folder / name, all_results=True)
    calm = register(site.folder / "calm", None, site.data)
    seen = 0

    def watch(_some: int, _all: int) -> None:
        nonlocal seen
        seen += 1
        if seen > at:
            raise Crash

    with pytest.raises(Crash):
        register(site.folder / "w", None, site.data, Choices(watch=watch))
    done = register(site.folder / "w", None, site.data)
    assert len(done.files) == len(calm.files) == 7
    rows = site.rows()
    assert len(rows["storages"]) == 3
    for name in done.files:
        assert (done.storage, f"data/{name}", "available") in rows["places"][name]
    assert {name.replace("w-", "calm-") for name in rows["products"] if name.startswith("w-")} == {
        name for name in rows["products"] if name.startswith("calm-")
    }
    assert register(site.folder / "w", None, site.data).read == 0
    assert site.rows() == rows


def test_rules_have_outputs_published_without_a_byte_copied(site: Site) -> None:
    site.keep()
    site.run(site.folder / "w")
    done = register(site.folder / "w", None, site.data)
    assert (done.copies, done.waiting) == (2, "")
    for name in ("DpdImage__w-stack-image.xml", "w-stack-image.fits"):
        (published,) = site.archive.rglob(name)
        assert published.samefile(site.folder / "w" / "data" / name)
    assert register(site.folder / "w", None, site.data).copies == 0


def test_copies_can_be_left_to_movers(site: Site) -> None:
    site.keep()
    site.run(site.folder / "w")
    done = register(site.folder / "w", None, site.data, Choices(copy=False))
    assert done.copies == 0
    with Registry(site.folder / "r.sqlite", read_only=True) as registry:
        assert len(registry.transfers.active()) == 2


def test_the_only_copy_is_not_cleaned_and_one_of_two_is(site: Site) -> None:
    site.run(site.folder / "w")
    done = register(site.folder / "w", None, site.data)
    refused = site.call("clean", "w", "--yes")
    assert refused.exit_code == 2
    assert "3 files of" in refused.stderr
    assert "no other good replica is in a durable storage" in refused.stderr
    assert "euclid-dask replicate" in refused.stderr
    assert all((site.folder / "w" / "data" / name).exists() for name in done.files)
    copied = site.call("replicate", *done.files, "--to", "ARCHIVE")
    assert copied.exit_code == 0, copied.stderr
    cleaned = site.call("clean", "w", "--yes")
    assert cleaned.exit_code == 0, cleaned.stderr
    left = [path for path in (site.folder / "w").rglob("*") if path.is_file()]
    assert [path.name for path in left if not path.is_symlink()] == [".eufas-storage"]
    places = site.rows()["places"]
    for name in done.files:
        assert [storage for storage, _, _ in places[name]] == ["ARCHIVE"]
        (kept,) = site.archive.rglob(name)
        assert kept.stat().st_size


def test_what_is_kept_need_not_be_elsewhere(site: Site) -> None:
    site.run(site.folder / "w")
    done = register(site.folder / "w", None, site.data)
    assert site.call("clean", "w", "--keep", "outputs", "--yes").exit_code == 0
    assert all((site.folder / "w" / "data" / name).exists() for name in done.files)


def test_a_workdir_in_a_storage_is_no_other_one(site: Site) -> None:
    workdir = site.archive / "runs" / "w"
    site.run(workdir)
    done = register(workdir, None, site.data)
    assert done.storage == "ARCHIVE"
    rows = site.rows()
    assert rows["storages"] == ["ARCHIVE"]
    assert rows["places"]["w-stack-image.fits"] == [
        ("ARCHIVE", "runs/w/data/w-stack-image.fits", "available")
    ]
    with pytest.raises(WorkdirError, match="no other good replica"):
        release(Workspace(workdir))


def test_what_is_registered_may_be_ingested_from_a_copy(site: Site) -> None:
    site.run(site.folder / "w")
    done = register(site.folder / "w", None, site.data)
    products = site.rows()["products"]
    copy = site.folder / "copy"
    copy.mkdir()
    for name in done.files:
        if not name.startswith("stack.notes"):
            shutil.copy2(site.folder / "w" / "data" / name, copy)
    add_storage(site.data, Way(storage="COPY", zone="local", root=copy.as_uri()))
    _, read = ingest(site.data, [copy], values=["Data.Storage.DataContainer.FileName"])
    assert read == 2
    (after,) = site.rows()["products"].values()
    (before,) = products.values()
    assert set(before.links) == set(after.links)
    assert {one.path for one in after.values} - {one.path for one in before.values} == {
        "Data.Storage.DataContainer.FileName"
    }


def test_what_is_wrong_is_refused_before_anything_is_marked(site: Site, tmp_path: Path) -> None:
    workdir = site.folder / "w"
    site.run(workdir)
    with pytest.raises(InputError, match="there is no registry at"):
        register(workdir, None, DataSettings(registry=str(tmp_path / "none.sqlite")))
    journal = next((workdir / ".euclid-dask").glob("*/journal.jsonl"))
    whole = journal.read_bytes()
    journal.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match="only what is done is registered"):
        register(workdir, None, site.data)
    assert not (workdir / ".eufas-storage").exists()
    journal.write_bytes(whole)
    foreseen = register(workdir, None, site.data, Choices(dry_run=True))
    assert not (workdir / ".eufas-storage").exists()
    done = register(workdir, None, site.data)
    assert (foreseen.files, foreseen.products, foreseen.size) == (
        done.files,
        done.products,
        done.size,
    )


def test_an_id_that_stands_for_other_content_is_refused(site: Site) -> None:
    site.run(site.folder / "w")
    register(site.folder / "w", None, site.data)
    other = site.folder / "other" / "w"
    other.mkdir(parents=True)
    (site.folder / "program.py").write_text(PROGRAM.replace("pixels of", "other pixels of"))
    site.run(other)
    with pytest.raises(InputError, match=r"w-stack-image\.fits.* taken by"):
        register(other, None, site.data)


def test_ids_that_a_pipeline_repeats_are_refused_with_what_to_do(site: Site) -> None:
    program = PROGRAM.replace("{work.name}-", "").replace("pixels of", "pixels of {work.name}")
    (site.folder / "program.py").write_text(program)
    for name in ("w", "other"):
        site.run(site.folder / name)
    register(site.folder / "w", None, site.data)
    refused = site.call("register", "other")
    assert refused.exit_code == 2
    assert "'stack-image.fits' is taken by" in refused.stderr
    assert "give each new product an id and each new file a name of its own" in refused.stderr


def test_a_run_is_registered_as_soon_as_it_is_done(site: Site) -> None:
    site.run(site.folder / "first")  # writes the script
    words = ("run", "night.py", "--executor", "inline", "--workdir", "w", "raws=raw/raws.json")
    none = site.call(*words, "--register", "--registry", "none.sqlite")
    assert none.exit_code == 2
    assert "there is no registry at none.sqlite" in none.stderr
    assert not list((site.folder / "w").glob("stack")), "it is refused before anything runs"
    told = json.loads(site.call(*words, "--register", "--json").stdout)
    assert (told["state"], told["registered"]["products"]) == ("done", ["w-stack-image"])
    again = site.call("resume", "w", "--register")
    assert again.exit_code == 0, again.stderr
    assert "registered 3 files" in again.stdout
    by_hand = site.call("register", "w")
    assert by_hand.stdout == again.stdout.splitlines(keepends=True)[-1]
