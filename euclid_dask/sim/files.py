"""What simulated attempts leave in the workdir: all outputs, or only what the runner reads."""

from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from euclid_dask.core.attempts import Fingerprint, Order, Place
from euclid_dask.worker.fingerprints import closure, fingerprint
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
    """Writes every output, and the files that lists name.

    They hold the name of the task and a digest of its inputs and what these name, so that equal
    files were made alike.
    """

    def write(self, place: Place, order: Order, lists: Lists) -> dict[str, Fingerprint]:
        """Write all outputs; return their sizes and mtimes."""
        found: dict[str, Fingerprint] = {}
        text = f"{order.task} {_digest(place, order)}"
        for output in order.outputs:
            path = Path(place.workdir) / output.path
            path.parent.mkdir(exist_ok=True, parents=True)
            if output.port in lists:
                write_list(path, lists[output.port])
                _write_entries(place, text, lists[output.port])
            else:
                path.write_text(text)
            found[output.port] = fingerprint(
                Path(place.workdir), output.path, path.stat(), digest=place.digests
            )
        return found

    def missing(self, place: Place, order: Order) -> str:
        """Return the first input file that is not in the workdir."""
        folder = Path(place.workdir)
        paths = (one.text for one in order.inputs if one.is_file)
        return next((path for path in paths if not (folder / path).is_file()), "")


def _digest(place: Place, order: Order) -> str:
    parts: list[bytes] = []
    for one in order.inputs:
        names = closure(Path(place.workdir), one.text) if one.is_file else []
        parts += [(Path(place.workdir) / name).read_bytes() for name in names]
        parts.append(one.text.encode())
    return blake2b(b"\x1f".join(parts), digest_size=8).hexdigest()


def _write_entries(place: Place, text: str, entries: tuple[object, ...]) -> None:
    for entry in entries:
        if isinstance(entry, str):
            path = Path(place.workdir) / entry
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text)
