"""The identity of a task's work: same identity, same outputs.

It is a digest of the command, the ports, the version of the program, and the identity of every
input. An input made by another task is known by that task's identity, not by its file, so that a
finished task stays finished when its intermediate inputs were deleted.
"""

import hashlib
from collections.abc import Mapping

from euclid_dask.planner.nodes import Given, Joined, Made, Resolved, Split, Task


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()


def parts_of(task: Task, versions: Mapping[str, str]) -> dict[str, str]:
    """Return what the identity of `task` is made of: a name for people and an identity each."""
    parts = {
        "its command": " ".join(task.spec.command),
        "its program": versions.get(task.node.executable, ""),
        "its outputs": " ".join(task.output_path(port.name) for port in task.spec.outputs),
    }
    for port, value in task.arguments():
        parts[f"input {port}"] = value_identity(value, versions)
    return parts


def task_identity(task: Task, versions: Mapping[str, str]) -> str:
    """Return the identity of `task`; its inputs must exist or be about to be made."""
    if not task.identity:
        parts = parts_of(task, versions)
        task.identity = _digest(task.id, *(f"{name}={text}" for name, text in parts.items()))
    return task.identity


def split_identity(split: Split, versions: Mapping[str, str]) -> str:
    """Return the identity of the joined list of `split`."""
    if not split.identity:
        split.identity = _digest(
            split.id,
            split.node.on_error,
            *(
                "failed"
                if branch.failed
                else "\x1e".join(value_identity(value, versions) for value in branch.results())
                for branch in split.branches
            ),
        )
    return split.identity


def value_identity(value: Resolved, versions: Mapping[str, str]) -> str:
    """Return the identity of a value."""
    match value:
        case None:
            return "absent"
        case Given(file=file):
            return f"{file.path} {file.identity}"
        case Made(task=task, port=port):
            return f"{task_identity(task, versions)}/{port}"
        case Joined(split=split):
            return split_identity(split, versions)


def item_identity(split: Split, index: int, path: str, versions: Mapping[str, str]) -> str:
    """Return the identity of item `index` (from 0) of the list that `split` goes over.

    Used for items of lists made in the run; items of lists from outside are files from outside.
    """
    value = split.iterated
    if isinstance(value, Joined):
        live = [b for b in value.split.branches if not (b.failed and _drops_failed(value.split))]
        if index < len(live) and not live[index].failed:
            return "\x1e".join(value_identity(v, versions) for v in live[index].results())
    return _digest(value_identity(value, versions), path)


def _drops_failed(split: Split) -> bool:
    return split.node.on_error == "skip"
