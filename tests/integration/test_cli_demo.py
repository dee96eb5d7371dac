import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from euclid_dask.api.data import DataSettings, Way, add_storage
from euclid_dask.cli.app import app

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SMALL = ("--size", "384", "--exposures", "1", "--detectors", "1", "--executor", "inline")


def demo(workdir: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["demo", "--workdir", str(workdir), *SMALL, *words])


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "w"
    found = demo(folder)
    assert found.exit_code == 0, found.output
    (folder / "said.txt").write_text(found.stdout)
    return folder


def test_the_demo_tells_what_it_measured_and_where_the_products_are(workdir: Path) -> None:
    said = (workdir / "said.txt").read_text()
    assert "completeness at magnitude" in said
    assert "astrometry RA:" in said
    assert "photometry auto:" in said
    assert f"report: {workdir / 'report.html'}" in said
    [picture] = [line for line in said.splitlines() if line.startswith("quick-look image: ")]
    assert Path(picture.removeprefix("quick-look image: ")).read_bytes().startswith(b"\x89PNG")
    assert (workdir / "report.html").stat().st_size > 10_000


def test_a_second_call_does_nothing_again_and_gives_numbers_to_programs(workdir: Path) -> None:
    told = json.loads(demo(workdir, "--json").stdout)
    assert told["tasks"]["skipped"] == told["tasks"]["total"]
    assert told["measured"]["sources"] > 0
    assert told["report"] == "report.html"


def test_another_simulation_in_the_same_workdir_is_refused(workdir: Path) -> None:
    found = demo(workdir, "--seed", "7")
    assert found.exit_code == 2
    assert "holds another simulation" in found.stderr
    assert "give another --workdir" in found.stderr


def test_the_same_pixels_made_again_are_another_product_of_the_registry(
    workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = tmp_path / "r.sqlite"
    monkeypatch.setenv("EUCLID_DASK_REGISTRY", str(registry))
    (tmp_path / "archive").mkdir()
    way = Way(storage="A", zone="local", root=(tmp_path / "archive").as_uri())
    add_storage(DataSettings(registry=str(registry)), way)
    for words in (("register",), ("rerun", "--executor=inline"), ("register",)):
        tasks = ("vis_coadd",) if words[0] == "rerun" else ()
        done = CliRunner().invoke(app, [*words, str(workdir), *tasks])
        assert done.exit_code == 0, done.output
    found = json.loads(CliRunner().invoke(app, ["find", "DpdVisStackedFrame", "--json"]).stdout)
    assert len(found["products"]) == 2
    one, other = (workdir / "data").glob("vis_coadd-coadd-*.fits")
    assert one.read_bytes() == other.read_bytes()
