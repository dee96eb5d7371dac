"""A branch that failed and stands as null: what comes after it runs without that option."""

import json
from pathlib import Path

from euclid_dask import Executable, Input, Output, api, parallel, pipeline

PROGRAM = """python3 -c '
import json, sys
given = dict(word[2:].split("=", 1) for word in sys.argv[1:])
if given.get("item") == "bad":
    sys.exit(1)
open(given["made"], "w").write(json.dumps(sorted(given.keys() & {"item", "extra"})))
'"""
work = Executable(PROGRAM, inputs=[Input("item")], outputs=[Output("made", mime_type="json")])


@parallel(iterable="item", on_error="null")
def first(item):
    return work(item=item)


@parallel(iterable="item")
def second(item):
    return work(item=item, name="again"), item


@pipeline(outputs=("pairs",))
def chained(items):
    return second(item=first(item=items))


def test_a_null_entry_is_no_option_and_stays_null(tmp_path: Path) -> None:
    (tmp_path / "items.json").write_text('["good", "bad"]')
    run = chained.run(
        workdir=tmp_path / "w",
        items=tmp_path / "items.json",
        settings=api.Settings(executor="inline"),
    )
    assert run.state == "done", run.failures
    (good, item), (bad, nothing) = json.loads(run.outputs["pairs"].read_text())
    assert (item, nothing) == ("first.iterations.1.work/made.json", None)
    assert json.loads((tmp_path / "w" / good).read_text()) == ["item"]
    assert json.loads((tmp_path / "w" / bad).read_text()) == []


def test_an_empty_text_is_no_option(tmp_path: Path) -> None:
    (tmp_path / "items.json").write_text('["", "x"]')
    settings = api.Settings(executor="inline")
    run = chained.run(workdir=tmp_path / "w", items=tmp_path / "items.json", settings=settings)
    (made, _), _ = json.loads(run.outputs["pairs"].read_text())
    assert run.state == "done"
    assert json.loads((tmp_path / "w" / "first.iterations.1.work/made.json").read_text()) == []
    assert made == "second.iterations.1.again/made.json"


def test_a_split_over_nothing_fails_with_what_to_give(tmp_path: Path) -> None:
    settings = api.Settings(executor="inline")
    run = chained.run(workdir=tmp_path / "w", items=None, settings=settings)
    assert [failure.reason for failure in run.failures] == [
        "the list 'item' that 'first' goes over is None; give a file, if empty one with []"
    ]
