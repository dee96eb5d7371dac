"""What `check`, `run` and their kin return."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from euclid_dask.core.flow import Flow
from euclid_dask.core.states import RUN_ENDED
from euclid_dask.core.values import replace
from euclid_dask.dataflow.check import Problem, Severity
from euclid_dask.dataflow.steps import tasks
from euclid_dask.planner.run import Run
from euclid_dask.report.words import counted
from euclid_dask.runner import views
from euclid_dask.runner.again import reasons_again
from euclid_dask.runner.earlier import earlier_runs
from euclid_dask.runner.history import replay
from euclid_dask.runner.workspace import Workspace


@dataclass(frozen=True, slots=True, repr=False)
class CheckReport:
    """What `check` found. `problems` are errors, warnings and notices, errors first.

    In a notebook it shows itself.
    """

    flow: Flow
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the pipeline from running."""
        return tuple(p for p in self.problems if p.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems that are worth a look."""
        return tuple(p for p in self.problems if p.severity is not Severity.ERROR)

    def summary(self) -> str:
        """Return a line that counts what there is and what is wrong."""
        body = self.flow.body
        executables = counted(len(self.flow.executables), "executable")
        found = Counter(problem.severity for problem in self.problems)
        wrong = [counted(found[severity], severity) for severity in Severity if found[severity]]
        return (
            f"{self.flow.name}: {counted(len(body.inputs), 'input')}, "
            f"{counted(len(tasks(self.flow)), 'task')} of {executables}, "
            f"{counted(len(body.outputs), 'output')}; {', '.join(wrong) or 'nothing is wrong'}"
        )

    def __repr__(self) -> str:
        return "\n".join([*(f"{p.severity}: {p}" for p in self.problems), self.summary()])


@dataclass(frozen=True, slots=True, repr=False)
class RunResult:
    """A run that ended, or as far as it got."""

    run: Run
    workdir: Path
    warnings: tuple[str, ...] = ()
    reruns: Mapping[str, int] = field(default_factory=dict)
    address: str = ""

    @property
    def id(self) -> str:
        """The run's id."""
        return self.run.id

    @property
    def state(self) -> str:
        """How the run stands: done, failed, cancelled."""
        return str(self.run.state)

    @property
    def outputs(self) -> dict[str, Path]:
        """The outputs of the pipeline that exist, as absolute paths."""
        return {name: self.workdir / path for name, path in self.run.outputs().items()}

    @property
    def failures(self) -> tuple[views.FailureView, ...]:
        """The failed tasks and splits."""
        return tuple(views.failures(self.run))

    def summary(self) -> views.Summary:
        """Return the run in one value, with paths relative to the workdir."""
        return views.summary(self.run, self.warnings)

    def profile(self) -> list[dict[str, Any]]:
        """Return a row for each task that ran: what it used, in seconds and bytes."""
        return [
            {
                "task": task.id,
                "executable": task.node.executable,
                "state": str(task.state),
                "attempts": task.attempt,
                "started_s": task.started_s,
                "wall_s": task.profile.wall_s,
                "cpu_s": task.profile.cpu_s,
                "peak_ram_bytes": task.profile.peak_ram_bytes,
                "read_bytes": task.profile.read_bytes,
                "written_bytes": task.profile.written_bytes,
            }
            for task in self.run.tasks.values()
            if task.profile is not None
        ]

    def __repr__(self) -> str:
        counts = views.counts(self.run)
        return (
            f"{self.id}: {self.state}, {counts.done} of {counts.total} tasks done, "
            f"{counts.skipped} skipped, {counts.failed} failed; in {self.workdir}"
        )

    def _repr_html_(self) -> str:
        counts = views.counts(self.run)
        rows = "".join(
            f"<tr><td>{name}</td><td><code>{path}</code></td></tr>"
            for name, path in self.run.outputs().items()
        )
        return (
            f"<b>{self.id}</b>: {self.state}, {counts.done} tasks done, "
            f"{counts.skipped} skipped, {counts.omitted} omitted, "
            f"{counts.failed} failed, {counts.blocked} blocked"
            f"<table>{rows}</table>"
        )


def open_run(workdir: str | Path, run_id: str | None = None) -> RunResult:
    """Return a run of a workdir as its journal tells it, running or ended; the latest for None.

    Raises:
        InputError: There is none.
        JournalError: Its journal cannot be read.
    """
    workspace = Workspace(Path(workdir).absolute())
    run = replay(workspace.files(workspace.find(run_id)).journal)
    moved_to_now(run, workspace)
    return RunResult(run, workspace.workdir)


def moved_to_now(run: Run, workspace: Workspace) -> None:
    """Have a run know where its workdir is now: it may have been moved."""
    records = str(workspace.files(run.id).attempts)
    run.place = replace(run.place, workdir=str(workspace.workdir), records=records)


def is_ended(result: RunResult) -> bool:
    """Tell whether a run has ended, for now."""
    return result.run.state in RUN_ENDED


def why_again_in(result: RunResult) -> dict[str, int]:
    """Return the reruns of a run of another process, as far as journals tell of them."""
    run = result.run
    if run.options.fresh or not any(task.attempt for task in run.tasks.values()):
        return {}
    known = earlier_runs(Workspace(result.workdir))
    return reasons_again(run, list(takewhile(lambda one: one.id != run.id, known)))
