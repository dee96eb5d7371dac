"""The identity of a task's work: same identity, same outputs.

It is a digest of the command, the ports, the version of the program, and the identity of every
input. An input made by another task is known by that task's identity, not by its file, so that a
finished task stays finished when its intermediate inputs were deleted. What a task that was left
out made is known by the file that was given for it; if none was, by nothing: its consumers run.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import assert_never

from euclid_dask.planner.nodes import Branch, Given, Joined, Made, Resolved, Split, Task


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()


def parts_of(task: Task, versions: Mapping[str, str]) -> dict[str, str]:
    """Return what the identity of `task` is made of: a name for people and an identity each."""
    parts = {
        "its command": "\x1e".join(task.spec.command),
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
        case Made(task=task, port=port) if (given := task.given(port)) is not None:
            return f"{given.path} {given.identity}"
        case Made(task=task, port=port):
            return f"{task_identity(task, versions)}/{port}"
        case Joined(split=split):
            return split_identity(split, versions)
        case _:
            assert_never(value)


def item_identities(
    split: Split, paths: Sequence[str], versions: Mapping[str, str]
) -> Iterator[str]:
    """Yield the identity of each item of the list that `split` goes over.

    Used for items of lists made in the run; items of lists from outside are files from outside.
    An item of a joined list is known by what made it, not by the other items.
    """
    value = split.iterated
    whole = value_identity(value, versions)
    branches = entered(value.split) if isinstance(value, Joined) else []
    for path, branch in zip_longest(paths, branches[: len(paths)]):
        if branch is None or branch.failed:
            yield _digest(whole, path)
        else:
            yield "\x1e".join(value_identity(result, versions) for result in branch.results())


def entered(split: Split) -> list[Branch]:
    """Return the branches that have an entry in the joined list."""
    if split.node.on_error == "skip":
        return [branch for branch in split.branches if not branch.failed]
    return split.branches
