"""A run that is crashed anywhere and resumed ends as one that is left alone."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from euclid_dask.core.attempts import Failure, FailureKind, Order
from euclid_dask.core.events import RunEvent, RunOptions, TaskErred, TaskSucceeded
from euclid_dask.core.flow import Body, Flow, Node, Source
from euclid_dask.core.ids import RunId, TaskId
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.seams import BundleOrder, News
from euclid_dask.core.states import RunState, TaskState
from euclid_dask.core.values import replace
from euclid_dask.dataflow.steps import tasks as all_tasks
from euclid_dask.planner import Run
from euclid_dask.planner.retention import lasting
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.again import dependents
from euclid_dask.runner.earlier import Asked
from euclid_dask.runner.history import replay
from euclid_dask.runner.inbox import CancelNews
from euclid_dask.runner.journal import Journal, read_journal
from euclid_dask.runner.loop import Runner
from euclid_dask.runner.recovery import resume_run
from euclid_dask.runner.reuse import is_result
from euclid_dask.runner.workspace import Workspace
from euclid_dask.sim import Outcome, SimulatedExecutor, VirtualInbox, World, begin
from euclid_dask.sim.files import AllFiles
from euclid_dask.sim.flows import arg, body, flow, nested, out, split, task
from euclid_dask.sim.workload import random_of
from euclid_dask.worker.fingerprints import closure

Validate = Callable[[Run], None]
Dump = Callable[[Run], dict[str, Any]]

FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""A folder in memory, where waiting for the disk takes no time."""

HALFWAY = 60
"""A point of the small runs here at which some of their work is done."""

POINTS_LIMIT = 100_000
"""At more points than this no run here can be crashed: it hangs."""

# ---- random flows


@st.composite
def bodies(draw: st.DrawFn, path: str = "n", depth: int = 0, inputs: tuple[str, ...] = ()) -> Body:
    """Draw a body; names are unique in the flow, since they name the executables."""
    files: list[Source] = [arg(name) for name in inputs]
    lists: list[Source] = []
    nodes: list[Node] = []
    for number in range(draw(st.integers(1, 4 if depth == 0 else 3))):
        name = f"{path}{number}"
        kinds = ["task", "task", "maker"]
        if depth < 2:
            kinds += ["nested"] + ["split"] * 3 * bool(lists)
        kind = draw(st.sampled_from(kinds))
        some = draw(st.lists(st.sampled_from(files), max_size=3)) if files else []
        arguments = {f"a{position}": source for position, source in enumerate(some)}
        if kind == "split":
            inner = draw(bodies(f"{name}_", depth + 1, ("item", *arguments)))
            nodes.append(
                split(
                    name,
                    inner,
                    over="item",
                    item=draw(st.sampled_from(lists)),
                    on_error=draw(st.sampled_from(["fail", "skip", "null"])),
                    max_failed_fraction=draw(st.sampled_from([1.0, 0.5, 0.3])),
                    **arguments,
                )
            )
            lists.append(out(name, "tuplelist"))
            files.append(out(name, "tuplelist"))
        elif kind == "nested":
            inner = draw(bodies(f"{name}_", depth + 1, tuple(arguments)))
            nodes.append(nested(name, inner, **arguments))
            files += [out(name, result.name) for result in inner.outputs]
        else:
            nodes.append(task(name, **arguments))
            files.append(out(name, "items" if kind == "maker" else "out"))
            if kind == "maker":
                lists.append(out(name, "items"))
    made = [source for source in files if source not in [arg(name) for name in inputs]]
    chosen = draw(st.lists(st.sampled_from(made or files), min_size=1, max_size=2))
    results = {f"r{position}": source for position, source in enumerate(chosen)}
    return body(*nodes, inputs=inputs, **results)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """Draw a flow; some executables need two cores, some make temporary outputs."""
    made = flow(draw(bodies()))
    needs = {
        key: Resources(cores=1 + draw(st.integers(0, 1)), ram_bytes=GB) for key in made.executables
    }
    temporary = draw(st.just(()) | st.lists(st.sampled_from(sorted(made.executables)), unique=True))
    return flow(made.body, needs, temporary=temporary)


class Nature:
    """How tasks behave: for good by task, for a time by how often they were tried."""

    def __init__(self, seed: int, *, failing: float, unsteady: bool) -> None:
        self.seed, self.failing, self.unsteady = seed, failing, unsteady
        self.tries: Counter[tuple[RunId, TaskId]] = Counter()

    def __call__(self, run: RunId, order: Order) -> Outcome:
        draw = random_of(self.seed, order.task)
        fails, stumble = draw.random() < self.failing, draw.randrange(6)
        self.tries[run, order.task] += 1
        failure = None
        if fails:
            failure = Failure(kind=FailureKind.EXIT, message="it always fails", exit_code=1)
        elif self.unsteady and stumble == 1 and self.tries[run, order.task] == 1:
            failure = Failure(kind=FailureKind.EXIT, message="it fails once", exit_code=2)
        elif self.unsteady and stumble == 2 and self.tries[run, order.task] == 1:
            failure = Failure(kind=FailureKind.LOST, message="it is lost once")
        elif self.unsteady and stumble == 3 and order.needs.ram_bytes < 1.4 * GB:
            failure = Failure(kind=FailureKind.MEMORY, message="it needs more RAM")
        elif self.unsteady and stumble == 4 and order.needs.walltime_s < 2 * 3600.0:
            failure = Failure(kind=FailureKind.WALLTIME, message="it needs more time")
        elif self.unsteady and stumble == 5 and self.tries[run, order.task] == 1:
            failure = Failure(kind=FailureKind.EXPIRED, message="its pilot ends")
        entries = tuple(f"data/{order.task}.{n}.txt" for n in range(draw.randrange(5)))
        return Outcome(
            duration_s=draw.choice([0.01, 1.0, 1.0, 3.0]), failure=failure, lists={"items": entries}
        )


# ---- crashes


class Crash(BaseException):
    """The runner's process ends here."""


class Saboteur:
    """Counts the points where a crash is possible and crashes at one; never for None.

    A write of the journal may be torn: `torn` is the part of it that reaches the disk.
    """

    def __init__(self, at: int | None = None, torn: float = 0.5) -> None:
        self.at, self.torn, self.passed, self.crashed = at, torn, 0, False

    def is_due(self) -> bool:
        self.passed += 1
        assert self.passed < POINTS_LIMIT, "the run does not come to an end"
        self.crashed = self.crashed or self.passed - 1 == self.at
        return self.passed - 1 == self.at

    def point(self) -> None:
        if self.is_due():
            raise Crash


class SabotagedClock:
    def __init__(self, world: World, saboteur: Saboteur) -> None:
        self.world, self.saboteur = world, saboteur

    def now_s(self) -> float:
        self.saboteur.point()
        return self.world.agenda.now_s()


class SabotagedJournal(Journal):
    """A journal whose `sync` may end before, inside or after the write."""

    def __init__(self, inner: Journal, saboteur: Saboteur) -> None:
        self.inner, self.saboteur, self.path = inner, saboteur, inner.path

    def append(self, event: RunEvent) -> None:
        self.inner.append(event)

    def sync(self) -> None:
        self.saboteur.point()
        before = self.path.stat().st_size
        self.inner.sync()
        if self.saboteur.is_due():
            tear(self.path, before, self.saboteur.torn)
            raise Crash
        self.saboteur.point()

    def close(self) -> None:
        self.inner.close()


class SabotagedExecutor(SimulatedExecutor):
    def __init__(self, world: World, saboteur: Saboteur) -> None:
        super().__init__(world)
        self.world, self.saboteur = world, saboteur

    def start(self, bundles: Sequence[BundleOrder]) -> None:
        for bundle in bundles:
            self.saboteur.point()
            super().start([bundle])
        self.saboteur.point()

    def close(self, *, end_pilots: bool = True) -> None:
        if self.saboteur.crashed:
            self.world.disconnect()
        else:
            super().close(end_pilots=end_pilots)


class Death(Saboteur):
    """A saboteur that knows every change of the disk, too: the last one before is the last of all.

    While it is armed (`with`), Python tells it what is opened to be written, made, moved, linked
    and removed; what tasks do in the meantime is none of its business.
    """

    armed: "Death | None" = None
    is_listening = False

    def __enter__(self) -> Self:
        if not Death.is_listening:  # for ever: Python forgets no hook
            sys.addaudithook(listen)
            Death.is_listening = True
        Death.armed = self
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        Death.armed = None
        return kind is Crash

    def change(self) -> None:
        if self.crashed:
            raise Crash
        self.point()


CHANGES = {f"os.{name}" for name in ("rename", "remove", "rmdir", "mkdir", "link", "symlink")}


def listen(event: str, details: tuple[Any, ...]) -> None:
    death = Death.armed
    if death is not None and (
        event in CHANGES
        or (
            event == "open"
            and (details[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        )
    ):
        death.change()


class TasksInbox(VirtualInbox):
    """An inbox in whose waits tasks run; these do not die with the runner."""

    def take(self, timeout_s: float | None, apart_s: float = 0.0) -> list[News | CancelNews]:
        death, Death.armed = Death.armed, None
        try:
            return super().take(timeout_s, apart_s)
        finally:
            Death.armed = death


def tear(journal: Path, before: int, part: float) -> None:
    """Cut off some of what was written behind `before`."""
    size = journal.stat().st_size
    with journal.open("r+b") as file:
        file.truncate(before + int(part * (size - before)))


def carry_out(world: World, active: ActiveRun, saboteur: Saboteur, validate: Validate) -> None:
    """Carry out a run until it ends or is crashed."""
    active.journal = SabotagedJournal(active.journal, saboteur)
    runner = Runner(
        SabotagedExecutor(world, saboteur),
        SabotagedClock(world, saboteur),
        inbox=TasksInbox(world),
        on_turn=lambda _runner: validate(active.run),
    )
    runner.add(active)
    try:
        runner.run_until_ended()
    except Crash:
        pass
    finally:
        active.close()


def take_up(world: World, workdir: Path, torn: float | None) -> ActiveRun:
    """Resume, if `torn` is a number with a first attempt that tears its own write."""
    workspace = Workspace(workdir)
    run = workspace.find(None)
    if torn is not None:
        journal = workspace.files(run).journal
        before = journal.read_bytes().rfind(b"\n") + 1
        resume_run(workspace, run, world.agenda, traces=world).close()
        tear(journal, before, torn)
    return resume_run(workspace, run, world.agenda, traces=world)


# ---- what is compared


def contents(workdir: Path) -> dict[str, Any]:
    """Return what was made in a workdir: lists as lists."""
    return {
        str(path.relative_to(workdir)): json.loads(path.read_text())
        if path.suffix == ".json"
        else path.read_text()
        for path in workdir.rglob("*.*")
        if ".euclid-dask" not in path.parts and path.is_file()
    }


def final_states(run: Run) -> dict[str, TaskState]:
    return {task.id: task.state for task in run.tasks.values()}


def make_world(nature: Nature, small: bool, dying_s: float | None) -> World:
    world = World(nature, files=AllFiles())
    world.add_pilot("p", Resources(cores=2, ram_bytes=8 * GB), slots=3)
    if not small:
        world.add_pilot("q", Resources(cores=3, ram_bytes=2 * GB))
    if dying_s is not None:
        at_s = world.agenda.now_s() + dying_s
        world.add_pilot("d", Resources(cores=2, ram_bytes=8 * GB))
        world.agenda.at(at_s, lambda: world.remove_pilot("d"))
    return world


CRASHES = st.lists(
    st.tuples(
        st.integers(0, 2**16),  # where, and how torn: a seed, so that all places are as likely
        st.integers(0, 6),  # how many things happen until somebody resumes
        st.none() | st.floats(0, 1),  # whether the resume is torn as well
    ),
    min_size=1,
    max_size=3,
)
OPTIONS = st.builds(
    RunOptions,
    policy=st.sampled_from(["fifo", "critical-path"]),
    science_retries=st.just(1),
    lost_retries=st.just(20),
    fuse=st.booleans(),
    group=st.booleans(),
)


AGAIN = st.none() | st.just("fresh") | st.integers(0, 2**16)
"""What was run before and is run once more: nothing, all afresh, or what depends on one task."""


def second(options: RunOptions, before: Run, again: str | int) -> RunOptions:
    """Return the options of a run after `before` that is fresh, or runs some task again."""
    if again == "fresh":
        return replace(options, fresh=True)
    assert isinstance(again, int)
    tasks = list(before.tasks.values())
    return replace(options, again=dependents(before, tasks[again % len(tasks)]))


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    pipeline=flows(),
    seed=st.integers(0, 2**16),
    failing=st.sampled_from([0.0, 0.0, 0.15]),
    unsteady=st.booleans(),
    small=st.booleans(),
    dying_s=st.none() | st.floats(0.1, 5),
    options=OPTIONS,
    crashes=CRASHES,
    again=AGAIN,
)
def test_a_crashed_and_resumed_run_ends_as_one_left_alone(
    *,
    pipeline: Flow,
    seed: int,
    failing: float,
    unsteady: bool,
    small: bool,
    dying_s: float | None,
    options: RunOptions,
    crashes: list[tuple[int, int, float | None]],
    again: str | int | None,
    validate: Validate,
    dump: Dump,
) -> None:
    def world_and_run(workdir: Path) -> tuple[World, ActiveRun]:
        world = make_world(Nature(seed, failing=failing, unsteady=unsteady), small, dying_s)
        active = begin(world, pipeline, workdir, options=options)
        if again is None:
            return world, active
        carry_out(world, active, Saboteur(), validate)
        asked = second(options, active.run, again)
        return world, begin(world, pipeline, workdir, options=asked)

    with TemporaryDirectory(dir=FAST) as calm, TemporaryDirectory(dir=FAST) as wild:
        world, left_alone = world_and_run(Path(calm))
        counting = Saboteur()
        carry_out(world, left_alone, counting, validate)

        world, active = world_and_run(Path(wild))
        for place, pause, torn_again in crashes:
            chance = random_of(place)
            saboteur = Saboteur(chance.randrange(counting.passed), chance.random())
            carry_out(world, active, saboteur, validate)
            for _ in range(pause):
                world.agenda.advance()
            active = take_up(world, Path(wild), torn_again)
            validate(active.run)
        carry_out(world, active, Saboteur(), validate)

        assert final_states(active.run) == final_states(left_alone.run)
        assert active.run.state == left_alone.run.state
        assert active.run.outputs() == left_alone.run.outputs()
        assert contents(Path(wild)) == contents(Path(calm))
        assert dump(replay(active.journal.path)) == dump(active.run)
        check_history(world, active)


def check_history(world: World, active: ActiveRun) -> None:
    """Assert that no finished work was done again, and that the journal says what happened."""
    events = list(read_journal(active.journal.path))
    done = {task.id for task in active.run.tasks.values() if task.state is TaskState.DONE}
    successes = Counter(event.task for event in events if isinstance(event, TaskSucceeded))
    assert successes == Counter(done)
    made = Counter(
        key[1]
        for key, receipt in world.receipts.items()
        if receipt.failure is None and key[0] == active.run.id
    )
    assert made == Counter(done), "finished work was done again, or forgotten"
    asked = Asked(again=active.run.options.again)
    reused = {task.id for task in active.run.tasks.values() if task.state is TaskState.SKIPPED}
    assert not [name for name in reused if active.run.options.fresh or name in asked]
    kinds = {event.failure.kind for event in events if isinstance(event, TaskErred)}
    limits = {FailureKind.MEMORY, FailureKind.WALLTIME}
    assert kinds <= {FailureKind.EXIT, *limits}, "a task was started without its inputs"


def test_at_every_point_only_what_was_in_flight_is_started_once_more(validate: Validate) -> None:
    branch = body(
        task("work", image=arg("item")),
        task("check", image=out("work")),
        inputs=("item",),
        result=out("check"),
    )
    each = split("each", branch, over="item", item=out("make", "items"))
    pipeline = flow(body(task("make"), each, result=out("each", "tuplelist")))

    def behave(_run: RunId, _order: Order) -> Outcome:
        return Outcome(lists={"items": ("1.txt", "2.txt", "3.txt", "4.txt")})

    point = in_flight_ever = 0
    while True:
        with TemporaryDirectory(dir=FAST) as workdir:
            world = World(behave, files=AllFiles())
            world.add_pilot("p", Resources(cores=2, ram_bytes=8 * GB))
            active = begin(world, pipeline, Path(workdir))
            saboteur = Saboteur(point)
            carry_out(world, active, saboteur, validate)
            if not saboteur.crashed:
                break
            in_flight = [one for one in world.log if one[1:4] not in world.ended_s]
            active = take_up(world, Path(workdir), None)
            carry_out(world, active, Saboteur(), validate)
            assert len(world.log) == 9 + len(in_flight)
            check_history(world, active)
        in_flight_ever += len(in_flight)
        point += 1
    assert point > 50
    assert in_flight_ever > 50


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(dir=FAST) as name:
        yield Path(name)


def small_flow() -> Flow:
    """Return a flow with an input, temporary outputs, and lists that we write."""
    branch = body(task("work", image=arg("item")), inputs=("item",), result=out("work"))
    return flow(
        body(
            task("first", raw=arg("raw")),
            task("make", early=out("first")),
            split("each", branch, over="item", item=out("make", "items")),
            task("last", all=out("each", "tuplelist")),
            inputs=("raw",),
            result=out("last"),
            every=out("each", "tuplelist"),
        ),
        temporary=("first", "make"),
    )


def small_world() -> World:
    made = World(lambda *_: Outcome(lists={"items": ("1.txt", ["2.txt"])}), files=AllFiles())
    made.add_pilot("p", Resources(cores=1, ram_bytes=8 * GB))
    return made


def die(dies_in: str, death: Death, start: Callable[[], ActiveRun], world: World) -> None:
    """Begin a run, carry it out or resume it, and die there."""
    active = None if dies_in == "begin" else start()
    if active is not None and dies_in == "resume":
        carry_out(world, active, Saboteur(HALFWAY), lambda _: None)
    elif active is not None and dies_in == "restore":
        carry_out(world, active, Saboteur(), lambda _: None)
        (joined,) = active.run.splits.values()
        (active.workdir / joined.list_path).unlink()
    with death:
        if active is None:
            start().close()
        elif dies_in == "run":
            carry_out(world, active, death, lambda _: None)
        else:
            take_up(world, active.workdir, None).close()


@pytest.mark.parametrize(
    ("dies_in", "least"), [("begin", 10), ("run", 60), ("resume", 2), ("restore", 3)]
)
def test_a_runner_that_dies_at_any_change_of_the_disk_leaves_what_can_go_on(
    dies_in: str, least: int, folder: Path, validate: Validate, dump: Dump
) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "raw.fits").write_text("pixels")
    (folder / "raw.xml").write_text("<r><FileName>raw.fits</FileName></r>")

    def start() -> ActiveRun:
        return begin(world, small_flow(), workdir, {"raw": str(folder / "raw.xml")})

    world, workdir = small_world(), folder / "calm"
    carry_out(world, start(), Saboteur(), validate)
    for point in range(POINTS_LIMIT):
        world, workdir, death = small_world(), folder / f"wild{point}", Death(point)
        die(dies_in, death, start, world)
        if not death.crashed:
            break
        let_a_second_pass(world)
        active = start() if dies_in == "begin" else take_up(world, workdir, None)
        carry_out(world, active, Saboteur(), validate)
        assert active.run.state is RunState.DONE
        assert contents(workdir) == contents(folder / "calm")
        assert dump(replay(active.journal.path)) == dump(active.run)
        check_history(world, active)
    assert point >= least


# ---- files that are lost or changed


def damage(workdir: Path, seed: int) -> None:
    """Delete or change some of the files that tasks, or we, made in a workdir."""
    made = sorted(
        path for path in workdir.rglob("*.*") if ".euclid-dask" not in path.parts and path.is_file()
    )
    chance = random_of(seed)
    for path in chance.sample(made, min(len(made), chance.randrange(1, 5))):
        match chance.randrange(3):
            case 0:
                path.unlink()
            case 1:
                path.write_text("")
            case _:
                path.write_text(f"{path.read_text()} and more")


def check_results(run: Run, workdir: Path, left_alone: Path) -> None:
    """Assert that the results of a run that is done, and the files that they name, are right."""
    if run.state is not RunState.DONE:
        return
    paths = list(run.outputs().values())
    for made in run.tasks.values():
        if made.is_made and is_result(run, made):
            paths += [file.path for file in lasting(run, made, made.outputs or {}).values()]
    for name in {name for path in paths for name in closure(left_alone, path)}:
        text = (workdir / name).read_text()
        # what a part is run for may be temporary in the whole, where it is gone
        assert not (left_alone / name).exists() or text == (left_alone / name).read_text()


def let_a_second_pass(world: World) -> None:
    """Let time go on, as runs that begin at one moment have no order."""
    passed: list[bool] = []
    world.agenda.at(world.agenda.now_s() + 1, lambda: passed.append(True))
    while not passed:
        world.agenda.advance()


def go_on(world: World, before: ActiveRun, move: str | int) -> ActiveRun:
    """Resume a run, or begin another: of all, or until one of the tasks."""
    if move == "resume":
        return take_up(world, before.workdir, None)
    names = list(all_tasks(before.run.flow))
    until = (names[move % len(names)],) if isinstance(move, int) else ()
    options = replace(before.run.options, until=until)
    return begin(world, before.run.flow, before.workdir, options=options)


MOVES = st.lists(
    st.tuples(
        st.none() | st.integers(0, 2**16),  # where it is crashed; None for its end
        st.none() | st.integers(0, 2**16),  # what is damaged then
        st.sampled_from(["resume", "run"]) | st.integers(0, 2**16),  # until one of the tasks
    ),
    min_size=1,
    max_size=4,
)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    pipeline=flows(),
    seed=st.integers(0, 2**16),
    failing=st.sampled_from([0.0, 0.0, 0.15]),
    unsteady=st.booleans(),
    options=OPTIONS,
    moves=MOVES,
)
def test_what_is_done_is_as_if_nothing_had_been_lost_or_changed(
    *,
    pipeline: Flow,
    seed: int,
    failing: float,
    unsteady: bool,
    options: RunOptions,
    moves: list[tuple[int | None, int | None, str | int]],
    validate: Validate,
) -> None:
    with TemporaryDirectory(dir=FAST) as calm, TemporaryDirectory(dir=FAST) as wild:
        nature = Nature(seed, failing=failing, unsteady=unsteady)
        world = make_world(nature, small=False, dying_s=None)
        left_alone = begin(world, pipeline, Path(calm), options=options)
        counting = Saboteur()
        carry_out(world, left_alone, counting, validate)

        active = begin(world, pipeline, Path(wild), options=options)
        for place, damaged, move in moves:
            saboteur = Saboteur()
            if place is not None:
                saboteur = Saboteur(random_of(place).randrange(counting.passed))
            carry_out(world, active, saboteur, validate)
            check_results(active.run, Path(wild), Path(calm))
            let_a_second_pass(world)
            if damaged is not None:
                damage(Path(wild), damaged)
            active = go_on(world, active, move)
            validate(active.run)
        carry_out(world, active, Saboteur(), validate)
        check_results(active.run, Path(wild), Path(calm))
        if not active.run.options.until:
            assert active.run.state == left_alone.run.state
            assert active.run.outputs() == left_alone.run.outputs()
