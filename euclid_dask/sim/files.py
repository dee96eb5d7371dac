"""What simulated attempts leave in the workdir: all outputs, or only what the runner reads."""

from pathlib import Path
from typing import Protocol

from euclid_dask.core.attempts import Fingerprint, Order, Place
from euclid_dask.worker.lists import write_list

Lists = dict[str, tuple[object, ...]]


class Files(Protocol):
    """Writes the outputs of attempts, and looks for their inputs."""

    def write(self, place: Place, order: Order, lists: Lists) -> dict[str, Fingerprint]:
        """Write what a successful attempt makes; return what it can be known by."""

    def missing(self, place: Place, order: Order) -> str:
        """Return the path of an input that is not there, "" if all are."""


class ListsOnly:
    """Writes list files, since splits read them; every other file is taken to exist."""

    def write(self, place: Place, order: Order, lists: Lists) -> dict[str, Fingerprint]:
        """Write the lists; no output is known by anything."""
        for output in order.outputs:
            if output.port in lists:
                write_list(f"{place.workdir}/{output.path}", lists[output.port])
        return {}

    def missing(self, place: Place, order: Order) -> str:
        """Return "": all inputs are taken to exist."""
        return ""


class AllFiles:
    """Writes every output: lists as lists, the others with the name of the task in them."""

    def write(self, place: Place, order: Order, lists: Lists) -> dict[str, Fingerprint]:
        """Write all outputs; return their sizes and mtimes."""
        found: dict[str, Fingerprint] = {}
        for output in order.outputs:
            path = Path(place.workdir) / output.path
            path.parent.mkdir(exist_ok=True, parents=True)
            if output.port in lists:
                write_list(path, lists[output.port])
            else:
                path.write_text(order.task)
            stat = path.stat()
            found[output.port] = Fingerprint(
                path=output.path, size=stat.st_size, mtime_ns=stat.st_mtime_ns
            )
        return found

    def missing(self, place: Place, order: Order) -> str:
        """Return the first input file that is not in the workdir."""
        folder = Path(place.workdir)
        paths = (one.text for one in order.inputs if one.is_file)
        return next((path for path in paths if not (folder / path).is_file()), "")
