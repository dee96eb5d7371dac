"""TOML tables to values and back, told apart by the fields of the values.

A field's type says all about its key: what it holds, in which notation, its bounds, and (the
`description`) what it means. From that come the checks, the messages with file and line, the
commented TOML, and the reference in the documentation.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path
from typing import Any, Final, get_args, get_origin

import msgspec
from msgspec import inspect

from euclid_dask.core.amounts import duration_text, parse_duration, parse_size, size_text
from euclid_dask.core.errors import SiteError
from euclid_dask.data.regular import regular
from euclid_dask.dataflow.names import did_you_mean

Key = tuple[str, ...]
"""The words of a dotted key: `("templates", "light", "ram")`."""


@dataclass(frozen=True, slots=True)
class Notation:
    """How a number is written as a text."""

    words: str
    parse: Callable[[str], float]
    render: Callable[[Any], str]


SIZE: Final = Notation('a size like "16GB" or "512MiB"', parse_size, size_text)
DURATION: Final = Notation('a duration like "3d" or "02:00:00"', parse_duration, duration_text)

_AT: Final = re.compile(r"(.*) \(at line (\d+), column \d+\)", re.DOTALL)
_WORDS: Final[Mapping[type[inspect.Type], str]] = {
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.BoolType: "true or false",
    inspect.StrType: "a text",
    inspect.VarTupleType: "a list of texts",
    inspect.DictType: "a table",
    inspect.StructType: "a table",
}
_LONGEST_SHOWN: Final = 60
HUGE: Final = 10**6
"""Bounds from here on are there to refuse nonsense, and are not told."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+")


# ---- reading


@dataclass(slots=True)
class Page:
    """A TOML file that is being read: its tables, the line of each key, and what is wrong."""

    path: str
    tables: dict[str, Any]
    lines: dict[Key, int]
    aliases: dict[Key, Key] = field(default_factory=dict)
    """Keys whose value stands under another one in the file."""
    _problems: dict[str, int] = field(default_factory=dict)

    @property
    def problems(self) -> list[str]:
        """Return what is wrong, in the order of the lines."""
        return sorted(self._problems, key=self._problems.__getitem__)

    def wrong(self, key: Key, message: str) -> None:
        """Note what is wrong with a key, with its line or that of its table."""
        key = self.aliases.get(key, key)
        tables = (key[:length] for length in range(len(key), 0, -1))
        line = next((self.lines[table] for table in tables if table in self.lines), 0)
        where = f"{self.path}:{line}" if line else self.path
        name = dotted(key)
        self._problems[f"{where}: {name}: {message}" if name else f"{where}: {message}"] = line

    def read(self, kind: Any, value: object, at: Key = ()) -> Any:
        """Return `value` as a `kind`; None, with a note, if it is none."""
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self._struct(kind, value, at)
        if get_origin(kind) is dict and isinstance(value, dict):
            name_kind, inner = get_args(kind)
            return {
                self.read(name_kind, name, (*at, name)): self.read(inner, entry, (*at, name))
                for name, entry in value.items()
            }
        if get_origin(kind) is tuple and isinstance(value, list):
            inner = get_args(kind)[0]
            return tuple(self.read(inner, entry, at) for entry in value)
        return self._plain(kind, value, at)

    def _struct(self, kind: type[msgspec.Struct], value: object, at: Key) -> Any:
        if not isinstance(value, dict):
            return self.wrong(at, f"{_shown(value)} is not a table")
        before = len(self._problems)
        fields = {f.encode_name: f for f in msgspec.structs.fields(kind)}
        for name in value:
            if name not in fields:
                hint = did_you_mean(name, fields, "keys")
                self.wrong((*at, name), f"there is no such key; {hint}")
        found = {
            f.name: self.read(f.type, value[name], (*at, name))
            for name, f in fields.items()
            if name in value
        }
        for name, f in fields.items():
            if f.required and name not in value:
                self.wrong(at, f"'{name}' is missing: {described(f.type)}")
        return kind(**found) if len(self._problems) == before else None

    def _plain(self, kind: Any, value: object, at: Key) -> Any:
        notation = notation_of(kind)
        try:
            number = value if notation is None else _number(notation, value)
            return msgspec.convert(number, kind)
        except (ValueError, OverflowError):
            return self.wrong(at, f"{_shown(value)} is not {described(kind)}")


def open_page(path: Path) -> Page:
    """Return a TOML file, with the lines of its keys.

    Raises:
        SiteError: It cannot be read, or is not TOML.
    """
    try:
        text = regular(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise SiteError(
            f"cannot read {path}: {reason}",
            hint="`euclid-dask site new` writes a site file to start from",
        ) from error
    try:
        return Page(str(path), tomllib.loads(text), _key_lines(text))
    except (ValueError, RecursionError) as error:
        found = _AT.fullmatch(str(error))
        message, line = (found[1], f":{found[2]}") if found else (str(error), "")
        raise SiteError(f"{path}{line}: not TOML: {message}") from error


def _key_lines(text: str) -> dict[Key, int]:
    """Return the line in which each key of a TOML file begins; statements are read one by one."""
    lines: dict[Key, int] = {}
    table: Key = ()
    statement, begin = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        begin = begin if statement else number
        statement += line + "\n"
        try:
            found = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # it goes on in the next line
        is_header = statement.lstrip().startswith("[")
        keys = list(_paths(found, () if is_header else table))
        table = max(keys, key=len) if is_header else table
        for key in keys:
            lines.setdefault(key, begin)
        statement = ""
    return lines


def _paths(found: object, at: Key) -> Iterator[Key]:
    if at:
        yield at
    if isinstance(found, dict):
        for name, value in found.items():
            yield from _paths(value, (*at, name))


def _number(notation: Notation, value: object) -> float:
    if isinstance(value, time):
        value = value.isoformat()
    return notation.parse(msgspec.convert(value, str))


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    text = _render(value) if isinstance(value, str | bool | int | float) else str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


# ---- telling


def dotted(key: Key) -> str:
    """Return a key as it is written in TOML.

    >>> dotted(("environments", "eden-2.1"))
    'environments."eden-2.1"'
    """
    return ".".join(word if _PLAIN.fullmatch(word) else _render(word) for word in key)


def notation_of(kind: Any) -> Notation | None:
    """Return the notation of a type of numbers that are written as texts."""
    return _extra(inspect.type_info(kind)).get("notation")


def described(kind: Any) -> str:
    """Return in words what a key of this type holds.

    >>> from typing import Annotated, Literal
    >>> described(Literal["slurm", "sge"]), described(Annotated[float, msgspec.Meta(gt=0)])
    ('one of: sge, slurm', 'a number above 0')
    """
    info = inspect.type_info(kind)
    extra = _extra(info)
    while isinstance(info, inspect.Metadata):
        info = info.type
    notation = extra.get("notation")
    words = notation.words if notation is not None else extra.get("words") or _words(info)
    return words + _bounds(info, notation)


def _words(info: inspect.Type) -> str:
    if isinstance(info, inspect.LiteralType):
        return f"one of: {', '.join(str(value) for value in info.values)}"
    return _WORDS[type(info)]


def _bounds(info: inspect.Type, notation: Notation | None) -> str:
    if not isinstance(info, inspect.IntType | inspect.FloatType):
        return ""
    render = notation.render if notation is not None else "{:g}".format
    least = "" if info.ge in {None, 0} else f" of at least {render(info.ge)}"
    above = "" if info.gt is None else f" above {render(info.gt)}"
    most = "" if info.le is None or info.le >= HUGE else f" of at most {render(info.le)}"
    return least + above + most


def _extra(info: inspect.Type) -> Mapping[str, Any]:
    return (info.extra or {}) if isinstance(info, inspect.Metadata) else {}


# ---- writing


@dataclass(frozen=True, slots=True)
class KeyHelp:
    """What is to be known of a key: `default` is TOML, None for a key that must be there."""

    name: str
    holds: str
    default: str | None
    meaning: str


def help_of(kind: type[msgspec.Struct]) -> Iterator[KeyHelp]:
    """Yield the help of each key of a table, those of its tables aside."""
    for f in msgspec.structs.fields(kind):
        if not _is_table(f.type):
            yield _help(f)


def rendered(value: msgspec.Struct) -> dict[str, str]:
    """Return each key of a table with its value as TOML, those of its tables aside."""
    return {
        f.encode_name: _rendered(f.type, getattr(value, f.name))
        for f in msgspec.structs.fields(type(value))
        if not _is_table(f.type)
    }


def render_table(value: msgspec.Struct, at: Key = (), *, complete: bool = False) -> Iterator[str]:
    """Yield the lines of a value as TOML, each key below a comment with its meaning.

    Keys that have their default are left out; with `complete` they are there, commented out.
    """
    own = rendered(value)
    for known in help_of(type(value)):
        name, is_default = known.name, own[known.name] == known.default
        if complete or not is_default:
            yield f"# {_comment(known)}"
            yield f"{'#' if is_default else ''}{name} = {own[name]}"
            yield ""
    for f in msgspec.structs.fields(type(value)):
        if f.encode_name not in own:
            entry, key = getattr(value, f.name), (*at, f.encode_name)
            yield from _render_tables(entry, key, complete=complete)


def _render_tables(entry: object, at: Key, *, complete: bool) -> Iterator[str]:
    """Yield the lines of a table, of a table of tables, or of a table of texts."""
    if isinstance(entry, msgspec.Struct):
        lines = list(render_table(entry, at, complete=complete))
        if lines:
            yield from (f"[{dotted(at)}]", *lines)
        return
    assert isinstance(entry, dict)
    texts = {name: value for name, value in entry.items() if isinstance(value, str)}
    if texts:
        yield f"[{dotted(at)}]"
        yield from (f"{dotted((name,))} = {_render(value)}" for name, value in texts.items())
        yield ""
    for name, value in entry.items():
        if name not in texts:
            yield from _render_tables(value, (*at, name), complete=complete)


def _help(f: msgspec.structs.FieldInfo) -> KeyHelp:
    info = inspect.type_info(f.type)
    schema = (info.extra_json_schema or {}) if isinstance(info, inspect.Metadata) else {}
    default = None if f.required else _rendered(f.type, f.default)
    return KeyHelp(f.encode_name, described(f.type), default, schema.get("description", ""))


def _comment(known: KeyHelp) -> str:
    choice = f": {known.holds}" if known.holds.startswith("one of") else ""
    return f"{known.meaning[:1].upper()}{known.meaning[1:]}{choice}."


def _is_table(kind: Any) -> bool:
    return get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, msgspec.Struct))


def _rendered(kind: Any, value: Any) -> str:
    notation = notation_of(kind)
    return _render(value if notation is None else notation.render(value))


def _render(value: object) -> str:
    """Return a value of TOML."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_render, value))}]"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return msgspec.json.encode(value).decode()
