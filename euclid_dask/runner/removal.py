"""Removing temporary outputs, and the files that they name, when nothing needs them any more.

A file that outputs name, as the data file of a product, goes with the last of them; so does a
product that a list names. What inputs of the run name stays, as do links, files outside of the
workdir, and outputs that somebody changed.

Rule: what goes is written down first. A removal that was cut off is done again by the next runner,
and takes only what is still as it was then.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from euclid_dask.core.attempts import Fingerprint
from euclid_dask.core.effects import RemoveOutputs
from euclid_dask.core.events import OutputsRemoved, RunEvent, TaskReused, TaskSucceeded
from euclid_dask.core.ids import TaskId
from euclid_dask.planner.nodes import Task
from euclid_dask.planner.run import Run
from euclid_dask.worker.fingerprints import closure


class _Output(NamedTuple):
    task: TaskId
    port: str
    path: str


class Removal:
    """Knows which outputs of a run name which files, from the first removal on."""

    def __init__(self, run: Run, workdir: Path) -> None:
        self._run = run
        self._workdir = workdir
        self._known = False
        self._inputs: frozenset[str] = frozenset()
        self._names: dict[_Output, tuple[str, ...]] = {}
        self._named_by: dict[str, set[_Output]] = {}
        self._held: dict[str, _Output] = {}  # unneeded outputs that others name, by their paths

    def note(self, event: RunEvent) -> None:
        """Take notice of what has happened to the run."""
        if self._known and isinstance(event, TaskSucceeded | TaskReused):
            self._learn(self._run.tasks[event.task])

    def removed(self, effect: RemoveOutputs, at_s: float) -> list[OutputsRemoved]:
        """Return what happens when outputs are to be removed; nothing is removed yet."""
        if not self._known:
            self._look_around()
        work = [
            _Output(effect.task, port, self._run.tasks[effect.task].output_path(port))
            for port in effect.ports
        ]
        files: dict[TaskId, list[Fingerprint]] = {}
        while work:
            output = work.pop()
            if self._named_by.get(output.path):
                self._held[output.path] = output
                continue
            self._held.pop(output.path, None)
            found = self._run.tasks[output.task].outputs or {}
            own = _as_it_is(self._workdir, output.path)
            if own is None or not _is_same(own, found.get(output.port)):
                continue
            going = files.setdefault(output.task, [])
            going.append(own)
            for name in self._freed(output):
                if name in self._held:
                    work.append(self._held[name])
                else:
                    going += filter(None, [_as_it_is(self._workdir, name)])
        return [
            OutputsRemoved(at_s=at_s, task=task, files=tuple(going))
            for task, going in files.items()
        ]

    def _freed(self, output: _Output) -> list[str]:
        """Return the files that no output names any more, now that this one goes."""
        freed = []
        for name in self._names.pop(output, ()):
            self._named_by[name].discard(output)
            if not self._named_by[name] and not self._is_output(name):
                freed.append(name)
        return freed

    def _is_output(self, name: str) -> bool:
        """Tell whether a file is an output that something needs."""
        task = self._run.tasks.get(os.path.dirname(name))  # noqa: PTH120
        return task is not None and name not in self._held

    def _look_around(self) -> None:
        facts = self._run.board.facts
        paths = [file.path for file in (*facts.inputs.values(), *facts.given.values())]
        self._inputs = frozenset(
            name for path in paths if path for name in closure(self._workdir, path)
        )
        self._known = True
        for task in self._run.tasks.values():
            if task.is_made:
                self._learn(task)

    def _learn(self, task: Task) -> None:
        for port, made in (task.outputs or {}).items():
            output = _Output(task.id, port, made.path)
            if not made.named or not task.is_made:
                continue
            names = [name for name in closure(self._workdir, made.path) if name != made.path]
            own = tuple(name for name in names if name not in self._inputs and self._is_here(name))
            self._held.pop(made.path, None)
            self._names[output] = own
            for name in own:
                self._named_by.setdefault(name, set()).add(output)

    def _is_here(self, name: str) -> bool:
        """Tell whether a file is in the workdir; its folder of data files may be elsewhere."""
        if name.startswith("/") or ".." in name.split("/"):
            return False
        folder = os.path.realpath(self._workdir / os.path.dirname(name))  # noqa: PTH120
        return any(
            f"{folder}/".startswith(f"{os.path.realpath(self._workdir / place)}/")
            for place in ("", "data")
        )


def remove(workdir: Path, files: Iterable[Fingerprint]) -> None:
    """Remove files that are still as they were; what cannot be removed stays."""
    for file in files:
        if _is_same(_as_it_is(workdir, file.path), file):
            with suppress(OSError):
                os.unlink(workdir / file.path)  # noqa: PTH108


def _as_it_is(workdir: Path, path: str) -> Fingerprint | None:
    """Return what a regular file of the workdir is known by, None if there is none."""
    try:
        found = os.lstat(workdir / path)
    except OSError:
        return None
    if not S_ISREG(found.st_mode):
        return None
    return Fingerprint(path=path, size=found.st_size, mtime_ns=found.st_mtime_ns)


def _is_same(one: Fingerprint | None, other: Fingerprint | None) -> bool:
    if one is None or other is None:
        return False
    return (one.path, one.size, one.mtime_ns) == (other.path, other.size, other.mtime_ns)
