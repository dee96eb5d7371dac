"""A run that this process carries out: its state, its journal, and where it works."""

from dataclasses import dataclass, field
from pathlib import Path

from euclid_dask.core.attempts import Place
from euclid_dask.core.effects import CancelAttempt, StartBundle
from euclid_dask.core.events import RunEvent
from euclid_dask.core.ids import SplitId, TaskId
from euclid_dask.core.seams import BundleOrder, Traces
from euclid_dask.planner.orders import order
from euclid_dask.planner.retention import Retention
from euclid_dask.planner.run import Run
from euclid_dask.runner.earlier import EarlierRun, Known
from euclid_dask.runner.journal import Journal
from euclid_dask.runner.removal import Removal
from euclid_dask.runner.traces import HOST_TRACES
from euclid_dask.runner.workspace import Lock, Workspace


@dataclass(slots=True)
class ActiveRun:
    """A run in this process. `known` is work of earlier runs in the workdir.

    `old` are finished tasks and splits whose outputs an earlier process made and nobody has looked
    at since; `lists_seen` are splits of which all that made the entries of their lists was, and
    `ports_seen` outputs of tasks of which others were not.
    `earlier` are the runs before, oldest first. `adopted` are bundles of an earlier runner on
    pilots that may live. `retention` knows which temporary outputs are needed, `removal` what goes
    with them.
    """

    run: Run
    journal: Journal
    place: Place
    workspace: Workspace
    lock: Lock
    traces: Traces = HOST_TRACES
    known: Known = field(default_factory=Known)
    old: set[TaskId | SplitId] = field(default_factory=set)
    lists_seen: set[SplitId] = field(default_factory=set)
    ports_seen: set[tuple[TaskId, str]] = field(default_factory=set)
    cancelled: set[CancelAttempt] = field(default_factory=set)
    earlier: tuple[EarlierRun, ...] = ()
    adopted: tuple[BundleOrder, ...] = ()
    retention: Retention = field(init=False)
    removal: Removal = field(init=False)

    def __post_init__(self) -> None:
        self.retention = Retention(self.run)
        self.removal = Removal(self.run, self.workdir)

    @property
    def workdir(self) -> Path:
        """The run's workdir."""
        return self.workspace.workdir

    def record(self, event: RunEvent) -> None:
        """Let an event happen: into the journal's buffer, and into the state."""
        self.journal.append(event)
        self.run.apply(event)
        if self.retention:
            self.retention.note(event)
            self.removal.note(event)

    def bundle_order(self, effect: StartBundle) -> BundleOrder:
        """Return what an executor must know to carry out `effect`."""
        orders = tuple(order(self.run.tasks[task], attempt) for task, attempt in effect.tasks)
        return BundleOrder(pilot=effect.pilot, place=self.place, orders=orders)

    def close(self) -> None:
        """Let go of the journal and the workdir."""
        self.journal.close()
        self.lock.release()
