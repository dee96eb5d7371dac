"""Outputs of finished work: whether they are as they were made, by time of change or content."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from euclid_dask.api import open_run, why_again_in
from euclid_dask.core.events import IdentityBy, RunOptions
from euclid_dask.core.flow import Flow
from euclid_dask.core.resources import Resources
from euclid_dask.runner.again import reasons_again
from euclid_dask.sim import Outcome, World, begin, simulate
from euclid_dask.sim import resume as take_up
from euclid_dask.sim.files import AllFiles
from euclid_dask.sim.flows import arg, body, flow, out, split, task

NOON_S = 1_000_000_000

Meddle = Callable[[Path], Path]


def pipeline() -> Flow:
    """Return a flow with a list, files that it names, a joined list and a result."""
    branch = body(task("w", item=arg("item")), inputs=("item",), r=out("w"))
    return flow(
        body(
            task("make"),
            split("each", branch, over="item", item=out("make", "items")),
            task("end", lot=out("each", "tuplelist")),
            result=out("end"),
            kept=out("make", "items"),
        )
    )


def world() -> World:
    made = World(
        lambda _, order: Outcome(
            lists={"items": ("data/1.txt", "data/2.txt") if order.task == "make" else ()}
        ),
        files=AllFiles(),
    )
    made.add_pilot("p", Resources(cores=2))
    return made


def run(workdir: Path, by: IdentityBy) -> tuple[list[str], dict[str, int]]:
    """Run the pipeline; return the tasks that were started, and why known ones were."""
    here = world()
    active = begin(here, pipeline(), workdir, options=RunOptions(identity_by=by))
    simulate(here, active)
    return [one.task for one in here.log], reasons_again(active.run, active.earlier)


def files(workdir: Path) -> list[Path]:
    found = [one for one in workdir.rglob("*") if one.is_file()]
    return [one for one in found if ".euclid-dask" not in one.parts]


def touched(workdir: Path) -> Path:
    for one in files(workdir):
        os.utime(one, (NOON_S, NOON_S))
    return workdir


def copied(workdir: Path) -> Path:
    other = workdir.with_name("copy")
    shutil.copytree(workdir, other, copy_function=shutil.copyfile)
    return touched(other)


@pytest.mark.parametrize("meddle", [touched, copied])
def test_by_content_nothing_runs_again_in_a_workdir_that_was_touched_or_copied(
    tmp_path: Path, meddle: Meddle
) -> None:
    run(tmp_path / "w", "content")
    assert run(meddle(tmp_path / "w"), "content") == ([], {})


def test_by_content_a_copy_of_a_finished_run_is_resumed_without_a_task(tmp_path: Path) -> None:
    run(tmp_path / "w", "content")
    here = world()
    active = take_up(here, copied(tmp_path / "w"))
    simulate(here, active)
    assert here.log == []


def test_by_time_of_change_results_that_were_touched_are_made_again(tmp_path: Path) -> None:
    run(tmp_path / "w", "mtime")
    started, reasons = run(touched(tmp_path / "w"), "mtime")
    branches = [f"each.iterations.{number}.w" for number in (1, 2)]
    assert sorted(started) == [*branches, "end", "make"]
    assert reasons == {
        "its output out (make/out.xml) was changed": 1,
        "its output out (each.iterations.*.w/out.xml) was changed": 2,
        "its output out (end/out.xml) was changed": 1,
    }


def test_which_result_is_gone_is_said_also_of_a_run_of_before(tmp_path: Path) -> None:
    run(tmp_path, "content")
    (tmp_path / "end/out.xml").unlink()
    reasons = {"its output out (end/out.xml) is gone": 1}
    assert run(tmp_path, "content") == (["end"], reasons)
    assert why_again_in(open_run(tmp_path)) == reasons


@pytest.mark.parametrize("name", ["end/out.xml", "data/1.txt"])
def test_by_content_other_bytes_of_the_same_number_are_a_change(tmp_path: Path, name: str) -> None:
    run(tmp_path / "w", "content")
    file = tmp_path / "w" / name
    before = file.read_bytes()
    file.write_bytes(bytes(reversed(before)))
    started, _ = run(tmp_path / "w", "content")
    assert started == ["end" if name.startswith("end") else "make"]
    assert file.read_bytes() == before
