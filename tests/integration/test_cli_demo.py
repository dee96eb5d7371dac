import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

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
