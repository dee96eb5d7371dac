"""Input data: a file for each port of a pipeline, of the kind that its readers declare."""

import filecmp
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from euclid_dask.core.errors import InputError
from euclid_dask.core.flow import Flow
from euclid_dask.mock.amounts import parse_size
from euclid_dask.mock.plan import InputSettings, MockPlan
from euclid_dask.mock.standin.files import write_file
from euclid_dask.mock.standin.plans import OutputPlan
from euclid_dask.mock.wiring import Wiring

ISF: Final = "mock.isf"

_KINDS: Final = (("fits", "fits"), ("image", "fits"), ("simple", "txt"), ("json", "json"))


def write_inputs(flow: Flow, wiring: Wiring, plan: MockPlan, workdir: Path) -> dict[str, str]:
    """Write the inputs and the data file; return the path of each, "" for an unused one.

    A file that is as it should be already is not touched.

    Raises:
        InputError: A file is in the way that a mock has not written.
    """
    plans = {
        name: _input_plan(name, wiring, plan.inputs[name])
        for name in flow.body.inputs
        if wiring.is_used(name)
    }
    paths = {name: _path(name, plans.get(name)) for name in flow.body.inputs}
    with tempfile.TemporaryDirectory(dir=workdir, prefix=".mock-") as scratch:
        for name, planned in plans.items():
            lineage = [("pipeline", flow.name), ("seed", str(plan.seed)), ("input", name)]
            write_file(scratch, paths[name], planned, lineage, "INPUT")
        made = [file for file in Path(scratch).rglob("*") if file.is_file()]
        files = {file: workdir / file.relative_to(scratch) for file in made}
        if not (workdir / ISF).exists():
            _refuse_foreign(files)
        for file, target in files.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            if not (target.is_file() and filecmp.cmp(file, target, shallow=False)):
                file.replace(target)
    return paths


def render_isf(flow: Flow, paths: Mapping[str, str]) -> str:
    """Return the text of the data file."""
    lines = [f"# mocked inputs of the pipeline '{flow.name}'"]
    lines += [f"{name}={path or None}" for name, path in paths.items()]
    return "\n".join(lines) + "\n"


def _input_plan(name: str, wiring: Wiring, settings: InputSettings) -> OutputPlan:
    depth = wiring.input_depth(name)
    return OutputPlan(
        kind=_kind(wiring.contents(name)),
        depth=depth,
        dm_type=wiring.dm_type(("", name), depth),
        items=settings.items,
        size=parse_size(settings.size, name),
    )


def _kind(contents: set[str]) -> str:
    """Return what a file is for what its readers call it; a product if they say no more."""
    for word, kind in _KINDS:
        if any(word in content for content in contents):
            return kind
    return "xml"


def _path(name: str, plan: OutputPlan | None) -> str:
    if plan is None:
        return ""
    return f"{name}.json" if plan.depth else f"{name}.{plan.kind}"


def _refuse_foreign(files: Mapping[Path, Path]) -> None:
    for file, target in files.items():
        if target.exists() and not filecmp.cmp(file, target, shallow=False):
            raise InputError(
                f"{target}: exists, and was not written by a mock",
                hint="give a fresh folder: --workdir DIR",
            )
