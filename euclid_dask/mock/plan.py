"""The plan of a mock: how each executable behaves. It is the file `mock.toml`.

Settings win over the plan file they are given with, `--set` wins over both.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from typing import Literal as Choice

import msgspec

from euclid_dask.core.errors import InputError
from euclid_dask.core.flow import Flow
from euclid_dask.core.ports import ExecutableSpec
from euclid_dask.core.resources import Resources
from euclid_dask.core.values import Value, replace
from euclid_dask.data.regular import regular
from euclid_dask.dataflow.names import did_you_mean
from euclid_dask.mock.amounts import check_count, check_share, parse_duration, parse_size

Failure = Choice["exit", "signal", "bad-output", "hang"]
"""How a stand-in fails: exit code 1, SIGKILL, an output that is not valid, or no end."""


class ProgramSettings(Value, frozen=True, kw_only=True):
    """How one executable behaves.

    `duration` is seconds or MIN-MAX; `cpu` is the share (0 to 1) of the time that its cores are
    busy; `ram` is the peak of its resident memory, a size or a percentage of what it declares;
    `io` is written and read again. `output_size` is the size of each data file, `sizes` that of
    single ports; `items` is the length of list outputs, `lengths` that of single ports.
    `failing_attempts` is how many attempts of a failing task fail, 0 for all.
    """

    duration: str = "0"
    cpu: float = 0.0
    ram: str = "0"
    io: str = "0"
    output_size: str = "0"
    items: int = 3
    failure_rate: float = 0.0
    failure: Failure = "exit"
    failing_attempts: int = 0
    sizes: dict[str, str] = {}
    lengths: dict[str, int] = {}


class InputSettings(Value, frozen=True, kw_only=True):
    """The input data for one port: the size of each data file, the length of a list."""

    size: str = "0"
    items: int = 3


class MockPlan(Value, frozen=True, kw_only=True):
    """All that `mock.toml` says."""

    seed: int = 0
    executables: dict[str, ProgramSettings] = {}
    inputs: dict[str, InputSettings] = {}


class MockSettings(Value, frozen=True, kw_only=True):
    """What the caller of a mock wants, for all executables; None leaves it to the plan.

    `plan` is a plan file to start from, "" for none. `changes` are texts of the form
    `EXECUTABLE.KEY=VALUE`. `bin` is the folder of the stand-ins, "" for one in the workdir;
    `pkgrepo` is what the run will need as package repository, `offer` what the machine has that
    will run it, None if that is not known.
    """

    seed: int | None = None
    items: int | None = None
    duration: str | None = None
    cpu: float | None = None
    ram: str | None = None
    io: str | None = None
    output_size: str | None = None
    failure_rate: float | None = None
    changes: tuple[str, ...] = ()
    plan: str = ""
    bin: str = ""
    pkgrepo: str = ""
    offer: Resources | None = None


_FOR_ALL: Final = ("items", "duration", "cpu", "ram", "io", "output_size", "failure_rate")
_KEYS: Final = {field.name: field.type for field in msgspec.structs.fields(ProgramSettings)}
_PER_PORT: Final = ("sizes", "lengths")
_HEAD: Final = """\
# How the stand-ins of the pipeline '{name}' behave.
# Edit it, and write the stand-ins again with: euclid-dask mock SCRIPT --workdir DIR --plan {file}
#
#   duration          seconds, or MIN-MAX
#   cpu               share of the duration that the declared cores are busy, 0 to 1
#   ram               peak of the resident memory: a size, or a percentage of what is declared
#   io                size that is written and read again
#   output_size       size of each data file; of single ports under sizes
#   items             length of list outputs; of single ports under lengths
#   failure_rate      share of the tasks that fail, 0 to 1
#   failure           exit, signal, bad-output or hang
#   failing_attempts  how many attempts of a failing task fail; 0 is all
"""


def make_plan(
    flow: Flow, inputs: Iterable[str], settings: MockSettings
) -> tuple[MockPlan, list[str]]:
    """Return the plan of a mock, and warnings about the plan file.

    Raises:
        InputError: The plan file, a setting or a change is wrong.
    """
    before = read_plan(Path(settings.plan)) if settings.plan else MockPlan()
    every = {key: value for key in _FOR_ALL if (value := getattr(settings, key)) is not None}
    executables = {
        key: replace(before.executables.get(key, ProgramSettings()), **every)
        for key in flow.executables
    }
    for change in settings.changes:
        _change(flow, executables, change)
    data: dict[str, Any] = {}
    if settings.items is not None:
        data["items"] = settings.items
    if settings.output_size is not None:
        data["size"] = settings.output_size
    plan = MockPlan(
        seed=before.seed if settings.seed is None else settings.seed,
        executables=executables,
        inputs={name: replace(before.inputs.get(name, InputSettings()), **data) for name in inputs},
    )
    check_plan(flow, plan)
    return plan, _stale(settings.plan, before, plan)


def read_plan(path: Path) -> MockPlan:
    """Return what a plan file says.

    Raises:
        InputError: It cannot be read, is not TOML, or has a key or value that means nothing.
    """
    try:
        tables = tomllib.loads(regular(path).read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        hint = "`euclid-dask mock` without --plan writes one to start from"
        raise InputError(f"cannot read the plan {path}: {reason}", hint=hint) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: is not TOML: {error}") from error
    _refuse_unknown(str(path), tables, ("seed", "executables", "inputs"))
    for section, kind in (("executables", ProgramSettings), ("inputs", InputSettings)):
        for name, table in _table(tables.get(section)).items():
            known = [field.name for field in msgspec.structs.fields(kind)]
            _refuse_unknown(f"{path}: {section}.{name}", _table(table), known)
    try:
        return msgspec.convert(tables, MockPlan)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {error}") from error


def render_plan(flow: Flow, plan: MockPlan, file: str) -> str:
    """Return the text of a plan file."""
    lines = [_HEAD.format(name=flow.name, file=file), f"seed = {plan.seed}"]
    for key, program in plan.executables.items():
        lines += ["", f"[executables.{_bare(key)}]"]
        lines += [
            f"{name} = {_render(value)}" for name, value in msgspec.structs.asdict(program).items()
        ]
    for name, given in plan.inputs.items():
        lines += ["", f"[inputs.{_bare(name)}]"]
        lines += [f"size = {_quoted(given.size)}", f"items = {given.items}"]
    return "\n".join(lines) + "\n"


def check_plan(flow: Flow, plan: MockPlan) -> None:
    """Refuse values that mean nothing.

    Raises:
        InputError: It names the executable, the key and the value.
    """
    for key, program in plan.executables.items():
        spec = flow.executables[key]
        parse_duration(program.duration, f"{key}.duration")
        parse_size(program.ram, f"{key}.ram", spec.needs.ram_bytes)
        parse_size(program.io, f"{key}.io")
        parse_size(program.output_size, f"{key}.output_size")
        check_share(program.cpu, f"{key}.cpu")
        check_share(program.failure_rate, f"{key}.failure_rate")
        check_count(program.items, f"{key}.items")
        check_count(program.failing_attempts, f"{key}.failing_attempts")
        _check_ports(key, spec, program)
    for name, given in plan.inputs.items():
        parse_size(given.size, f"inputs.{name}.size")
        check_count(given.items, f"inputs.{name}.items")


def _check_ports(key: str, spec: ExecutableSpec, program: ProgramSettings) -> None:
    outputs = [port.name for port in spec.outputs]
    for where in _PER_PORT:
        for port in getattr(program, where):
            if port not in outputs:
                raise InputError(
                    f"{key}.{where}.{port}: '{key}' has no output '{port}'",
                    hint=did_you_mean(port, outputs, "its outputs"),
                )
    for port, size in program.sizes.items():
        parse_size(size, f"{key}.sizes.{port}")
    for port, length in program.lengths.items():
        check_count(length, f"{key}.lengths.{port}")


def _change(flow: Flow, executables: dict[str, ProgramSettings], change: str) -> None:
    """Apply one `EXECUTABLE.KEY=VALUE`; the name of an executable may hold dots itself."""
    path, equals, value = change.partition("=")
    key = max(
        (name for name in flow.executables if path.startswith(f"{name}.")), key=len, default=""
    )
    if not equals or "." not in path:
        raise InputError(
            f"--set {change}: is not of the form EXECUTABLE.KEY=VALUE",
            hint="such as: --set vis_split.items=36",
        )
    if not key:
        wanted = path.partition(".")[0]
        raise InputError(
            f"--set {change}: no executable is called '{wanted}'",
            hint=did_you_mean(wanted, flow.executables, "there are"),
        )
    name, _, port = path[len(key) + 1 :].partition(".")
    if name not in _KEYS or bool(port) != (name in _PER_PORT):
        known = [f"{each}.PORT" if each in _PER_PORT else each for each in _KEYS]
        raise InputError(
            f"--set {change}: there is no setting '{path[len(key) + 1 :]}'",
            hint=did_you_mean(name, known, "there are"),
        )
    asked = {port: value} if port else value
    try:
        converted = msgspec.convert(asked, _KEYS[name], strict=False)
    except msgspec.ValidationError as error:
        raise InputError(f"--set {change}: {error}") from error
    old = executables[key]
    executables[key] = replace(
        old, **{name: {**getattr(old, name), **converted} if port else converted}
    )


def _stale(file: str, before: MockPlan, plan: MockPlan) -> list[str]:
    """Return a warning for each part of a plan file that the pipeline does not have."""
    gone = [f"executable '{key}'" for key in before.executables if key not in plan.executables]
    gone += [f"input '{name}'" for name in before.inputs if name not in plan.inputs]
    return [f"{file}: the pipeline has no {what}; left out" for what in gone]


def _refuse_unknown(where: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    known = tuple(known)
    for key in table:
        if key not in known:
            raise InputError(
                f"{where}: '{key}' means nothing here", hint=did_you_mean(key, known, "known are")
            )


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _render(value: object) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, dict):
        pairs = [f"{_bare(str(key))} = {_render(entry)}" for key, entry in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    return repr(value)


def _bare(key: str) -> str:
    """Return a key of TOML, quoted only if it must be."""
    return key if key.isascii() and key.replace("-", "_").isidentifier() else _quoted(key)


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
