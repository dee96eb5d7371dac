"""Inputs found elsewhere are linked into the workdir, with all files that they name.

A file inside the workdir stays where it is. A file outside gets a symbolic link in the workdir
(its data files in `data/`), so that executables find everything under `--workdir`. Everything
that is missing is named at once; nothing is linked before everything was found.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from os.path import exists, isfile
from pathlib import Path

from euclid_dask.core.errors import EuclidDaskError, InputError, WorkdirError
from euclid_dask.dataflow.select import template
from euclid_dask.runner.workspace import unusable
from euclid_dask.worker.lists import is_list_file, read_list
from euclid_dask.worker.products import file_names

_DATA_FOLDERS = ("data", ".", "..", "../data")
_NAMING = frozenset({".xml", ".json"})
"""Suffixes of files that may name others."""
_FILES = _NAMING | {".fits"}
"""Suffixes by which an entry of a list is known to be a file."""


@dataclass(slots=True)
class _Plan:
    workdir: Path
    taken: Mapping[str, str] = field(default_factory=dict)
    links: dict[Path, Path] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)
    real: Callable[[str], str] = field(default_factory=lambda: cache(os.path.realpath))

    def link(self, port: str, target: Path, source: Path) -> None:
        """Plan a link, unless another file has that name in the workdir."""
        if inside(self.workdir, target) is None:
            self.conflicts.append(f"{port}: {source} would be {target}, outside of the workdir")
            return
        other = self.links.setdefault(target, source)
        if other != source and not other.samefile(source):
            name = target.relative_to(self.workdir)
            self.conflicts.append(f"{port}: {source} and {other} would both be {name}")

    def refuse_made(self, port: str, source: str) -> None:
        """Refuse a file that leads into a folder whose files would be written over."""
        folder, name = os.path.split(source)
        file = f"{self.real(folder)}/{name}"
        if os.path.islink(file):  # noqa: PTH114
            file = os.path.realpath(file)
        home = f"{self.real(str(self.workdir))}/"
        first = file.removeprefix(home).partition("/")[0] if file.startswith(home) else ""
        if owner := self.taken.get(f"{template(first)}/") if first else None:
            self.conflicts.append(f"{port}: {source} is in {owner}, and would be written over")


def stage_inputs(
    workdir: Path,
    inputs: Mapping[str, str | None],
    search: Sequence[Path],
    first: Mapping[str, Path] | None = None,
    taken: Mapping[str, str] | None = None,
    made: set[Path] | None = None,
) -> dict[str, str]:
    """Make all inputs reachable in the workdir; return port and path relative to it.

    An input of None is absent: its path is "". Relative paths are looked for in the folder that
    `first` has for the port, if any, and then in the `search` folders, in order. `taken` are names
    in the workdir that no input can have, each with what has it: template paths of tasks, folders.
    With a slash at its end it is a folder in which no input, or file named by one, can be.
    Links and folders that were not there are added to `made`.

    Raises:
        InputError: Files are missing, or different files would have one name in the workdir.
        WorkdirError: A link cannot be made.
    """
    plan = _Plan(workdir, taken or {})
    staged = {
        port: "" if value is None else _stage(plan, port, value, _folders(port, first, search))
        for port, value in inputs.items()
    }
    if plan.missing:
        count = len(plan.missing)
        raise InputError(
            f"{count} input file{'s are' if count > 1 else ' is'} missing:\n"
            + "\n".join(f"  {line}" for line in plan.missing),
            hint="relative names are looked for in "
            + ", ".join(dict.fromkeys(str(folder) for folder in search)),
        )
    if plan.conflicts:
        raise InputError(
            "input files cannot have these names in the workdir:\n"
            + "\n".join(f"  {line}" for line in plan.conflicts),
            hint="rename or copy them; each needs a name of its own, inside the workdir and "
            "outside of the folders of tasks",
        )
    for target, source in plan.links.items():
        _link(target, source, set() if made is None else made)
    return staged


def find_input(value: str, search: Sequence[Path]) -> Path | None:
    """Return the file that is meant, None if there is none."""
    places = _places(value, search)
    return next((path for path in places if isfile(path)), None)  # noqa: PTH113 -- see _there


def _there(paths: Sequence[Path]) -> Path | None:
    """Return the first path where something is; a Path would not take a name that is too long."""
    return next((path for path in paths if exists(path)), None)  # noqa: PTH110


def _places(value: str, search: Sequence[Path]) -> list[Path]:
    return [Path(value)] if Path(value).is_absolute() else [folder / value for folder in search]


def _folders(port: str, first: Mapping[str, Path] | None, search: Sequence[Path]) -> Sequence[Path]:
    return [first[port], *search] if first and port in first else search


def _stage(plan: _Plan, port: str, value: str, search: Sequence[Path]) -> str:
    source = find_input(value, search)
    if source is None:
        found = _there(_places(value, search))
        kind = "a directory" if found and found.is_dir() else "a pipe or a device"
        plan.missing.append(f"{port}: {value}" + f" is {kind}, not a file" * (found is not None))
        return value
    plan.refuse_made(port, str(source))
    name = inside(plan.workdir, source)
    if name is None:
        name = value if not Path(value).is_absolute() and ".." not in Path(value).parts else ""
        name = name or source.name
        plan.link(port, plan.workdir / name, source)
    if owner := plan.taken.get(template(name)):
        plan.conflicts.append(f"{port}: {source} would be {name}, which is {owner}")
    _follow(plan, port, source)
    return name


def _follow(plan: _Plan, port: str, source: Path) -> None:
    """Plan links for the files that `source` names."""
    if source in plan.seen:
        return
    plan.seen.add(source)
    try:
        if source.suffix.lower() == ".xml":
            for name in file_names(source):
                _follow_data(plan, port, source, name)
        elif is_list_file(source):
            _follow_list(plan, port, source)
    except (ValueError, EuclidDaskError, OSError):
        return  # neither product nor list: the executable knows what it is


def _follow_data(plan: _Plan, port: str, product: Path, name: str) -> None:
    wanted = plan.workdir / "data" / name
    for folder in _DATA_FOLDERS:
        found = product.parent / folder / name
        if found.is_file():
            plan.refuse_made(port, str(found))
            if not _is_same(wanted, found):
                plan.link(port, wanted, found)
            return
    if not wanted.is_file():
        plan.missing.append(f"{port}: data/{name}, named by {product}")


def _follow_list(plan: _Plan, port: str, listing: Path) -> None:
    """Plan links for the entries of a list; one that looks like no file is a plain text.

    Entries of a list in the workdir are relative to the workdir, others to their list. A list may
    be long and most entries are where they belong, so paths are texts here.
    """
    at_home = inside(plan.workdir, listing) is not None
    for entry in _texts(read_list(listing)):
        wanted = os.path.join(plan.workdir, entry)  # noqa: PTH118
        found = wanted if at_home else os.path.join(listing.parent, entry)  # noqa: PTH118
        if not os.path.isfile(found):  # noqa: PTH113
            found = wanted
        suffix = os.path.splitext(entry)[1].lower()  # noqa: PTH122
        if os.path.isfile(found):  # noqa: PTH113
            plan.refuse_made(port, found)
            if found != wanted and not _is_same(Path(wanted), Path(found)):
                plan.link(port, Path(wanted), Path(found))
            if suffix in _NAMING:
                _follow(plan, port, Path(found))
        elif suffix in _FILES:
            plan.missing.append(f"{port}: {entry}, named by {listing}")


def _is_same(target: Path, source: Path) -> bool:
    return target.exists() and target.samefile(source)


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for entry in value for text in _texts(entry)]
    return []


def inside(workdir: Path, file: Path) -> str | None:
    """Return the path of `file` relative to the workdir, None if it is not under it."""
    flat = Path(os.path.normpath(file.absolute()))
    return str(flat.relative_to(workdir)) if flat.is_relative_to(workdir) else None


def _link(target: Path, source: Path, made: set[Path]) -> None:
    source = source.resolve()
    if target.exists():
        if target.samefile(source):
            return
        raise InputError(
            f"{target} exists and is not {source}",
            hint="remove or rename the one in the workdir, or use a fresh workdir",
        )
    try:
        target.unlink(missing_ok=True)  # a link that leads nowhere
        made.update(path for path in (target, *target.parents) if not path.exists())
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)
    except OSError as error:
        raise _link_error(target, error) from error


def _link_error(target: Path, error: OSError) -> WorkdirError:
    return unusable(target.parent, error)
