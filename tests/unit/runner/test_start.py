"""How a run begins, what it refuses, and what an attempt without news is taken for."""

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from euclid_dask.core.attempts import Failure, FailureKind, Place, Receipt
from euclid_dask.core.errors import InputError, WorkdirError
from euclid_dask.core.events import RunOptions
from euclid_dask.core.flow import Flow
from euclid_dask.core.ids import RunId, TaskId
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.seams import AttemptEnded, AttemptsLost, AttemptsReturned, AttemptStarted
from euclid_dask.core.states import RunState
from euclid_dask.runner import workspace
from euclid_dask.runner.history import replay
from euclid_dask.runner.news import events_of
from euclid_dask.runner.start import RunRequest, new_run_id, plan_run, start_run
from euclid_dask.runner.traces import HOST_TRACES
from euclid_dask.runner.workspace import Workspace, begun_of, is_locked
from euclid_dask.sim import Outcome, Workload, World, begin, make_runner, simulate
from euclid_dask.sim.flows import arg, body, flow, out, split, task
from euclid_dask.worker.records import Started, claim, write_receipt


@pytest.fixture
def world() -> World:
    made = World(Workload())
    made.add_pilot("p", Resources(cores=2, ram_bytes=8 * GB))
    return made


def one_task() -> Flow:
    return flow(body(task("a"), result=out("a")))


def over_inputs() -> Flow:
    branch = body(task("work", i=arg("item")), inputs=("item",), r=out("work"))
    each = split("each", branch, over="item", item=arg("files"))
    return flow(body(each, inputs=("files",), result=out("each", "tuplelist")))


def test_a_plan_opens_splits_over_lists_from_outside(tmp_path: Path, world: World) -> None:
    (tmp_path / "l.json").write_text('["1.xml", "2.xml"]')
    for name in ("1.xml", "2.xml"):
        (tmp_path / name).write_text("<P/>")
    request = RunRequest(flow=over_inputs(), inputs={"files": "l.json"}, workdir=tmp_path)
    run = plan_run(request, world.agenda)
    assert list(run.tasks) == ["each.iterations.1.work", "each.iterations.2.work"]
    assert list(Workspace(tmp_path).records.iterdir()) == []


def test_a_workdir_that_cannot_be_locked_is_not_left_behind(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> int | None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(workspace, "_locked", refused)
    request = RunRequest(flow=one_task(), inputs={}, workdir=tmp_path / "new" / "w")
    with pytest.raises(WorkdirError, match="Permission denied"):
        start_run(request, world.agenda, software="test")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_cannot_be_written_down_leaves_no_records(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    request = RunRequest(flow=one_task(), inputs={}, workdir=tmp_path)
    with pytest.raises(WorkdirError, match="No space left"):
        start_run(request, world.agenda, software="test")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("begin", [partial(start_run, software="s"), plan_run])
def test_what_is_refused_takes_its_links_back(
    tmp_path: Path, world: World, begin: Callable[..., object]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x.txt").write_text("x")
    (tmp_path / "in/l.json").write_text('["x.txt"]')
    (tmp_path / "w").mkdir()
    (tmp_path / "w/own.txt").symlink_to(tmp_path / "in/x.txt")
    first, second = task("first", l=arg("l")), task("second", a=out("first"), l=arg("l"))
    flow_ = flow(body(first, second, inputs=("l",), result=out("second")))
    options = RunOptions(skip=("first",))
    source = str(tmp_path / "in/l.json")
    request = RunRequest(flow=flow_, inputs={"l": source}, workdir=tmp_path / "w", options=options)
    with pytest.raises(InputError, match="left out are needed and not there"):
        begin(request, world.agenda)
    assert [path.name for path in (tmp_path / "w").iterdir()] == ["own.txt"]


def test_a_disk_without_space_even_for_the_lock_is_refused_and_no_records_stay(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    monkeypatch.setattr(os, "fsync", full)
    request = RunRequest(flow=one_task(), inputs={}, workdir=tmp_path / "w")
    with pytest.raises(WorkdirError, match=r"cannot use the workdir .*No space left"):
        start_run(request, world.agenda, software="test")
    assert not Workspace(tmp_path / "w").records.exists()


def test_a_run_has_begun_when_its_journal_and_its_names_are_on_disk(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr(os, "fdatasync", note)
    monkeypatch.setattr(os, "fsync", note)
    request = RunRequest(flow=one_task(), inputs={}, workdir=tmp_path)
    active = start_run(request, world.agenda, software="test")
    active.close()
    files = Workspace(tmp_path).files(active.run.id)
    assert Path(synced[0]).parent == files.folder  # by rename
    assert synced[1:] == [str(files.folder), str(files.folder.parent)]


def test_a_run_sorts_behind_those_before_though_the_clock_was_set_back() -> None:
    first = new_run_id("zoo", 1e9 + 0.001)
    second = new_run_id("ant", 1e9 - 3600, after=[first])
    third = new_run_id("ant", 1e9 + 7, after=[second])
    begun = [begun_of(run) for run in (first, second, third)]
    assert begun == ["20010909T014640.001", "20010909T014640.002", "20010909T014647.000"]
    assert begun_of(new_run_id("ant", 1e9, after=[RunId("odd")])) == "20010909T014640.000"


def test_a_plan_of_a_list_that_is_none_is_refused(tmp_path: Path, world: World) -> None:
    (tmp_path / "l.json").write_text("{}")
    request = RunRequest(flow=over_inputs(), inputs={"files": "l.json"}, workdir=tmp_path)
    with pytest.raises(InputError, match="not a list"):
        plan_run(request, world.agenda)


@pytest.mark.parametrize(("workdir", "name"), [("w\udcff", "x"), ("w", "x\udcff")])
def test_names_that_no_journal_can_hold_are_refused(
    tmp_path: Path, world: World, workdir: str, name: str
) -> None:
    (tmp_path / name).write_text("x")
    flow_ = flow(body(task("a", i=arg("x")), inputs=("x",), result=out("a")))
    place = tmp_path / workdir
    request = RunRequest(flow=flow_, inputs={"x": name}, workdir=place, search=[tmp_path])
    with pytest.raises(InputError, match="this name is not UTF-8"):
        start_run(request, world.agenda, software="test")
    assert Workspace(place).runs() == []
    assert not is_locked(Workspace(place))


def test_a_run_that_cannot_begin_lets_go_of_the_workdir(tmp_path: Path, world: World) -> None:
    with pytest.raises(InputError, match="is missing"):
        begin(world, over_inputs(), tmp_path, {"files": "none.json"})
    assert not is_locked(Workspace(tmp_path))


@pytest.mark.parametrize("begin", [partial(start_run, software="s"), plan_run])
def test_what_is_refused_leaves_no_folder_behind(
    tmp_path: Path, world: World, begin: Callable[..., object]
) -> None:
    raw = {"files": "nowhere.json"}
    request = RunRequest(flow=over_inputs(), inputs=raw, workdir=tmp_path / "new" / "w")
    with pytest.raises(InputError, match="is missing"):
        begin(request, world.agenda)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["w/own.txt", "w/.euclid-dask/own.txt", "w/.euclid-dask/lock"])
def test_what_is_refused_removes_nothing_that_was_there(
    tmp_path: Path, world: World, there: str
) -> None:
    (tmp_path / there).parent.mkdir(parents=True)
    (tmp_path / there).touch()
    raw = {"files": "nowhere.json"}
    request = RunRequest(flow=over_inputs(), inputs=raw, workdir=tmp_path / "w")
    with pytest.raises(InputError, match="is missing"):
        start_run(request, world.agenda, software="s")
    assert (tmp_path / there).exists()


def test_a_workdir_without_room_for_records_is_refused(tmp_path: Path, world: World) -> None:
    (tmp_path / "data").write_text("a file where a folder belongs")
    with pytest.raises(WorkdirError, match="cannot use the workdir"):
        begin(world, one_task(), tmp_path)


@pytest.mark.parametrize("name", ["a", "logs", "data", ".euclid-dask"])
def test_an_input_with_the_name_of_a_folder_of_the_run_is_refused(
    tmp_path: Path, world: World, name: str
) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / name).write_text("x")
    pipeline = flow(body(task("a", i=arg("raw")), inputs=("raw",), result=out("a")))
    with pytest.raises(InputError, match=f"raw: .*/{name} would be {name}, which is the folder of"):
        begin(world, pipeline, tmp_path / "w", {"raw": str(tmp_path / name)})


def test_the_script_is_kept_with_the_run(tmp_path: Path, world: World) -> None:
    script = tmp_path / "flow.py"
    script.write_text("# it\n")
    pipeline = one_task()
    kept = Flow(
        name=pipeline.name,
        executables=pipeline.executables,
        body=pipeline.body,
        script=str(script),
    )
    active = begin(world, kept, tmp_path / "w")
    active.close()
    files = active.workspace.files(active.run.id)
    assert (files.script / "flow.py").read_text() == "# it\n"


def test_a_new_run_first_settles_what_a_dead_runner_left(tmp_path: Path, world: World) -> None:
    first = begin(world, one_task(), tmp_path)
    runner = make_runner(world, [first])
    runner.executor.open(runner.inbox)
    runner.turn(runner.inbox.take(0))
    world.agenda.advance()
    first.close()
    second = begin(world, one_task(), tmp_path)
    simulate(world, second)
    assert second.run.state is RunState.DONE
    left = replay(first.journal.path)
    assert not left.active
    assert len(world.log) == 2


def test_a_fresh_run_uses_nothing_of_earlier_ones(tmp_path: Path, world: World) -> None:
    simulate(world, begin(world, one_task(), tmp_path))
    request = RunRequest(flow=one_task(), inputs={}, workdir=tmp_path, fresh=True, traces=world)
    simulate(world, start_run(request, world.agenda, software="test"))
    assert len(world.log) == 2


# ---- news


def test_news_of_attempts_that_are_over_means_nothing(tmp_path: Path, world: World) -> None:
    active = begin(world, one_task(), tmp_path)
    simulate(world, active)
    run, attempt = active.run.id, ((TaskId("a"), 1),)
    for news in (
        AttemptStarted(run=run, task=TaskId("a"), attempt=1, host="h", at_s=1.0),
        AttemptEnded(run=run, receipt=Receipt(task=TaskId("a"), attempt=1)),
        AttemptsReturned(run=run, attempts=attempt),
        AttemptsLost(run=run, attempts=attempt, reason="x"),
    ):
        assert list(events_of(active, news, 1.0)) == []


def test_a_receipt_of_a_loss_is_a_loss(tmp_path: Path, world: World) -> None:
    active = begin(world, one_task(), tmp_path)
    runner = make_runner(world, [active])
    runner.executor.open(runner.inbox)
    runner.turn(runner.inbox.take(0))
    world.agenda.advance()
    world.kill(active.run.id)
    failure = Failure(kind=FailureKind.LOST, message="the pilot closed")
    receipt = Receipt(task=TaskId("a"), attempt=1, failure=failure)
    world.receipts[active.run.id, TaskId("a"), 1] = receipt
    (event,) = events_of(active, AttemptEnded(run=active.run.id, receipt=receipt), 1.0)
    assert type(event).__name__ == "TaskLost"
    active.close()


def test_an_attempt_whose_news_is_missing_is_known_by_its_receipt(
    tmp_path: Path, world: World
) -> None:
    active = begin(world, one_task(), tmp_path)
    runner = make_runner(world, [active])
    runner.executor.open(runner.inbox)
    runner.turn(runner.inbox.take(0))
    world.disconnect()
    while world.agenda.advance():
        pass
    lost = AttemptsLost(run=active.run.id, attempts=((TaskId("a"), 1),), reason="no news")
    (event,) = events_of(active, lost, 1.0)
    assert type(event).__name__ == "TaskSucceeded"
    active.close()


def test_an_attempt_that_cannot_be_killed_is_not_tried_again(tmp_path: Path, world: World) -> None:
    class Undead:
        was_started, receipt = world.was_started, world.receipt

        def kill(self, *_names: object) -> list[int]:
            return [7]

    active = begin(world, one_task(), tmp_path)
    active.traces = Undead()
    runner = make_runner(world, [active])
    runner.executor.open(runner.inbox)
    runner.turn(runner.inbox.take(0))
    world.agenda.advance()
    world.remove_pilot("p")
    with pytest.raises(WorkdirError, match="task 'a' cannot be killed: 7"):
        runner.turn(runner.inbox.take(0))
    active.close()


# ---- traces on this host


def test_records_on_disk_say_what_was_started_and_how_it_ended(tmp_path: Path) -> None:
    run = RunId(f"nobody-{os.getpid()}")
    place = Place(run=run, workdir=str(tmp_path), logdir="logs", records=str(tmp_path / "r"))
    name = TaskId("a")
    assert not HOST_TRACES.was_started(place, name, 1)
    started = Started(task=name, attempt=1, host="h", worker_pid=1, at_s=1.0)
    os.close(claim(place, started))
    assert HOST_TRACES.was_started(place, name, 1)
    assert HOST_TRACES.receipt(place, name, 1) is None
    write_receipt(place, Receipt(task=name, attempt=1))
    assert HOST_TRACES.receipt(place, name, 1) == Receipt(task=name, attempt=1)
    assert HOST_TRACES.kill(run) == []


def test_a_list_element_that_is_a_word_is_a_text(tmp_path: Path) -> None:
    def behave(_run: RunId, _order: object) -> Outcome:
        return Outcome(lists={"items": ("1-1", True)})

    world = World(behave)
    world.add_pilot("p", Resources(cores=2, ram_bytes=8 * GB))
    branch = body(task("work", i=arg("item")), inputs=("item",), r=out("work"))
    each = split("each", branch, over="item", item=out("make", "items"))
    active = begin(world, flow(body(task("make"), each, r=out("each", "tuplelist"))), tmp_path)
    simulate(world, active)
    items = [branch.scope.item for branch in active.run.splits["each"].branches]
    assert [item.path for item in items if item] == ["1-1", "true"]
