"""Write a mock: stand-ins, input data, the data file of the run, and the plan to edit."""

import math
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Final

from euclid_dask.core.errors import InputError, SiteError
from euclid_dask.core.flow import Flow
from euclid_dask.core.ports import ExecutableSpec
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.values import Value
from euclid_dask.mock.amounts import parse_duration, parse_size
from euclid_dask.mock.inputs import ISF, render_isf, write_inputs
from euclid_dask.mock.plan import (
    MockPlan,
    MockSettings,
    ProgramSettings,
    make_plan,
    read_plan,
    render_plan,
)
from euclid_dask.mock.programs import CHOICE, on_path, write_if_changed, write_programs
from euclid_dask.mock.script import render_script
from euclid_dask.mock.wiring import Wiring

PLAN: Final = "mock.toml"
SCRIPT: Final = "mock_pipeline.py"
_BIN: Final = "mock-bin"


class MockReport(Value, frozen=True, kw_only=True):
    """What was written; all paths but those of the inputs are absolute.

    `stand_ins` are the programs by executable, `inputs` the files by port, relative to the
    workdir, "" for a port that nothing uses. `script` is the one to run: the pipeline's own, or
    one that was written since commands with a path of their own cannot be replaced. `command`
    runs it.
    """

    workdir: str
    bin: str
    script: str
    isf: str
    plan: str
    stand_ins: dict[str, str]
    inputs: dict[str, str]
    command: str
    warnings: tuple[str, ...] = ()


def build_mock(flow: Flow, folder: Path, settings: MockSettings | None = None) -> MockReport:
    """Write stand-ins and input data for a pipeline.

    What is as it should be already is not written again, so a mock that changes nothing makes no
    task of an earlier run a new one.

    Args:
        flow: The pipeline.
        folder: The workdir of the run; made if need be.
        settings: How the stand-ins behave.

    Raises:
        InputError: A setting or the plan is wrong, or a file that is not ours is in the way.
        SiteError: The folder cannot be written.
    """
    settings = settings or MockSettings()
    workdir = folder.absolute()
    bin_folder = Path(settings.bin).absolute() if settings.bin else workdir / _BIN
    if ":" in str(bin_folder):
        raise InputError(f"{bin_folder}: a folder of the PATH cannot have a ':' in its name")
    wiring = Wiring.of(flow)
    plan, warnings = make_plan(flow, filter(wiring.is_used, flow.body.inputs), settings)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        inputs = write_inputs(flow, wiring, plan, workdir)
        write_if_changed(workdir / ISF, render_isf(flow, inputs))
        warnings += _write_plan(workdir / PLAN, flow, plan)
        stand_ins = write_programs(flow, wiring, plan, bin_folder)
        script = _script(flow, workdir, stand_ins)
    except OSError as error:
        raise SiteError(f"cannot write the mock: {error.filename}: {error.strerror}") from error
    return MockReport(
        workdir=str(workdir),
        bin=str(bin_folder),
        script=str(script),
        isf=str(workdir / ISF),
        plan=str(workdir / PLAN),
        stand_ins={key: str(path) for key, path in stand_ins.items()},
        inputs=inputs,
        command=_command(script, workdir, bin_folder, settings, flow),
        warnings=(*warnings, *_doubts(flow, wiring, plan)),
    )


def _write_plan(file: Path, flow: Flow, plan: MockPlan) -> list[str]:
    """Write the plan; a file that says the same is left alone, another one is kept beside it."""
    text = render_plan(flow, plan, PLAN)
    if not file.is_file():
        file.write_text(text)
        return []
    with suppress(InputError):
        if read_plan(file) == plan:
            return []
    kept = file.with_name(f"{file.name}.old")
    file.replace(kept)
    file.write_text(text)
    return [f"the plan has changed; the one before is {kept}"]


def _script(flow: Flow, workdir: Path, stand_ins: dict[str, Path]) -> Path:
    """Return the script to run; write it if stand-ins on the PATH are not enough."""
    if flow.script and all(on_path(spec) for spec in flow.executables.values()):
        return Path(flow.script)
    commands = {key: (str(path), f"{CHOICE}{key}") for key, path in stand_ins.items()}
    write_if_changed(workdir / SCRIPT, render_script(flow, commands))
    return workdir / SCRIPT


def _command(
    script: Path, workdir: Path, bin_folder: Path, settings: MockSettings, flow: Flow
) -> str:
    words = ["euclid-dask", "run", str(script)]
    if str(script) != flow.script:
        path = ""
    else:
        path = f"PATH={shlex.quote(str(bin_folder))}:$PATH "
        words += ["--pkgrepo", settings.pkgrepo] if settings.pkgrepo else []
    words += ["--workdir", str(workdir), "--isf", str(workdir / ISF)]
    return path + shlex.join([*words, *_more_than(settings.offer, flow)])


def _more_than(offer: Resources | None, flow: Flow) -> list[str]:
    """Return the options that let a small machine run tasks that declare more than it has."""
    needs = [spec.needs for spec in flow.executables.values()]
    cores = max((need.cores for need in needs), default=0.0)
    ram_gb = math.ceil(max((need.ram_bytes for need in needs), default=0) / GB)
    found: list[str] = []
    if offer is not None and cores > offer.cores:
        found += ["--cores", f"{cores:g}"]
    if offer is not None and ram_gb * GB > offer.ram_bytes:
        found += ["--ram", f"{ram_gb}GB"]
    return found


def _doubts(flow: Flow, wiring: Wiring, plan: MockPlan) -> list[str]:
    """Return what will make a run of the mock fail."""
    found: list[str] = []
    for key, program in plan.executables.items():
        spec = flow.executables[key]
        found += _excesses(key, spec, program)
        for port in spec.outputs:
            is_split = (key, port.name) in wiring.split_depths
            if is_split and not port.is_list and port.mime_type in {"xml", "fits"}:
                found.append(
                    f"output '{port.name}' of '{key}' is split over, so it is written as a list; "
                    f"a run refuses that for a file declared {port.mime_type}: declare it a "
                    'listfile, or mime_type="json"'
                )
    return found


def _excesses(key: str, spec: ExecutableSpec, program: ProgramSettings) -> list[str]:
    found = []
    if parse_size(program.ram, key, spec.needs.ram_bytes) > spec.needs.ram_bytes:
        found.append(f"'{key}' will use more RAM than it declares: a run kills it")
    if parse_duration(program.duration, key)[1] > spec.needs.walltime_s:
        found.append(f"'{key}' may run longer than the walltime it declares: a run kills it")
    return found
