"""Probes of how tasks come to pilots, on real pilots of this machine: by order, never by time.

Each is something that Dask's own scheduling of tasks with resources gets wrong. Tasks wait at a
gate until the probe opens it, so what can run at once has to, or the run does not end.
"""

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from euclid_dask.core.events import (
    PilotDraining,
    PilotJoined,
    PilotLeft,
    RunOptions,
    TaskErred,
    TaskLost,
    TasksOrdered,
    TaskSucceeded,
)
from euclid_dask.core.ids import PilotId, TaskId
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.states import TASK_ACTIVE, PilotState, RunState, TaskState
from euclid_dask.core.values import replace
from euclid_dask.pilots.batch.local import MARK
from euclid_dask.pilots.launch import batch_of
from euclid_dask.pilots.names import job_names
from euclid_dask.pilots.site import read_site
from euclid_dask.runner.journal import read_journal, read_pilots
from euclid_dask.runner.loop import Runner
from euclid_dask.runner.start import RunRequest, start_run
from euclid_dask.runner.workspace import Workspace
from euclid_dask.sim.flows import body, flow, out, task
from euclid_dask.wiring.sites import JOBS, make_pilots
from euclid_dask.worker import procfs
from euclid_dask.worker.clock import SystemClock

pytestmark = [pytest.mark.dask, pytest.mark.slow, pytest.mark.timeout(300)]

PATIENCE_S = 200.0
PROGRAM = """\
for word; do
  case $word in
    --workdir=*) cd "${word#*=}" ;;
    --logdir=*) task=${word##*/} ;;
    --out=*) out=${word#*=} ;;
  esac
done
echo "$task" >> starts
read -r _ < "gates/$task"
echo "<done/>" > "$out"
"""
SITE = """\
workspace = "{folder}"
batch = "local"
[intervals]
poll = "1s"
submit = "0s"
[defaults]
boot = "1s"
walltime = "4h"
max_queued = 10
"""


def kind(cores: float, ram_gb: float = 1.0, walltime_s: float = 600.0) -> Resources:
    return Resources(cores=cores, ram_bytes=int(ram_gb * GB), walltime_s=walltime_s)


@dataclass
class Probe:
    """A site on this machine, a run of tasks that wait at gates, and what became of it."""

    folder: Path
    templates: Mapping[str, tuple[int, int, int]]
    """Cores, GB of RAM and number of pilots, by name."""
    kinds: Mapping[str, Resources]
    tasks: Mapping[str, str]
    """Kinds of the tasks, by name, in the order in which they get ready."""
    after: Mapping[str, str] = field(default_factory=dict)
    gates: dict[str, int] = field(default_factory=dict)
    until_s: float = 0.0
    runner: Runner | None = None

    def carry_out(self, watch: "Callable[[Probe], object]") -> None:
        """Run the tasks to their ends; `watch` is called after each turn of the runner."""
        toml = self.folder / "site.toml"
        toml.write_text(SITE.format(folder=self.folder) + "".join(self._templates()))
        site = read_site(toml, {})
        self.workspace.create()
        (self.workspace.workdir / "gates").mkdir()
        for name in self.tasks:
            os.mkfifo(self.workspace.workdir / "gates" / name)
        options = RunOptions(fuse=False, group=False, site=str(toml))
        request = RunRequest(
            flow=self._flow(), inputs={}, workdir=self.workspace.workdir, options=options
        )
        active = start_run(request, SystemClock(), software="")
        executor, desk = make_pilots(site, self.workspace, SystemClock())
        self.until_s = monotonic() + PATIENCE_S

        def on_turn(_: Runner) -> None:
            assert monotonic() < self.until_s, f"the run has stopped: {self.state}"
            assert not self._run.count(TaskState.FAILED), self.of(TaskErred)
            watch(self)

        self.runner = Runner(executor, SystemClock(), on_turn=on_turn, pilots=desk)
        self.runner.add(active)
        self._run = active.run
        try:
            self.runner.run_until_ended()
        finally:
            active.close()
            for gate in self.gates.values():
                os.close(gate)
            batch = batch_of(
                site,
                prefix=job_names(site, self.workspace.workdir).prefix,
                folder=self.workspace.records / JOBS,
            )
            batch.cancel([job.id for job in batch.jobs()])
        assert self._run.state is RunState.DONE

    def _templates(self) -> Iterator[str]:
        for name, (cores, ram_gb, count) in self.templates.items():
            yield f'[templates.{name}]\ncores = {cores}\nram = "{ram_gb}GB"\n'
            yield f"max_running = {count}\n"

    def _flow(self) -> Any:
        nodes = [
            task(name, of, **({"before": out(self.after[name])} if name in self.after else {}))
            for name, of in self.tasks.items()
        ]
        made = flow(body(*nodes), self.kinds)
        program = self.folder / "program.sh"
        program.write_text(PROGRAM)
        executables = {
            name: replace(one, command=("sh", str(program)))
            for name, one in made.executables.items()
        }
        return replace(made, executables=executables)

    # ---- while it runs

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.folder / "w")

    @property
    def state(self) -> str:
        return str(Counter(one.state.value for one in self._run.tasks.values()))

    def starts(self) -> "Counter[str]":
        path = self.workspace.workdir / "starts"
        return Counter(path.read_text().split()) if path.exists() else Counter()

    def done(self, *names: str) -> bool:
        return all(self._run.tasks[TaskId(name)].state is TaskState.DONE for name in names)

    def active(self) -> dict[str, PilotId]:
        """Return where tasks are now."""
        return {
            one.id: one.pilot
            for one in self._run.active
            if one.state in TASK_ACTIVE and one.pilot is not None
        }

    def open(self, *names: str) -> None:
        """Open gates for good."""
        for name in names:
            if name not in self.gates:
                gate = self.workspace.workdir / "gates" / name
                self.gates[name] = os.open(gate, os.O_RDWR)
                os.write(self.gates[name], b"\n\n\n\n\n\n")

    def pilots(self, state: PilotState = PilotState.UP) -> list[PilotId]:
        assert self.runner is not None
        fleet = self.runner.fleet
        return [one.id for one in fleet.pilots.values() if one.state is state]

    def retire(self, pilot: PilotId) -> None:
        assert self.runner is not None
        assert self.runner.pilots is not None
        draining = PilotDraining(at_s=SystemClock().now_s(), pilot=pilot, reason="a probe")
        self.runner.pilots.record(draining)
        self.runner.executor.retire(pilot, draining.reason)

    def crash(self, pilot: PilotId) -> None:
        """Kill all processes of a pilot outright, as the crash of its node does."""
        assert self.runner is not None
        job = self.runner.fleet.pilots[pilot].job
        assert job is not None
        leaders = [process.pid for process in procfs.marked({MARK: job})]
        for pid in set(chain.from_iterable(map(procfs.family, leaders))):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # ---- afterwards

    @property
    def events(self) -> list[Any]:
        (run,) = self.workspace.runs()
        return list(read_journal(self.workspace.files(run).journal))

    @property
    def pilot_events(self) -> list[Any]:
        return list(read_pilots(self.workspace.records / "pilots.jsonl"))

    def of(self, kind_: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind_)]

    def orders(self) -> list[tuple[str, PilotId]]:
        return [(name, one.pilot) for one in self.of(TasksOrdered) for name, _ in one.tasks]

    def most_at_once(self) -> dict[PilotId, float]:
        """Return the most cores that were promised at once, by pilot, in the journal's order."""
        where: dict[str, PilotId] = {}
        used: Counter[PilotId] = Counter()
        most: dict[PilotId, float] = {}
        for event in self.events:
            if isinstance(event, TasksOrdered):
                for name, _ in event.tasks:
                    where[name] = event.pilot
                    used[event.pilot] += self._cores(name)
                most[event.pilot] = max(most.get(event.pilot, 0), used[event.pilot])
            elif isinstance(event, TaskSucceeded | TaskErred | TaskLost):
                used[where.pop(event.task)] -= self._cores(event.task)
        return most

    def _cores(self, name: str) -> float:
        return self.kinds[self.tasks[name]].cores


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """Return a hundred tasks that were there before four pilots of two cores.

    When each pilot has its tasks, one of them is told to go; one of its tasks ends soon, the other
    one after all of those that wait.
    """
    probe = Probe(
        tmp_path_factory.mktemp("crowd"),
        templates={"light": (2, 4, 4)},
        kinds={"unit": kind(1)},
        tasks={f"t{number:03d}": "unit" for number in range(100)},
    )
    last: list[str] = []

    def watch(probe: Probe) -> None:
        if not last and probe.starts().total() >= 8 and len(probe.active()) == 8:
            held, leaving = min(probe.active().items())
            probe.retire(leaving)
            last.append(held)
            probe.open(*(probe.tasks.keys() - {held}))
        if last and probe.done(*(probe.tasks.keys() - {*last})):
            probe.open(*last)

    probe.carry_out(watch)
    return probe


def test_a_pilot_has_no_more_tasks_than_it_has_cores(crowd: Probe) -> None:
    most = crowd.most_at_once()
    assert len(most) >= 4
    assert set(most.values()) == {2}


def test_pilots_that_join_late_get_their_share(crowd: Probe) -> None:
    first = [pilot for _, pilot in crowd.orders()[:8]]
    assert sorted(Counter(first).values()) == [2, 2, 2, 2]


def test_no_task_is_started_twice(crowd: Probe) -> None:
    assert crowd.starts() == Counter(crowd.tasks.keys())
    assert len(crowd.of(TaskSucceeded)) == 100


def test_a_pilot_that_is_to_go_gets_nothing_more_and_ends_what_it_has(crowd: Probe) -> None:
    told = next(one for one in crowd.pilot_events if isinstance(one, PilotDraining))
    there = [name for name, pilot in crowd.orders() if pilot == told.pilot]
    assert [name for name, _ in crowd.orders()[:8] if name in there] == there
    assert len(there) == 2
    assert crowd.of(TaskSucceeded)[-1].task in there


def test_a_large_task_at_the_head_of_the_line_blocks_none_that_can_run(tmp_path: Path) -> None:
    small = ("small1", "small2", "small3", "small4")
    probe = Probe(
        tmp_path,
        templates={"medium": (4, 8, 1)},
        kinds={"two": kind(2, walltime_s=3600.0), "four": kind(4), "one": kind(1)},
        tasks={"two": "two", "four": "four"} | dict.fromkeys((*small, "a", "b", "c", "d"), "one"),
        after=dict.fromkeys("abcd", "four"),
    )

    def watch(probe: Probe) -> None:
        started = probe.starts()
        if {"two", "small1", "small2"} <= started.keys():
            probe.open(*small)
        if probe.done(*small):
            probe.open("two", "four")
        if set("abcd") <= started.keys():
            probe.open(*"abcd")

    probe.carry_out(watch)
    assert [name for name, _ in probe.orders()][:6] == ["two", *small, "four"]
    assert probe.most_at_once().popitem()[1] == 4
    assert set(probe.starts().values()) == {1}


def test_only_what_ran_on_a_pilot_that_died_is_lost(tmp_path: Path) -> None:
    probe = Probe(
        tmp_path,
        templates={"solo": (1, 2, 2)},
        kinds={"unit": kind(1)},
        tasks={f"t{number:02d}": "unit" for number in range(50)},
    )
    hit: dict[str, PilotId] = {}

    def watch(probe: Probe) -> None:
        up, started = set(probe.pilots()), probe.starts()
        fresh = {
            name: pilot
            for name, pilot in probe.active().items()
            if pilot in up and started[name] and name not in hit
        }
        if len(hit) == 4:
            probe.open(*probe.tasks)
        elif fresh:
            name, pilot = min(fresh.items())
            if pilot not in hit.values():
                hit[name] = pilot
                probe.crash(pilot)
        probe.open(*hit)

    probe.carry_out(watch)
    assert Counter(one.task for one in probe.of(TaskLost)) == Counter(hit.keys())
    assert probe.of(TaskErred) == []
    assert probe.starts() == Counter(probe.tasks.keys()) + Counter(hit.keys())
    assert all((name, pilot) in probe.orders() for name, pilot in hit.items())
    left = [one.pilot for one in probe.pilot_events if isinstance(one, PilotLeft)]
    assert set(hit.values()) <= set(left)


# ---- packing, on a clock of its own


class Packing:
    """Ends tasks in the order of their durations on an imagined clock, which only it moves."""

    def __init__(self, durations: Mapping[str, int], pilots: int) -> None:
        self.now = 0
        self._durations = durations
        self._pilots = pilots
        self._ends: dict[str, int] = {}
        self._opened: set[str] = set()

    def watch(self, probe: Probe) -> None:
        if len(probe.pilots()) < self._pilots:
            return
        for name in probe.active().keys() - self._ends.keys():
            self._ends[name] = self.now + self._durations[name]
        if not probe.done(*self._opened):
            return
        running = self._ends.keys() - self._opened
        if running:
            self.now = min(self._ends[name] for name in running)
            due = [name for name in running if self._ends[name] == self.now]
            self._opened.update(due)
            probe.open(*due)


def lower_bound(needs: Sequence[tuple[Resources, int]], pilots: Sequence[tuple[int, int]]) -> float:
    """Return a time that no placing can beat: of what only larger pilots hold, on those."""
    bounds = [float(max(duration for _, duration in needs))]
    for size in {(0, 0), *pilots}:
        large = [
            (one, s) for one, s in needs if one.cores > size[0] or one.ram_bytes > size[1] * GB
        ]
        rooms = [(c, ram) for c, ram in pilots if c > size[0] or ram > size[1]]
        if rooms:
            bounds.append(sum(o.cores * s for o, s in large) / sum(c for c, _ in rooms))
            ram = sum(o.ram_bytes / GB * s for o, s in large)
            bounds.append(ram / sum(r for _, r in rooms))
    return max(bounds)


def test_mixed_tasks_are_packed_well_on_mixed_pilots(tmp_path: Path) -> None:
    templates = {"light": (2, 4, 4), "medium": (8, 16, 2), "heavy": (16, 32, 1)}
    draw = random.Random(3)
    kinds = {f"c{cores}r{ram}": kind(cores, ram) for cores in range(1, 9) for ram in range(1, 9)}
    tasks = {f"t{number:03d}": draw.choice(sorted(kinds)) for number in range(400)}
    durations = {name: draw.randint(1, 4) for name in tasks}
    probe = Probe(tmp_path, templates=templates, kinds=kinds, tasks=tasks)
    packing = Packing(durations, pilots=7)
    probe.carry_out(packing.watch)
    pilots = [(c, ram) for c, ram, count in templates.values() for _ in range(count)]
    bound = lower_bound([(kinds[tasks[name]], durations[name]) for name in tasks], pilots)
    assert packing.now <= 1.25 * bound
    joined = {one.pilot: one for one in probe.pilot_events if isinstance(one, PilotJoined)}
    assert all(cores <= joined[pilot].offer.cores for pilot, cores in probe.most_at_once().items())
    assert set(probe.starts().values()) == {1}
