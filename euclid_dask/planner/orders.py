"""Orders: what a pilot must know to run an attempt of a task."""

from typing import assert_never

from euclid_dask.core.attempts import InputArgument, Order, OutputArgument
from euclid_dask.planner.nodes import Given, Joined, Made, Resolved, Split, Task


def order(task: Task, attempt: int) -> Order:
    """Return all that a pilot must know to run an attempt of `task`."""
    spec = task.spec
    return Order(
        task=task.id,
        attempt=attempt,
        executable=spec.name,
        command=spec.command,
        inputs=tuple(
            InputArgument(port=port, text=text, is_file=is_file(value))
            for port, value in task.arguments()
            if (text := text_of(value)) is not None
        ),
        outputs=tuple(
            OutputArgument(
                port=port.name,
                path=task.output_path(port.name),
                mime_type=port.mime_type,
                is_list=port.is_list or _is_split(task, port.name),
            )
            for port in spec.outputs
        ),
        needs=task.needs,
    )


def text_of(value: Resolved) -> str | None:
    """Return what an executable is given for `value`: a path or a text; None if it is absent."""
    match value:
        case None:
            return None
        case Given(file=file):
            return file.path
        case Made(task=task, port=port):
            return task.output_path(port)
        case Joined(split=split):
            return split.list_path
        case _:
            assert_never(value)


def is_file(value: Resolved) -> bool:
    """Tell whether `value` is a file rather than a plain text."""
    return value.is_file if isinstance(value, Given) else True


def _is_split(task: Task, port: str) -> bool:
    """Tell whether a split goes over that output, so that it is a list whatever was declared."""
    value = Made(task, port)
    return any(isinstance(node, Split) and node.iterated == value for node in task.consumers)
