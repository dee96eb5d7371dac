"""Package definitions that ask for other resources: numbers are changed in place, nothing else.

What is written as a number in `ComputingResources(...)` can be changed; what is computed, or comes
from another file, is told. Where executables share one `ComputingResources`, it gets the largest
of what they should ask for.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from typing import Final, NamedTuple

from euclid_dask.core.resources import GB, Resources
from euclid_dask.dsl.definitions import ComputingResources

CLASS: Final = "ComputingResources"
FIELDS: Final = ("cores", "ram", "walltime", "disk")
_RESOURCES_ARGUMENT: Final = 3
_UNUSUAL: Final = "the file is written in an unusual way; change it by hand"
_LINES: Final = re.compile(r"[^\n]*\n|[^\n]+")


class Change(NamedTuple):
    """What the executable of that name, defined at `line`, asks for and should ask for."""

    name: str
    line: int
    asked: Resources
    wanted: Resources


@dataclass(frozen=True, slots=True)
class Patched:
    """A source after changes. `refused` says of executables why nothing was changed for them."""

    source: bytes
    refused: dict[str, str]


class _RefusedError(Exception):
    """Why nothing can be changed."""


@dataclass(slots=True)
class _Target:
    """A call of `ComputingResources`, and for whom it is to be changed.

    `others` are uses of it that nothing is known of.
    """

    call: ast.Call
    changes: list[Change] = field(default_factory=list)
    others: int = 0


def patched(source: bytes, changes: Sequence[Change]) -> Patched:
    """Return a package definition with the resources of some executables changed."""
    refused: dict[str, str] = {}
    try:
        definition = _Definition(source)
    except _RefusedError as error:
        return Patched(source, {change.name: str(error) for change in changes})
    targets: dict[int, _Target] = {}
    for change in changes:
        try:
            found = definition.target(change)
            targets.setdefault(id(found.call), found).changes.append(change)
        except _RefusedError as error:
            refused[change.name] = str(error)
    edits: list[tuple[int, int, bytes]] = []
    for target in targets.values():
        target.others -= len(target.changes)
        try:
            edits += definition.edits(target)
        except _RefusedError as error:
            refused |= {change.name: str(error) for change in target.changes}
    after = _edited(source, edits)
    try:
        _Definition(after)
    except _RefusedError:
        return Patched(source, {change.name: _UNUSUAL for change in changes})
    return Patched(after, refused)


def unified(path: str, before: bytes, after: bytes) -> bytes:
    r"""Return the difference as a patch for `patch -p1`; `path` is relative to where it is applied.

    >>> print(unified("p.py", b"ram=2\n", b"ram=1\n").decode(), end="")
    --- a/p.py
    +++ b/p.py
    @@ -1 +1 @@
    -ram=2
    +ram=1
    """
    old, new = (_LINES.findall(text.decode()) for text in (before, after))
    lines = unified_diff(old, new, f"a/{path}", f"b/{path}")
    end = "\n\\ No newline at end of file\n"
    return "".join(line if line.endswith("\n") else line + end for line in lines).encode()


class _Definition:
    """A package definition: its syntax tree, and where its lines begin."""

    def __init__(self, source: bytes) -> None:
        try:
            source.decode()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.tree = ast.parse(source)
        except (SyntaxError, ValueError) as error:
            raise _RefusedError(f"the file cannot be read: {error}") from error
        self.begins = [0]
        for line in source.splitlines(keepends=True):
            self.begins.append(self.begins[-1] + len(line))
        self.bom = 3 if source.startswith(b"\xef\xbb\xbf") else 0
        self.classes = {CLASS} | {
            alias.asname
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if alias.name == CLASS and alias.asname
        }

    def target(self, change: Change) -> _Target:
        """Return the resources of an executable; its uses are among the others."""
        calls = [call for call in self._assigned(change.name) if _covers(call, change.line)]
        if len(calls) != 1:
            raise _RefusedError(f"there is no '{change.name} = ...(...)' at line {change.line}")
        keyword = next((word for word in calls[0].keywords if word.arg == "resources"), None)
        given: ast.expr | None = keyword.value if keyword else None
        if given is None and len(calls[0].args) > _RESOURCES_ARGUMENT:
            given = calls[0].args[_RESOURCES_ARGUMENT]
        if given is None:
            wanted = ", ".join(f"{name}={_text(change.wanted, name)}" for name in FIELDS[:3])
            raise _RefusedError(f"it has no resources; add resources={CLASS}({wanted})")
        return self._resources(given)

    def _resources(self, given: ast.expr) -> _Target:
        if isinstance(given, ast.Name):
            calls = [call for call in self._assigned(given.id) if self._is_resources(call)]
            names = [n for n in ast.walk(self.tree) if isinstance(n, ast.Name) and n.id == given.id]
            stored = sum(isinstance(name.ctx, ast.Store) for name in names)
            if len(calls) != 1 or stored != 1:
                raise _RefusedError(f"'{given.id}' is not set once to {CLASS}(...) in this file")
            return _Target(calls[0], others=len(names) - 1)
        if not self._is_resources(given):
            raise _RefusedError(f"its resources are not written as {CLASS}(...)")
        assert isinstance(given, ast.Call)
        return _Target(given, others=1)

    def _assigned(self, name: str) -> Iterator[ast.Call]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Assign):
                targets: list[ast.expr] = node.targets
            elif isinstance(node, ast.AnnAssign):
                targets = [node.target]
            else:
                continue
            named = any(isinstance(one, ast.Name) and one.id == name for one in targets)
            if named and isinstance(node.value, ast.Call):
                yield node.value

    def _is_resources(self, node: ast.expr) -> bool:
        match node:
            case ast.Call(func=ast.Name(id=name)):
                return name in self.classes
            case ast.Call(func=ast.Attribute(attr=name)):
                return name == CLASS
            case _:
                return False

    def edits(self, target: _Target) -> Iterator[tuple[int, int, bytes]]:
        """Yield what is to be put in the place of what, by places in the source."""
        call, changes = target.call, target.changes
        written = _numbers(call)
        now = ComputingResources(**{name: value for name, (value, _) in written.items()}).needs()
        if any(change.asked != now for change in changes):
            raise _RefusedError("it asks for something else than the run did: the file has changed")
        wanted = _largest([change.wanted for change in changes] + [now] * (target.others > 0))
        new = {name: _text(wanted, name) for name in FIELDS}
        new = {name: text for name, text in new.items() if text != _text(now, name)}
        if not new and any(change.wanted != now for change in changes):
            raise _RefusedError("it shares its resources with others that need as much, or may")
        for name in new.keys() & written.keys():
            yield self._span(written[name][1], new[name])
        more = ", ".join(f"{name}={text}" for name, text in new.items() if name not in written)
        if more and written:
            last = [*call.args, *(word.value for word in call.keywords)][-1]
            at = self._place(last.end_lineno, last.end_col_offset)
            yield at, at, f", {more}".encode()
        elif more:
            at = self._place(call.end_lineno, call.end_col_offset) - 1
            yield at, at, more.encode()

    def _span(self, node: ast.expr, text: str) -> tuple[int, int, bytes]:
        begin = self._place(node.lineno, node.col_offset)
        return begin, self._place(node.end_lineno, node.end_col_offset), text.encode()

    def _place(self, line: int | None, column: int | None) -> int:
        assert line is not None
        assert column is not None
        return self.begins[line - 1] + column + (self.bom if line == 1 else 0)


def _covers(node: ast.Call, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or node.lineno)


def _numbers(call: ast.Call) -> dict[str, tuple[float, ast.expr]]:
    """Return the numbers that are written in a call, with their places."""
    given = [*zip(FIELDS, call.args, strict=False)]
    given += [(word.arg or "**", word.value) for word in call.keywords]
    found: dict[str, tuple[float, ast.expr]] = {}
    for name, node in given:
        value = node.value if isinstance(node, ast.Constant) else None
        if not isinstance(value, (int, float)) or name not in FIELDS:
            raise _RefusedError(f"its {name} is computed")
        found[name] = (value, node)
    return found


def _largest(needs: Sequence[Resources]) -> Resources:
    return Resources(
        cores=max(one.cores for one in needs),
        ram_bytes=max(one.ram_bytes for one in needs),
        walltime_s=max(one.walltime_s for one in needs),
        disk_bytes=max(one.disk_bytes for one in needs),
    )


def _text(needs: Resources, name: str) -> str:
    """Return an amount as a package definition says it: GB and hours."""
    amounts = {
        "cores": needs.cores,
        "ram": needs.ram_bytes / GB,
        "walltime": needs.walltime_s / 3600,
        "disk": needs.disk_bytes / GB,
    }
    return f"{amounts[name]:g}"


def _edited(source: bytes, edits: Sequence[tuple[int, int, bytes]]) -> bytes:
    parts, at = [], 0
    for begin, end, text in sorted(edits, key=lambda edit: edit[0]):
        parts += [source[at:begin], text]
        at = end
    return b"".join([*parts, source[at:]])
