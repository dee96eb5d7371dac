"""`--source`: which file is sourced, wherever the user stands and whatever its name is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PIPELINE = """
from euclid_dask import Executable, Output, pipeline

tell = Executable("sh -c 'echo $COLOUR > tell/told.txt'", inputs=[],
    outputs=[Output("told", mime_type="txt")])


@pipeline(outputs=("told",))
def telling():
    return tell()
"""


@pytest.fixture
def run(cli: Callable[..., Any], tmp_path: Path) -> Callable[[str], Any]:
    """Return a function that runs a pipeline with this for `--source`."""
    (tmp_path / "p.py").write_text(PIPELINE)
    return lambda source: cli(
        *("run", "p.py", "--workdir", "w", "--quiet", "--executor", "inline", "--source", source)
    )


@pytest.mark.parametrize("name", ["set.sh", "my site/set up.sh", "it's.sh"])
def test_a_file_is_sourced_by_its_name_from_where_the_user_stands(
    run: Callable[[str], Any], tmp_path: Path, name: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("export COLOUR=blue\n")
    done = run(name)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "w/tell/told.txt").read_text() == "blue\n"


def test_a_file_that_is_not_there_is_refused_before_anything_runs(
    run: Callable[[str], Any], tmp_path: Path
) -> None:
    refused = run("no.sh")
    assert refused.exit_code == 2
    assert "--source no.sh: there is no file no.sh" in refused.stderr
    assert not (tmp_path / "w").exists()
