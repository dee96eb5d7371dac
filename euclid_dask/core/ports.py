"""An executable as the planner sees it: a command and its ports."""

from typing import Final

from euclid_dask.core.resources import Resources
from euclid_dask.core.values import Value

LISTFILE: Final = frozenset({"listfile", "list"})
"""Content types that mean: the file is a JSON list. Every other content type means: one file."""


class InputPort(Value, frozen=True, kw_only=True):
    """A named input file of an executable, given to it as `--<name>=<path>`."""

    name: str
    dm_type: str | None = None
    content: str = "file"
    optional: bool = False

    @property
    def is_list(self) -> bool:
        """Tell whether the file is a list of files."""
        return self.content in LISTFILE


class OutputPort(Value, frozen=True, kw_only=True):
    """A named output file of an executable. `mime_type` is the extension of its file.

    A `temporary` one goes, with the files that it names, when nothing needs it any more.
    """

    name: str
    dm_type: str | None = None
    mime_type: str = "xml"
    content: str = "file"
    temporary: bool = False

    @property
    def is_list(self) -> bool:
        """Tell whether the file is a list of files."""
        return self.content in LISTFILE


class ExecutableSpec(Value, frozen=True, kw_only=True):
    """A science program: the words of its command, its ports, what it needs.

    `name` is the Python variable it was bound to; `where` is `file:line` of its definition.
    """

    name: str
    command: tuple[str, ...]
    inputs: tuple[InputPort, ...] = ()
    outputs: tuple[OutputPort, ...] = ()
    needs: Resources = Resources()
    where: str = ""

    def output(self, name: str) -> OutputPort:
        """Return the output port of that name; raise KeyError if there is none."""
        for port in self.outputs:
            if port.name == name:
                return port
        raise KeyError(name)
