"""The folder of the stand-ins: one for each executable, and one for each first word of a command.

All of them are the same few lines; by the words of its command line a stand-in knows which
executable it is (`standin.plans.matching`). What they share is in `.stand-in` beside them: the
program, compiled, and the settings of all executables.
"""

import hashlib
import os
import py_compile
import sys
from collections.abc import Iterable
from pathlib import Path
from pprint import pformat
from typing import Any, Final

from euclid_dask.core.errors import InputError, PipelineError, SiteError
from euclid_dask.core.flow import Flow
from euclid_dask.core.ports import ExecutableSpec, OutputPort
from euclid_dask.mock.amounts import parse_duration, parse_size
from euclid_dask.mock.plan import MockPlan, ProgramSettings
from euclid_dask.mock.wiring import Wiring

CHOICE: Final = "--mock-executable="
"""The word after a stand-in's path that says which executable it is, whatever its name."""

_SHARED: Final = ".stand-in"
_SOURCES: Final = Path(__file__).with_name("standin")
_OWN_NAME: Final = "euclid_dask.mock.standin"
_MARK: Final = "a stand-in, written by euclid-dask mock"
_SHEBANG_BYTES: Final = 120
_PROGRAM: Final = """\
{start}
# {mark}; settings {digest}
import sys
sys.path.insert(0, sys.path[0] + "/{shared}")
from standin.program import main
from mocked import PLANS
main(PLANS)
"""


def write_programs(flow: Flow, wiring: Wiring, plan: MockPlan, folder: Path) -> dict[str, Path]:
    """Write the stand-ins into `folder`; return that of each executable.

    A file that is as it should be already is not touched, so that a run does not take its tasks
    for new ones.

    Raises:
        InputError: A file of the folder was not written by us.
        PipelineError: The name of an executable is no file name.
        SiteError: The folder cannot be written.
    """
    settings = {
        key: program_settings(key, spec, wiring, plan) for key, spec in flow.executables.items()
    }
    names = {key: folder / _file_name(key) for key in flow.executables}
    words = {spec.command[0] for spec in flow.executables.values() if on_path(spec)}
    files = sorted({*names.values(), *(folder / word for word in words)})
    try:
        _refuse_foreign(files)
        folder.mkdir(parents=True, exist_ok=True)
        digest = _write_shared(folder / _SHARED, settings)
        text = _program(digest)
        for file in files:
            write_if_changed(file, text)
            file.chmod(0o755)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
        raise SiteError(f"cannot write the stand-ins: {reason}") from error
    return names


def on_path(spec: ExecutableSpec) -> bool:
    """Tell whether a command is found on the PATH, so that a stand-in can take its place."""
    return "/" not in spec.command[0]


def program_settings(
    key: str, spec: ExecutableSpec, wiring: Wiring, plan: MockPlan
) -> dict[str, Any]:
    """Return what a stand-in is told, as `standin.plans.ProgramPlan` takes it."""
    program = plan.executables[key]
    return {
        "name": key,
        "command": spec.command,
        "tasks": tuple(wiring.tasks.get(key, ())),
        "inputs": tuple(port.name for port in spec.inputs),
        "texts": tuple(sorted(wiring.texts.get(key, ()))),
        "outputs": {
            port.name: _output_settings(key, spec, port, wiring, program) for port in spec.outputs
        },
        "seed": plan.seed,
        "duration": parse_duration(program.duration, key),
        "cpu": program.cpu,
        "cores": spec.needs.cores,
        "ram": parse_size(program.ram, key, spec.needs.ram_bytes),
        "io": parse_size(program.io, key),
        "failure_rate": program.failure_rate,
        "failure": program.failure,
        "failing_attempts": program.failing_attempts,
    }


def write_if_changed(file: Path, text: str) -> bool:
    """Write a file unless it holds that already; tell whether it was written."""
    if file.is_file() and file.read_bytes() == text.encode():
        return False
    file.write_text(text)
    return True


def _output_settings(
    key: str, spec: ExecutableSpec, port: OutputPort, wiring: Wiring, program: ProgramSettings
) -> dict[str, Any]:
    depth = wiring.output_depth(key, spec, port.name)
    kind = "xml" if depth and port.mime_type == "json" else port.mime_type
    return {
        "kind": kind,
        "depth": depth,
        "dm_type": port.dm_type or wiring.dm_type((key, port.name), depth),
        "items": program.lengths.get(port.name, program.items),
        "size": parse_size(program.sizes.get(port.name, program.output_size), key),
    }


def _file_name(key: str) -> str:
    if not key.isprintable() or "/" in key or key.startswith("."):
        raise PipelineError(f"executable '{key}' has a name that is no file name")
    return key


def _refuse_foreign(files: Iterable[Path]) -> None:
    for file in files:
        if file.is_dir() or (file.is_file() and _MARK.encode() not in file.read_bytes()[:400]):
            raise InputError(
                f"{file}: exists, and is no stand-in",
                hint="give a folder of its own for the stand-ins: --bin DIR",
            )


def _write_shared(folder: Path, settings: dict[str, dict[str, Any]]) -> str:
    """Write what the stand-ins share; return its digest."""
    texts = {
        f"standin/{source.name}": source.read_text().replace(_OWN_NAME, "standin")
        for source in sorted(_SOURCES.glob("*.py"))
    }
    content = pformat(settings, width=100, sort_dicts=False)
    texts["mocked.py"] = f'"""How the stand-ins behave."""\n\nPLANS = {content}\n'
    (folder / "standin").mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        if write_if_changed(folder / name, text):
            py_compile.compile(str(folder / name), doraise=True)
    return hashlib.sha256("".join(texts.values()).encode()).hexdigest()[:16]


def _program(digest: str) -> str:
    python = os.path.realpath(sys.executable)
    start = f"#!{python} -SE"
    if " " in python or len(start) > _SHEBANG_BYTES:
        start = f'#!/bin/sh\n""":"\nexec \'{python}\' -SE "$0" "$@"\n":"""'
    return _PROGRAM.format(start=start, mark=_MARK, digest=digest, shared=_SHARED)
