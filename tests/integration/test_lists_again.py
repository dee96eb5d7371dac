"""Lists of lists from outside: work on them is known in the next run."""

import json
from pathlib import Path

from euclid_dask import Executable, Input, Output, api, parallel, pipeline

COPY = """python3 -c '
import sys
given = dict(word[2:].split("=", 1) for word in sys.argv[1:])
open(given["whole"], "w").write(open(given["parts"]).read())
'"""
join = Executable(
    COPY,
    inputs=[Input("parts", content_type="listfile")],
    outputs=[Output("whole", mime_type="json")],
)


@parallel(iterable="parts")
def join_all(parts):
    return join(parts=parts)


@pipeline(outputs=("wholes",))
def joins(groups):
    return join_all(parts=groups)


def run(folder: Path, groups: list[list[str]]) -> api.RunResult:
    listing = folder / "groups.json"
    text = json.dumps(groups)
    if not listing.is_file() or listing.read_text() != text:
        listing.write_text(text)
    settings = api.Settings(executor="inline")
    return joins.run(workdir=folder / "w", groups=listing, settings=settings)


def test_a_second_run_over_a_list_of_lists_does_nothing_again(tmp_path: Path) -> None:
    assert run(tmp_path, [["a", "b"], ["c", "d"]]).summary().tasks.done == 2
    assert run(tmp_path, [["a", "b"], ["c", "d"]]).summary().tasks.skipped == 2


def test_a_changed_element_runs_its_branch_again(tmp_path: Path) -> None:
    run(tmp_path, [["a", "b"], ["c", "d"]])
    tasks = run(tmp_path, [["a", "b"], ["c", "e"]]).summary().tasks
    assert (tasks.done, tasks.skipped) == (1, 1)
