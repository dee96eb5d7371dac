"""A pipeline as one Dask graph, computed by Dask's own schedulers: the files of a usual run."""

import json
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

from euclid_dask import Executable, Input, Output, api, parallel, pipeline
from euclid_dask.core.errors import PipelineError

pytestmark = pytest.mark.dask

PROGRAM = """python3 -c '
import sys
given = dict(word[2:].split("=", 1) for word in sys.argv[1:])
text = open(given["one"]).read()
if "bad" in text: sys.exit(7)
open(given["made"], "w").write(text + "+")
'"""
MAKE_LIST = """python3 -c '
import sys
given = dict(word[2:].split("=", 1) for word in sys.argv[1:])
open(given["names"], "w").write("[]")
'"""


def step() -> Executable:
    return Executable(PROGRAM, inputs=[Input("one")], outputs=[Output("made", mime_type="txt")])


first, second = step(), step()
listing = Executable(
    MAKE_LIST,
    inputs=[Input("one")],
    outputs=[Output("names", mime_type="json", content_type="listfile")],
)


@parallel(iterable="one")
def each(one):
    return second(one=first(one=one))


@pipeline(outputs=("all", "later"))
def lowerable(items, seed):
    return each(one=items), each(one=listing(one=seed))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.txt").write_text(name)
    items = tmp_path / "items.json"
    items.write_text(json.dumps([str(tmp_path / f"{name}.txt") for name in "abc"]))
    return {"items": items, "seed": tmp_path / "a.txt"}


def lowered(tmp_path: Path, files: dict[str, Path], **settings: Any) -> Any:
    resources = settings.pop("annotate_resources", False)
    return api.to_dask(
        lowerable,
        workdir=tmp_path / "w",
        settings=api.Settings(**settings),
        annotate_resources=resources,
        **files,
    )


def contents(workdir: Path, listed: Path) -> list[str]:
    return [(workdir / path).read_text() for path in json.loads(listed.read_text())]


def test_its_outputs_are_those_of_a_run(tmp_path: Path, files: dict[str, Path]) -> None:
    graph = lowered(tmp_path, files)
    [listed] = dask.compute(graph.outputs["all"], scheduler="sync")
    assert contents(tmp_path / "w", Path(listed)) == ["a++", "b++", "c++"]
    run = lowerable.run(
        workdir=tmp_path / "other", settings=api.Settings(executor="inline"), **files
    )
    assert contents(tmp_path / "other", run.outputs["all"]) == ["a++", "b++", "c++"]
    assert Path(listed).read_text() == run.outputs["all"].read_text()


def test_a_split_over_a_list_that_a_task_makes_is_left_out(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    graph = lowered(tmp_path, files)
    assert graph.left_out == ("each_2",)
    assert set(graph.outputs) == {"all"}
    assert dask.compute(graph.all, scheduler="sync") == (7,)


@pytest.mark.parametrize(("fuse", "tasks"), [(True, 4), (False, 7)])
def test_chains_are_fused(tmp_path: Path, files: dict[str, Path], fuse: bool, tasks: int) -> None:
    graph = lowered(tmp_path, files, fuse=fuse).all.__dask_graph__()
    steps = [key for key in graph if key[0] in {"first", "second", "listing"}]
    assert len(steps) == tasks


def test_workers_with_the_resources_of_the_how_to_run_what_asks_for_them(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    graph = lowered(tmp_path, files, annotate_resources=True)
    resources = {"cores": 4.0, "ram_bytes": 16e9}
    cluster = LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        dashboard_address=None,
        resources=resources,
    )
    with cluster, Client(cluster) as client:
        future = client.compute(graph.all)  # as long as it is held, Dask forgets no task of it
        done = future.result(timeout=60)
        asked = {tuple(sorted(t.resource_restrictions)) for t in _finished(cluster)}
    assert done == 7
    assert asked == {("cores", "ram_bytes")}


def _finished(cluster: LocalCluster) -> list[Any]:
    """Return the tasks that Dask's scheduler still knows with restrictions."""
    tasks = cluster.scheduler.tasks.values()
    return [task for task in tasks if task.resource_restrictions]


def test_a_failure_is_raised_with_its_sentence(tmp_path: Path, files: dict[str, Path]) -> None:
    (tmp_path / "b.txt").write_text("bad")
    with pytest.raises(PipelineError, match="exit code 7"):
        dask.compute(lowered(tmp_path, files).all, scheduler="sync")
