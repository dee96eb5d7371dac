"""What earlier runs finished, by their indexes and by their journals."""

from pathlib import Path

import pytest

from euclid_dask.core.events import RunOptions
from euclid_dask.core.flow import Flow
from euclid_dask.core.resources import GB, Resources
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.again import reasons_again
from euclid_dask.runner.earlier import EarlierRun, Known, earlier_runs
from euclid_dask.runner.workspace import Workspace
from euclid_dask.sim import Outcome, World, begin, make_runner, resume, simulate
from euclid_dask.sim.files import AllFiles
from euclid_dask.sim.flows import body, flow, out, task


@pytest.fixture
def world() -> World:
    made = World(lambda _run, _order: Outcome(duration_s=1.0), files=AllFiles())
    made.add_pilot("p", Resources(cores=2, ram_bytes=8 * GB))
    return made


def chain() -> Flow:
    return flow(body(task("a"), task("b", x=out("a")), r=out("b")))


def done(world: World, workdir: Path) -> ActiveRun:
    active = begin(world, chain(), workdir)
    simulate(world, active)
    return active


def only(workdir: Path) -> EarlierRun:
    (run,) = earlier_runs(Workspace(workdir))
    return run


def identities(active: ActiveRun) -> set[str]:
    return {task.identity for task in active.run.tasks.values()}


def test_the_index_says_what_the_journal_says(tmp_path: Path, world: World) -> None:
    active = done(world, tmp_path)
    indexed = only(tmp_path)
    assert indexed.is_indexed
    known = Known([indexed])
    found = {identity: known.work(identity) for identity in known}
    assert set(found) == identities(active)
    active.workspace.files(active.run.id).index.unlink()
    rebuilt = Known([only(tmp_path)])
    assert {identity: rebuilt.work(identity) for identity in rebuilt} == found


def test_an_index_is_read_without_the_journal(tmp_path: Path, world: World) -> None:
    active = done(world, tmp_path)
    journal = active.journal.path
    journal.write_bytes(b"x" * journal.stat().st_size)
    assert set(Known([only(tmp_path)])) == identities(active)


@pytest.mark.parametrize("text", [b"", b"nonsense", b'{"version":0,"journal_bytes":9}\n{}'])
def test_an_index_that_does_not_fit_is_made_again_by_the_next_run(
    tmp_path: Path, world: World, text: bytes
) -> None:
    active = done(world, tmp_path)
    active.workspace.files(active.run.id).index.write_bytes(text)
    assert not only(tmp_path).is_indexed
    assert set(Known([only(tmp_path)])) == identities(active)
    done(world, tmp_path)
    assert [run.is_indexed for run in earlier_runs(Workspace(tmp_path))] == [True, True]
    assert len(world.log) == 2


def test_an_index_does_not_fit_while_its_run_goes_on(tmp_path: Path, world: World) -> None:
    done(world, tmp_path)
    active = resume(world, tmp_path)
    assert not only(tmp_path).is_indexed
    simulate(world, active)
    assert only(tmp_path).is_indexed


def test_a_run_whose_runner_died_is_settled_once(tmp_path: Path, world: World) -> None:
    first = begin(world, chain(), tmp_path)
    runner = make_runner(world, [first])
    runner.executor.open(runner.inbox)
    runner.turn(runner.inbox.take(0))
    first.close()
    world.disconnect()
    done(world, tmp_path)
    died, _ = earlier_runs(Workspace(tmp_path))
    assert died.is_indexed
    size = first.journal.path.stat().st_size
    done(world, tmp_path)
    assert first.journal.path.stat().st_size == size


def test_the_latest_run_is_asked_first(tmp_path: Path, world: World) -> None:
    done(world, tmp_path)
    done(world, tmp_path)
    old, new = earlier_runs(Workspace(tmp_path))
    known = Known([old, new])
    (first, *_) = new.read()
    assert known.work(first).run == new.id
    assert "nobody" not in known


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (RunOptions(), {"a", "b"}),
        (RunOptions(again=("b",)), {"a"}),
        (RunOptions(again=("b.",)), {"a", "b"}),
        (RunOptions(fresh=True), set()),
    ],
)
def test_what_is_to_run_again_is_not_known(
    tmp_path: Path, world: World, options: RunOptions, left: set[str]
) -> None:
    names = {task.identity: task.id for task in done(world, tmp_path).run.tasks.values()}
    known = Known(earlier_runs(Workspace(tmp_path)), options)
    assert {names[identity] for identity in known} == left


@pytest.mark.parametrize("options", [RunOptions(again=("a", "b")), RunOptions(fresh=True)])
def test_what_a_run_was_to_do_again_is_not_taken_from_those_before_it(
    tmp_path: Path, world: World, options: RunOptions
) -> None:
    done(world, tmp_path)
    cut_off = begin(world, chain(), tmp_path, options=options)
    runner = make_runner(world, [cut_off])
    runner.executor.open(runner.inbox)
    while cut_off.run.tasks["a"].state != "done":
        runner.turn(runner.inbox.take(0))
    cut_off.close()
    world.disconnect()
    last = done(world, tmp_path)
    assert [task.state for task in last.run.tasks.values()] == ["skipped", "done"]
    assert reasons_again(last.run, last.earlier) == {"you asked for it": 1}
    assert [task.state for task in done(world, tmp_path).run.tasks.values()] == ["skipped"] * 2


def test_work_is_known_however_many_runs_ago_it_was_done(tmp_path: Path, world: World) -> None:
    done(world, tmp_path)
    for _ in range(25):
        simulate(world, begin(world, flow(body(task("other"), r=out("other"))), tmp_path))
    assert [task.state for task in done(world, tmp_path).run.tasks.values()] == ["skipped"] * 2


def test_forgotten_work_is_not_known(tmp_path: Path, world: World) -> None:
    done(world, tmp_path)
    known = Known(earlier_runs(Workspace(tmp_path)))
    first = next(iter(known))
    known.forget(first)
    assert first not in known
    assert len(known) == 1
    with pytest.raises(KeyError):
        known.work(first)


def test_a_run_ends_well_beside_one_whose_journal_was_damaged(tmp_path: Path, world: World) -> None:
    before = done(world, tmp_path)
    after = begin(world, chain(), tmp_path)
    for identity in set(after.known):
        after.known.forget(identity)
    journal = before.journal.path
    journal.write_bytes(b"x" * journal.stat().st_size)
    simulate(world, after)
    reason = f"the journal of {before.run.id} is damaged"
    assert reasons_again(after.run, after.earlier) == {reason: 2}
