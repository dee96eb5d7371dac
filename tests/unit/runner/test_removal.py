"""Temporary outputs go when nothing needs them any more, and are made again if something does."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from euclid_dask.core.attempts import Failure, FailureKind, Fingerprint, Order, Place
from euclid_dask.core.events import OutputsRemoved, RunOptions, TaskSucceeded
from euclid_dask.core.flow import Flow
from euclid_dask.core.ids import RunId
from euclid_dask.core.resources import GB, Resources
from euclid_dask.planner import Task
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.journal import read_journal
from euclid_dask.runner.recovery import resume_run
from euclid_dask.runner.workspace import Workspace
from euclid_dask.sim import Outcome, World, begin, make_runner, simulate
from euclid_dask.sim.files import AllFiles, Files
from euclid_dask.sim.flows import arg, body, flow, nested, out, split, task
from euclid_dask.worker.fingerprints import named_identity

CHAIN = flow(
    body(
        task("make"),
        task("work", a=out("make", "items")),
        task("check", a=out("work")),
        result=out("check"),
    ),
    temporary=("make", "work"),
)
"""`make` lists files, which `work` uses."""
Nature = Callable[[RunId, Order], Outcome]
DATA = ("data/1.txt", "data/2.txt")


def behave(_run: RunId, order: Order) -> Outcome:
    return Outcome(lists={"items": DATA})


class Lists(AllFiles):
    """Has tasks write lists of files that are there."""

    def __init__(self, entries: dict[str, tuple[str, ...]]) -> None:
        self.entries = entries

    def write(self, place: Place, order: Order, lists: Any) -> dict[str, Fingerprint]:
        found = super().write(place, order, {})
        for output in order.outputs:
            if output.port in lists:
                path = Path(place.workdir) / output.path
                path.write_text(json.dumps(self.entries[order.task]))
                found[output.port] = Fingerprint(
                    path=output.path,
                    size=path.stat().st_size,
                    mtime_ns=path.stat().st_mtime_ns,
                    named=named_identity(Path(place.workdir), output.path),
                )
        return found


def new_world(nature: Nature = behave, files: Files | None = None) -> World:
    world = World(nature, files=files or AllFiles())
    world.add_pilot("p", Resources(cores=2, ram_bytes=8 * GB), slots=2)
    return world


def run(
    pipeline: Flow,
    workdir: Path,
    nature: Nature = behave,
    options: RunOptions | None = None,
) -> ActiveRun:
    world = new_world(nature)
    active = begin(world, pipeline, workdir, options=options)
    simulate(world, active)
    return active


def files(workdir: Path) -> list[str]:
    return sorted(
        str(path.relative_to(workdir))
        for path in workdir.rglob("*.*")
        if ".euclid-dask" not in path.parts and (path.is_file() or path.is_symlink())
    )


def tasks_of(active: ActiveRun) -> list[Task]:
    return list(active.run.tasks.values())


def started(active: ActiveRun) -> list[str]:
    events = read_journal(active.journal.path)
    return [event.task for event in events if isinstance(event, TaskSucceeded)]


def order_of(active: ActiveRun) -> list[str]:
    """Return the tasks that succeeded, and `-TASK` where outputs of it went."""
    return [
        event.task if isinstance(event, TaskSucceeded) else f"-{event.task}"
        for event in read_journal(active.journal.path)
        if isinstance(event, TaskSucceeded | OutputsRemoved)
    ]


def test_an_output_goes_with_the_files_it_names_after_its_last_consumer(tmp_path: Path) -> None:
    active = run(CHAIN, tmp_path)
    assert str(active.run.state) == "done"
    assert files(tmp_path) == ["check/out.xml"]
    assert order_of(active) == ["make", "-make", "work", "-make", "check", "-work"]


def test_what_no_task_uses_goes_at_once(tmp_path: Path) -> None:
    pipeline = flow(body(task("make"), task("last"), result=out("last")), temporary=("make",))
    assert "-make" in order_of(run(pipeline, tmp_path))
    assert files(tmp_path) == ["last/out.xml"]


def test_a_result_stays_and_what_its_task_makes_besides_goes(tmp_path: Path) -> None:
    pipeline = flow(
        body(task("make"), task("use", a=out("make", "items")), result=out("make")),
        temporary=("make", "use"),
    )
    active = run(pipeline, tmp_path)
    assert sorted(order_of(active)) == ["-make", "-use", "make", "use"]
    assert files(tmp_path) == ["make/out.xml"]
    assert started(run(pipeline, tmp_path)) == []
    world = new_world()
    again = resume_run(Workspace(tmp_path), active.run.id, world.agenda, traces=world)
    simulate(world, again)
    assert started(again) == ["make", "use"]


def test_what_a_part_is_run_for_stays(tmp_path: Path) -> None:
    run(CHAIN, tmp_path, options=RunOptions(until=("work",)))
    assert "work/out.xml" in files(tmp_path)
    run(CHAIN, tmp_path)
    assert "check/out.xml" in files(tmp_path)


BRANCHES = flow(
    body(
        task("make"),
        task("dark"),
        split(
            "each",
            body(
                nested(
                    "inner",
                    body(
                        task("work", a=arg("a"), dark=arg("d")),
                        inputs=("a", "d"),
                        result=out("work"),
                    ),
                    a=arg("item"),
                    d=arg("dark"),
                ),
                task("check", a=out("inner", "result")),
                inputs=("item", "dark"),
                result=out("check"),
            ),
            over="item",
            item=out("make", "items"),
            dark=out("dark"),
        ),
        task("coadd", a=out("each", "tuplelist")),
        result=out("coadd"),
    ),
    temporary=("make", "dark", "work", "check"),
)


def many(_run: RunId, order: Order) -> Outcome:
    return Outcome(lists={"items": tuple(f"data/{number}.txt" for number in range(20))})


def test_branches_hold_what_they_share_and_not_what_is_their_own(tmp_path: Path) -> None:
    world = new_world(many)
    active = begin(world, BRANCHES, tmp_path)
    most: dict[str, int] = {}

    def look(_runner: object) -> None:
        for name in ("work", "check"):
            count = len(list(tmp_path.glob(f"*{name}/out.xml")))
            most[name] = max(most.get(name, 0), count)

    try:
        make_runner(world, [active], on_turn=look).run_until_ended()
    finally:
        active.close()
    order = order_of(active)
    works = [place for place, name in enumerate(order) if name.endswith(".work")]
    assert len(works) == 40  # made, and gone
    made = [place for place in works if not order[place].startswith("-")]
    assert order.index("-dark") > max(made)
    assert order[::-1].index("-make") < len(order) - max(made)
    assert files(tmp_path) == ["coadd/out.xml", "each.reduce/tuplelist.json"]
    assert most["work"] < 6, "branches that are done keep their files"
    assert most["check"] == 20, "the joined list needs them all"


def test_a_file_that_two_outputs_name_goes_with_the_last(tmp_path: Path) -> None:
    pipeline = flow(
        body(
            task("a"),
            task("b", x=out("a", "items")),
            task("c", x=out("b", "items")),
            result=out("c"),
        ),
        temporary=("a", "b"),
    )
    active = run(pipeline, tmp_path)
    gone = {task.id: sorted(file.path for file in task.removed) for task in tasks_of(active)}
    assert gone == {
        "a": ["a/items.json", "a/out.xml"],
        "b": ["b/items.json", "b/out.xml", *DATA],
        "c": [],
    }


def test_an_output_that_another_names_goes_with_that_one(tmp_path: Path) -> None:
    pipeline = flow(
        body(
            task("a"),
            task("b", x=out("a")),
            task("c", x=out("b", "items")),
            task("kept", x=out("a")),
            result=out("c"),
        ),
        temporary=("a", "b"),
    )
    world = new_world(files=Lists({"b": ("a/out.xml",)}))
    active = begin(world, pipeline, tmp_path)
    simulate(world, active)
    assert sorted(order_of(active)[-2:]) == ["-a", "-b"]
    assert order_of(active)[-3] == "c"
    assert files(tmp_path) == ["c/out.xml", "kept/out.xml"]


def test_what_a_lasting_output_names_stays(tmp_path: Path) -> None:
    pipeline = flow(
        body(task("a"), task("b", x=out("a", "items")), result=out("b", "items")),
        temporary=("a",),
    )
    run(pipeline, tmp_path)
    assert files(tmp_path) == ["b/items.json", "b/out.xml", *DATA]


def test_inputs_links_and_what_is_outside_stay(tmp_path: Path) -> None:
    workdir, other = tmp_path / "w", tmp_path / "other.txt"
    (workdir / "data").mkdir(parents=True)
    (workdir / "data" / "2.txt").write_text("made")
    other.write_text("not ours")
    (workdir / "data" / "link.txt").symlink_to(other)
    (workdir / "raw.json").write_text(json.dumps(["data/1.txt"]))
    (workdir / "data" / "1.txt").write_text("an input")
    names = ("data/1.txt", "data/2.txt", "data/link.txt", "../other.txt", str(other))

    world = new_world(files=Lists({"make": names}))
    pipeline = flow(
        body(
            task("make", raw=arg("raw")),
            task("use", a=out("make", "items")),
            inputs=("raw",),
            result=out("use"),
        ),
        temporary=("make",),
    )
    active = begin(world, pipeline, workdir, {"raw": "raw.json"})
    simulate(world, active)
    assert files(workdir) == ["data/1.txt", "data/link.txt", "raw.json", "use/out.xml"]
    assert other.read_text() == "not ours"


def test_what_serves_a_failed_task_stays(tmp_path: Path) -> None:
    def failing(_run: RunId, order: Order) -> Outcome:
        failure = Failure(kind=FailureKind.EXIT, message="no", exit_code=1)
        is_bad = order.task == "work" and order.attempt < 3
        return Outcome(lists={"items": DATA}, failure=failure if is_bad else None)

    world = new_world(failing)
    active = begin(world, CHAIN, tmp_path)
    simulate(world, active)
    assert str(active.run.state) == "failed"
    assert "make/items.json" in files(tmp_path)
    again = resume_run(Workspace(tmp_path), active.run.id, world.agenda, traces=world)
    simulate(world, again)
    again = resume_run(Workspace(tmp_path), active.run.id, world.agenda, traces=world)
    simulate(world, again)
    assert str(again.run.state) == "done"
    assert started(again) == ["make", "work", "check"]
    assert files(tmp_path) == ["check/out.xml"]


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        ((), []),
        (("check",), ["make", "work", "check"]),
        (("make",), ["make"]),
    ],
)
def test_what_went_is_made_again_only_for_who_needs_it(
    tmp_path: Path, again: tuple[str, ...], expected: Sequence[str]
) -> None:
    run(CHAIN, tmp_path)
    second = run(CHAIN, tmp_path, options=RunOptions(again=again))
    assert started(second) == expected
    assert files(tmp_path) == ["check/out.xml"]


def test_a_result_that_is_lost_is_made_again_with_all_that_went(tmp_path: Path) -> None:
    active = run(CHAIN, tmp_path)
    before = (tmp_path / "check/out.xml").read_text()
    (tmp_path / "check/out.xml").unlink()
    world = new_world()
    again = resume_run(Workspace(tmp_path), active.run.id, world.agenda, traces=world)
    simulate(world, again)
    assert (tmp_path / "check/out.xml").read_text() == before
    assert files(tmp_path) == ["check/out.xml"]
    assert len(again.run.tasks["make"].removed) == 4


def test_a_removal_that_was_cut_off_is_done_by_the_next_runner(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()

    def keep(_runner: object) -> None:
        for name in ("make/items.json", "data/1.txt"):
            if (tmp_path / "w" / name).exists() and not (kept / name).exists():
                (kept / name).parent.mkdir(exist_ok=True)
                os.link(tmp_path / "w" / name, kept / name)

    world = new_world()
    active = begin(world, CHAIN, tmp_path / "w")
    try:
        make_runner(world, [active], on_turn=keep).run_until_ended()
    finally:
        active.close()
    os.link(kept / "make/items.json", tmp_path / "w/make/items.json")  # as if it had not gone yet
    (tmp_path / "w/data/1.txt").write_text("another's by now")
    resume_run(Workspace(tmp_path / "w"), active.run.id, world.agenda, traces=world).close()
    assert files(tmp_path / "w") == ["check/out.xml", "data/1.txt"]


def test_what_branches_will_use_stays_until_they_are_known(tmp_path: Path) -> None:
    branch = body(
        task("work", a=arg("item"), dark=arg("dark")), inputs=("item", "dark"), result=out("work")
    )
    pipeline = flow(
        body(
            task("dark"),
            task("first"),
            task("second", a=out("first")),
            task("make", a=out("second")),
            split("each", branch, over="item", item=out("make", "items"), dark=out("dark")),
            result=out("each", "tuplelist"),
        ),
        temporary=("dark",),
    )
    order = order_of(run(pipeline, tmp_path))
    assert set(order[:2]) == {"dark", "first"}
    assert (order.count("dark"), order[-1]) == (1, "-dark")
