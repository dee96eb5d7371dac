"""From ports to a command line. Pure: nothing here touches the disk or starts anything.

Every output always gets an option; an input only if it has a value.
"""

import shlex
from collections.abc import Sequence

from euclid_dask.core.attempts import Order, Place

_SOURCED = """\
euclid_dask_words=("$@"); set --
trap 'echo "euclid-dask: sourcing the environment ended the shell" >&2' EXIT
{source}
euclid_dask_status=$?
trap - EXIT
if [ $euclid_dask_status -ne 0 ]; then
  echo "euclid-dask: sourcing the environment failed" >&2
  exit $euclid_dask_status
fi
exec "${{euclid_dask_words[@]}}"
"""


def render(order: Order, place: Place) -> tuple[str, ...]:
    """Return the words of an attempt's command line, without the sourcing of an environment."""
    inputs = (f"--{given.port}={given.text}" for given in order.inputs if given.text)
    outputs = (f"--{output.port}={output.path}" for output in order.outputs)
    directories = (f"--workdir={place.workdir}", f"--logdir={place.logdir}/{order.task}")
    return (*order.command, *directories, *inputs, *outputs)


def sourced(command: Sequence[str], source: str) -> tuple[str, ...]:
    """Return `command`, run by bash after `source <source>`; `command` itself if that is "".

    The sourced file sees no arguments.
    """
    if not source.strip():
        return tuple(command)
    return ("/bin/bash", "-c", _SOURCED.format(source=sourcing(source)), "bash", *command)


def sourcing(source: str) -> str:
    """Return the shell command `source <source>`.

    The text may go on after the file's name (`setup.sh && export A=1`), or name none (`; echo`).
    """
    return f"{':' if source.lstrip().startswith(';') else 'source'} {source}"


def pasteable(command: Sequence[str], place: Place) -> str:
    """Return one line that a person can paste into a shell to run `command` by hand.

    >>> place = Place(run="r", workdir="/a b", logdir="logs", records="/r")
    >>> pasteable(["sort", "--in=x y"], place)
    "cd '/a b' && sort '--in=x y'"
    """
    steps = [f"cd {shlex.quote(place.workdir)}"]
    if place.source.strip() and not place.source.lstrip().startswith(";"):
        steps.append(f"source {place.source.strip().rstrip(';')}")
    steps.append(shlex.join(command))
    return " && ".join(steps)
