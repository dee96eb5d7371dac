"""Registering the outputs of a run where they lie: the workdir becomes a storage.

    W/data/<ProductType>__<ProductId>.xml    a product, by a second name of the output's file
    W/data/<FileName>                        the files that it names, where its task wrote them

Rule 1: no byte of an output is copied, and none is changed: what is registered is made read-only.
Rule 2: whatever is cut off can be done again, and ends in the same rows.
Rule 3: what is registered leaves the workdir through the registry, which knows the other copies.
"""

import errno
import os
import re
import secrets
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from euclid_dask.api.copies import carried
from euclid_dask.api.data import (
    DataSettings,
    Way,
    add_storage,
    open_registry,
    storage_around,
)
from euclid_dask.api.outputs import Ancestry, Result, results
from euclid_dask.api.results import RunResult, open_run
from euclid_dask.api.upkeep import Wish, remove
from euclid_dask.core.errors import InputError, StoppedError, WorkdirError
from euclid_dask.core.texts import without_passwords
from euclid_dask.core.values import Value, json_reader, replace, to_json
from euclid_dask.data.adopting import adopt
from euclid_dask.data.local import publish, sync_directory, write_whole
from euclid_dask.data.markers import marker_of, write_marker
from euclid_dask.data.model import Product, ReplicaState
from euclid_dask.data.names import name_problem
from euclid_dask.data.provenance import Origin, with_origin
from euclid_dask.data.registry import Registry
from euclid_dask.data.ruling import Ruling
from euclid_dask.data.states import ACTIVE
from euclid_dask.data.storages.file import FileDriver
from euclid_dask.data.survey import Find, Lying, survey
from euclid_dask.runner.makers import Making, makings
from euclid_dask.runner.workspace import REGISTERED, Lock, Workspace

_IDS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://euclid-dask/outputs")
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV})
_WRITE: Final = 0o222


class Note(Value, frozen=True, kw_only=True):
    """Where the files of a workdir are registered."""

    registry: str
    zone: str
    storage: str
    files: tuple[str, ...]
    """The names of files that are registered, or were about to be."""


class Registered(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What came of registering the outputs of a run."""

    storage: str
    files: tuple[str, ...]
    products: tuple[str, ...]
    """Their ids."""
    size: int
    """Bytes of all files."""
    read: int = 0
    """Files that had to be read."""
    copies: int = 0
    """Copies that rules wanted, and that are made."""
    waiting: str = ""
    """Why copies that rules want are not made yet, "" if all are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """How outputs are registered: `values` are paths of texts to find products by."""

    values: tuple[str, ...] = ()
    copy: bool = True
    """Whether copies that rules want are made at once, and not left to movers."""
    dry_run: bool = False
    watch: Callable[[int, int], None] = lambda _, __: None
    """Called after each file with its bytes, and those of all."""


def register(
    workdir: str | Path,
    run_id: str | None = None,
    settings: DataSettings | None = None,
    choices: Choices | None = None,
) -> Registered:
    """Register the outputs of a run that is done, the latest for None, and all that they name.

    Raises:
        InputError: The run is not done, or something is wrong with its outputs, and what.
        StorageError: The workdir cannot be marked.
        WorkdirError: A runner works there.
    """
    settings, choices = settings or DataSettings(), choices or Choices()
    refuse_without_registry(settings)
    result = open_run(Path(workdir).absolute(), run_id)
    if result.state != "done":
        raise InputError(
            f"{result.id} is {result.state}: only what is done is registered",
            hint=f"go on with it first: euclid-dask resume {workdir}",
        )
    workspace = Workspace(result.workdir)
    if choices.dry_run:
        return _foreseen(result, workspace)
    lock = Lock.take(workspace)
    try:
        return _register(result, workspace, settings, choices)
    finally:
        lock.release()


def refuse_without_registry(settings: DataSettings) -> None:
    """Raise InputError when there is no registry that could take outputs."""
    with open_registry(settings, read_only=True):
        pass


@dataclass(frozen=True, slots=True)
class _Output:
    """A result, the name that it is registered by, and who made it."""

    result: Result
    name: str
    making: Making


def _outputs(result: RunResult, workspace: Workspace) -> list[_Output]:
    found = results(result.run, result.workdir)
    makers = makings(workspace, result.run, {one.task for one in found})
    return [_Output(one, _name(one, makers[one.task]), makers[one.task]) for one in found]


def _name(result: Result, making: Making) -> str:
    """Return the name of a file: that of its product, or its own, or one of who made it."""
    product, path = result.product, Path(result.path)
    if product is not None:
        name = f"{product.type}__{product.product_id}.xml"
        if not name_problem(name):
            return name
    elif path.parts[0] == "data" and not name_problem(path.name):
        return path.name
    who = f"{making.run}/{making.task}/{making.attempt}/{result.port}/{result.path}"
    node = making.task.rpartition(".")[2]
    return f"{_plain(node)}.{_plain(result.port)}-{uuid.uuid5(_IDS, who)}{_plain(path.suffix)}"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", text)[:50]


def _foreseen(result: RunResult, workspace: Workspace) -> Registered:
    files: dict[str, Path] = {}
    products: list[str] = []
    for one in _outputs(result, workspace):
        files[one.name] = workspace.workdir / one.result.path
        if one.result.product is not None:
            products.append(one.result.product.product_id)
            names = [file.name for file in one.result.product.files]
            files |= {name: workspace.workdir / "data" / name for name in names}
    return Registered(
        storage="",
        files=tuple(sorted(files)),
        products=tuple(sorted(products)),
        size=sum(path.stat().st_size for path in files.values()),
    )


def _register(
    result: RunResult, workspace: Workspace, settings: DataSettings, choices: Choices
) -> Registered:
    outputs = _outputs(result, workspace)
    storage = _storage(settings, workspace.workdir)
    paths = {_named(workspace.workdir, one): one for one in outputs}
    plain = [path for path, one in paths.items() if one.result.product is None]
    with open_registry(settings) as registry:
        accesses = registry.storages.accesses(settings.zone)
        storages = registry.storages.all()
        found = survey(list(paths), storages, accesses, choices.values, plain=plain)
        found = replace(found, products=_with_origins(result, outputs, found))
        _take_note(workspace, settings, storage, found)
        for one in found.files:
            _protect(workspace.workdir, one)
        adopted = adopt(registry, found, lambda one: choices.watch(one.size, found.size))
        Ruling(registry).catch_up()
        adopted.check()
        copies, waiting = _copied(registry, settings, found) if choices.copy else (0, "")
    return Registered(
        storage=storage,
        files=tuple(sorted(one.name for one in found.files)),
        products=tuple(sorted(one.product_id for one in found.products.values())),
        size=found.size,
        read=adopted.read,
        copies=copies,
        waiting=waiting,
    )


def _storage(settings: DataSettings, workdir: Path) -> str:
    """Return the storage that the workdir is in; if it is in none, it becomes one."""
    if around := storage_around(settings, workdir):
        return around
    real = workdir.resolve()
    driver = FileDriver(real)
    marker = marker_of(driver)
    if marker is None:
        name = f"{_plain(real.name)}-{secrets.token_hex(4)}"
        marker = f"{name}-{secrets.token_hex(8)}"
        write_marker(driver, marker)
    name = marker.rpartition("-")[0] or marker
    way = Way(storage=name, zone=settings.zone, root=real.as_uri(), write=0)
    return add_storage(settings, way, durable=False).name


def _named(workdir: Path, output: _Output) -> Path:
    """Return the output by the name that it is registered by: a second name of the same file."""
    path = Path(os.path.realpath(workdir / output.result.path))
    if path.name == output.name or not path.is_relative_to(workdir.resolve()):
        return path
    target = workdir / "data" / output.name
    if target.exists():
        _refuse_other(path, target)
        return target
    target.parent.mkdir(exist_ok=True)
    try:
        os.link(path, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        part = target.with_name(f".{target.name}.part-register")
        shutil.copy2(path, part)
        publish(part, target)
    sync_directory(target.parent)
    return target


def _refuse_other(path: Path, target: Path) -> None:
    """Refuse a name that another file of the workdir has."""
    if target.samefile(path) or target.read_bytes() == path.read_bytes():
        return
    raise InputError(
        f"{path} would be {target.name}, and another file has that name",
        hint="a product's id stands for one content: an executable that writes another product "
        "gives it another id",
    )


def _with_origins(
    result: RunResult, outputs: Sequence[_Output], found: Find
) -> Mapping[str, Product]:
    """Return the products of a find with what they were made by and from."""
    ancestry = Ancestry(result.run, result.workdir, [one.result for one in outputs])
    origins: dict[str, Origin] = {}
    for one in outputs:
        task = result.run.tasks[one.result.task]
        origins[one.name] = Origin(
            run=one.making.run,
            task=one.making.task,
            attempt=one.making.attempt,
            executable=task.node.executable,
            inputs=tuple(ancestry.of(task)),
        )
    return {
        name: with_origin(product, origins[name]) if name in origins else product
        for name, product in found.products.items()
    }


def _protect(workdir: Path, one: Lying) -> None:
    """Have nobody write to a registered file of the workdir, so that it may be linked."""
    path = Path(one.path)
    if path.is_relative_to(workdir.resolve()):
        with suppress(OSError):  # it is another's
            mode = path.stat().st_mode
            if mode & _WRITE:
                path.chmod(mode & ~_WRITE & 0o7777)


def _copied(registry: Registry, settings: DataSettings, found: Find) -> tuple[int, str]:
    """Have the copies made that rules want; return how many are, and why others are not."""
    names = [one.name for one in found.files]
    wanted = [one for one in registry.transfers.of_files(names) if one.state in ACTIVE]
    if not wanted:
        return 0, ""
    waiting = ""
    try:
        carried(registry, settings, [(one.file, one.destination) for one in wanted])
    except StoppedError as error:
        waiting = error.message
    ids = {one.id for one in wanted}
    left = [
        one for one in registry.transfers.of_files(names) if one.id in ids and one.state in ACTIVE
    ]
    return len(wanted) - len(left), waiting


# ---- what is registered, as the workdir itself knows it


def _take_note(workspace: Workspace, settings: DataSettings, storage: str, found: Find) -> None:
    known = read_note(workspace)
    names = {one.name for one in found.files if one.storage == storage}
    note = Note(
        registry=without_passwords(_address(settings)),
        zone=settings.zone,
        storage=storage,
        files=tuple(sorted(names | set(known.files if known is not None else ()))),
    )
    write_whole(workspace.records / REGISTERED, to_json(note) + b"\n")


def _address(settings: DataSettings) -> str:
    address = settings.address
    return address if "://" in address else str(Path(address).absolute())


def read_note(workspace: Workspace) -> Note | None:
    """Return what is registered of a workdir, None if nothing is.

    Raises:
        WorkdirError: It was written down, and cannot be read.
    """
    path = workspace.records / REGISTERED
    try:
        return json_reader(Note)(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise WorkdirError(f"{path} cannot be read: {error}") from error


def release(workspace: Workspace, *, dry_run: bool = False) -> list[str]:
    """Remove the registered files of a workdir that nobody needs there; return their names.

    Raises:
        WorkdirError: Some are needed there, as the only good copy; then none is removed.
    """
    note = read_note(workspace)
    if note is None:
        return []
    own = "***" not in note.registry
    settings = DataSettings(registry=note.registry if own else "", zone=note.zone)
    names = _kept_there(settings, note)
    if not names:
        return []
    reason = f"{workspace.workdir} is cleaned"
    wish = Wish(names=tuple(names), storages=(note.storage,), reason=reason, adopted=True)
    for is_trial in (True,) if dry_run else (True, False):
        told = remove(settings, wish, dry_run=is_trial)
        stays = [one for one in told if one.state in {"kept", "waiting"}]
        if stays:
            raise WorkdirError(
                f"{len(stays)} files of {workspace.workdir} are registered and stay: "
                f"{stays[0].file}: {stays[0].reason or stays[0].state}",
                hint=f"copy them first: euclid-dask replicate {stays[0].file} --to STORAGE; "
                "or keep the outputs: --keep outputs",
            )
    return names


def _kept_there(settings: DataSettings, note: Note) -> list[str]:
    with open_registry(settings, read_only=True) as registry:
        replicas = registry.locate(note.files, frozenset(ReplicaState))
    return [
        name
        for name, there in replicas.items()
        if any(one.storage == note.storage for one in there)
    ]
