"""`archive`: the command line against a stand-in of the archive."""

import json
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import fake_archive
import pytest
from click.testing import CliRunner, Result
from fake_archive import PASSWORD, USER, FakeArchive

from euclid_dask.api.orders import plan_order, run_order
from euclid_dask.api.results import RunResult
from euclid_dask.cli.app import app
from euclid_dask.core.errors import SiteError
from euclid_dask.data.archive.ppo import read_order
from euclid_dask.data.archive.session import open_session
from euclid_dask.data.model import Access, Checksum, File, Replica, Storage
from euclid_dask.data.registry.registry import Registry

Cli = Callable[..., Result]
CONTENT = b"pixels" * 1000
NS = "http://euclid.esa.org/schema/dpd/vis/rawframe"


def _xml(product_id: str, *files: str) -> bytes:
    named = "".join(
        f'<S><DataContainer filestatus="COMMITTED"><FileName>{name}</FileName></DataContainer></S>'
        for name in files
    )
    return (
        f'<ns:DpdVisRawFrame xmlns:ns="{NS}"><Header><ProductId>{product_id}</ProductId></Header>'
        f"<Data>{named}</Data></ns:DpdVisRawFrame>"
    ).encode()


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a function that calls the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, words)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[FakeArchive]:
    """An archive with one product, and the settings of it in the current folder."""
    with fake_archive.serving() as running:
        running.files["a.fits"] = CONTENT
        running.add_product(_xml("1", "a.fits"))
        netrc = tmp_path / "netrc"
        netrc.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
        netrc.chmod(0o600)
        (tmp_path / "archive.toml").write_text(
            f'metadata = "{running.url}"\ningest = "{running.url}/ingest"\n'
            f'files = ["{running.url}"]\ncredentials = "{netrc}"\ntries = 1\n'
        )
        yield running


def _words(result: Result) -> str:
    return result.output + result.stderr


def test_find_shows_fields(cli: Cli, archive: FakeArchive) -> None:
    result = cli("archive", "find", "DpdVisRawFrame", "--fields", "Header.ProductId", "--json")

    assert json.loads(result.stdout) == {
        "state": "ok",
        "products": [{"Header.ProductId": "1"}],
    }
    assert "Header.ProductId" in cli("archive", "find", "DpdVisRawFrame").stdout


def test_get_brings_products_with_their_files(
    cli: Cli, archive: FakeArchive, tmp_path: Path
) -> None:
    would = cli("archive", "get", "DpdVisRawFrame", "--to", "w", "--dry-run")
    assert "would retrieve data/a.fits" in would.stdout
    assert not (tmp_path / "w").exists()

    result = cli("archive", "get", "DpdVisRawFrame", "--to", "w", "--cache", "c", "--json")

    told = json.loads(result.stdout)
    assert told["products"][0]["xml"] == "w/DpdVisRawFrame__1.xml"
    assert told["files"][0]["how"] == "copied"
    assert (tmp_path / "w/data/a.fits").read_bytes() == CONTENT
    assert (tmp_path / "c/a.fits").read_bytes() == CONTENT
    assert PASSWORD not in _words(result)


def test_what_is_retrieved_into_a_storage_is_registered(
    cli: Cli, archive: FakeArchive, tmp_path: Path
) -> None:
    registry = ("--registry", str(tmp_path / "r.sqlite"))
    (tmp_path / "w").mkdir()
    assert cli("storage", "add", "W", f"file://{tmp_path}/w", *registry).exit_code == 0
    words = ("archive", "get", "DpdVisRawFrame", *registry)
    for _ in range(2):
        told = json.loads(cli(*words, "--to", "w", "--json").stdout)
        assert told["registered"] == 2
    found = cli("find", "DpdVisRawFrame", *registry, "--json")
    assert [one["product_id"] for one in json.loads(found.stdout)["products"]] == ["1"]
    outside = cli(*words, "--to", "elsewhere")
    assert outside.exit_code == 0
    assert "not registered: elsewhere is in no storage" in outside.stderr
    assert (tmp_path / "elsewhere" / "DpdVisRawFrame__1.xml").exists()


def test_locate_tells_which_stores_have_a_file(cli: Cli, archive: FakeArchive) -> None:
    result = cli("archive", "locate", "a.fits", "b.fits", "--json")

    (told,) = json.loads(result.stdout)["files"]
    assert (told["name"], told["size"], told["stores"]) == ("a.fits", len(CONTENT), [archive.url])
    assert "b.fits  is in no store" in cli("archive", "locate", "b.fits").stdout


def test_locations_of_a_registry_are_told_as_xml(cli: Cli, tmp_path: Path) -> None:
    with Registry(tmp_path / "r.sqlite") as registry:
        registry.storages.put(Storage(name="eas", marker="m"))
        registry.storages.put_access([Access(storage="eas", zone="z", root="https://eas.ch/d")])
        sums = (Checksum(algorithm="md5", value="0" * 32),)
        file = File(name="a.fits", size=3, checksums=sums)
        registry.register([file], [Replica(file="a.fits", storage="eas", path="7/a.fits")])
    words = ("--registry", str(tmp_path / "r.sqlite"), "--zone", "z", "--sdc", "SDC-CH")

    result = cli("archive", "locations", "a.fits", *words)

    assert "<URL>https://eas.ch/d/7/a.fits</URL>" in result.stdout, _words(result)
    assert cli("archive", "locations", "b.fits", *words).exit_code == 2


def test_a_bad_answer_is_an_error_that_says_what_came(cli: Cli, archive: FakeArchive) -> None:
    archive.fail("REST", fake_archive.html)

    result = cli("archive", "find", "DpdVisRawFrame")

    assert result.exit_code == 2
    assert "a web page came in place of an answer" in result.stderr


def test_what_failed_on_its_way_is_not_called_refused(cli: Cli, archive: FakeArchive) -> None:
    archive.fail("DSSGET", fake_archive.html)

    result = cli("archive", "get", "DpdVisRawFrame", "--to", "w", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["state"] == "failed"


def test_put_sends_files_and_products(cli: Cli, archive: FakeArchive, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/new.fits").write_bytes(b"new")
    (tmp_path / "new.xml").write_bytes(_xml("2", "new.fits"))

    would = cli("archive", "put", "new.xml", "--dry-run")
    assert "would send new.fits" in would.stdout
    assert archive.order == []
    result = cli("archive", "put", "new.xml", "--json")

    assert json.loads(result.stdout)["state"] == "done"
    assert archive.order == ["new.fits", "2"]


def test_an_order_to_copy_is_printed(cli: Cli) -> None:
    result = cli("archive", "order", "SDC-FR", "a.fits", "--id", "DDO-1")

    assert "<TargetSDC>SDC-FR</TargetSDC>" in result.stdout
    assert "<DataFileName>a.fits</DataFileName>" in result.stdout


def test_new_settings_can_be_edited(cli: Cli) -> None:
    assert "credentials = " in cli("archive", "new").stdout


@pytest.fixture
def order(tmp_path: Path) -> Path:
    """An order to run a pipeline that makes a product with a file of each of its inputs."""
    (tmp_path / "program.py").write_text(
        textwrap.dedent(
            """\
            import argparse, json, pathlib
            parser = argparse.ArgumentParser()
            for name in ("workdir", "logdir", "frames", "product"):
                parser.add_argument(f"--{name}")
            given = parser.parse_args()
            work = pathlib.Path(given.workdir)
            frames = json.loads((work / given.frames).read_text())
            (work / "data/out.fits").write_text(f"{len(frames)} frames")
            xml = (work / frames[0]).read_text()
            xml = xml.replace(">1<", ">OUT<").replace("a.fits", "out.fits")
            (work / given.product).write_text(xml)
            """
        )
    )
    (tmp_path / "pipeline.py").write_text(
        textwrap.dedent(
            f"""\
            from euclid_dask import ComputingResources, Executable, Input, Output, pipeline
            import sys
            make = Executable(f"{{sys.executable}} {tmp_path}/program.py",
                inputs=[Input("frames", content_type="listfile")], outputs=[Output("product")],
                resources=ComputingResources(cores=0.5, ram=0.5, walltime=0.1))

            @pipeline(outputs=("product",))
            def made(frames):
                return make(frames=frames)
            """
        )
    )
    path = tmp_path / "ppo.xml"
    path.write_text(
        f"<PPO><Id>PPO-1</Id><ProcessingStatus>ALLOCATED</ProcessingStatus>"
        f"<PipelineScriptName>{tmp_path}/pipeline.py</PipelineScriptName>"
        f"<Plan><InputPortName>frames</InputPortName><DataProductType>DpdVisRawFrame"
        f"</DataProductType><Query>Header.ProductId==1</Query><Max>unbounded</Max></Plan></PPO>"
    )
    return path


def test_an_order_is_run_and_its_outputs_are_put(
    cli: Cli, archive: FakeArchive, order: Path, tmp_path: Path
) -> None:
    would = cli("archive", "ppo", "run", "ppo.xml", "--dry-run")
    assert "frames: 1" in would.stdout
    assert not (tmp_path / "PPO-1").exists()

    result = cli("archive", "ppo", "run", "ppo.xml", "--quiet", "--json")

    assert json.loads(result.stdout)["state"] == "done", _words(result)
    assert archive.files["out.fits"] == b"1 frames"
    assert archive.order == ["PPO-1", "out.fits", "OUT", "PPO-1"]
    assert b"COMPLETED" in archive.products["PPO-1"]
    assert "frames=frames.json" in (tmp_path / "PPO-1/order.isf").read_text()


def test_an_order_that_is_done_is_refused(cli: Cli, archive: FakeArchive, order: Path) -> None:
    order.write_text(order.read_text().replace("ALLOCATED", "COMPLETED"))

    result = cli("archive", "ppo", "run", "ppo.xml")

    assert result.exit_code == 2
    assert "is COMPLETED, and not ALLOCATED" in result.stderr
    assert archive.requests == []


def test_an_order_that_fails_is_told_so(
    cli: Cli, archive: FakeArchive, order: Path, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text("raise SystemExit(3)")

    result = cli("archive", "ppo", "run", "ppo.xml", "--quiet", "--json")

    assert result.exit_code == 1
    assert b"ERROR" in archive.products["PPO-1"]
    assert "out.fits" not in archive.files


def test_an_order_that_could_not_be_begun_does_not_run_for_ever(
    cli: Cli, archive: FakeArchive, order: Path, tmp_path: Path
) -> None:
    def refused(*_: object) -> RunResult:
        raise SiteError("the workdir is on fire")

    with open_session(tmp_path / "archive.toml") as session:
        plan = plan_order(session, order)
        with pytest.raises(SiteError, match="on fire"):
            run_order(session, plan, carry_out=refused)

    assert b"ERROR" in archive.products["PPO-1"]


def test_an_order_whose_outputs_could_not_be_put_goes_on(
    cli: Cli, archive: FakeArchive, order: Path, tmp_path: Path
) -> None:
    archive.fail("DSSSTORE", fake_archive.answers(b"down", 500))
    result = cli("archive", "ppo", "run", "ppo.xml", "--quiet", "--json")
    assert result.exit_code == 1
    assert b"EXECUTING" in archive.products["PPO-1"]

    again = cli("archive", "ppo", "run", "ppo.xml", "--again", "--quiet", "--json")

    assert json.loads(again.stdout)["state"] == "done"
    assert b"COMPLETED" in archive.products["PPO-1"]
    assert len(archive.asked("DSSGET")) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (">frames<", ">frame<", "has no input port 'frame'"),
        ("ProductId==1", "ProductId==7", "wants 1 to any number products of the archive"),
        ("/pipeline.py", "/none.py", "none.py"),
    ],
)
def test_an_order_that_cannot_be_run_is_refused_before_it_is_begun(
    cli: Cli, archive: FakeArchive, order: Path, old: str, new: str, message: str
) -> None:
    order.write_text(order.read_text().replace(old, new))

    result = cli("archive", "ppo", "run", "ppo.xml")

    assert result.exit_code == 2
    assert message in result.stderr
    assert not order.with_name("PPO-1").exists()
    assert "PPO-1" not in archive.products
    assert read_order(order).is_startable
