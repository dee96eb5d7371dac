from pathlib import Path

import msgspec

from euclid_dask.core.flow import Flow
from euclid_dask.core.ports import ExecutableSpec
from euclid_dask.core.values import replace
from euclid_dask.dsl import load
from euclid_dask.mock.script import render_script

SCRIPT = """
from euclid_dask import ComputingResources, Executable, Input, Output, nested, parallel, pipeline

one = Executable("/opt/one",
                 [Input("a", "DpdA", optional=True), Input("b", content_type="listfile")],
                 [Output("x", "DpdX"), Output("y", mime_type="json", content_type="listfile")],
                 resources=ComputingResources(cores=3, ram=0.7, walltime=0.05, disk=1.1))
last = Executable("/opt/last 'two words'", ["x"])


@nested(outputs=("x", "y"))
def block(a, b):
    x, y = one(a=a, b=b, name="inside")
    return x, y


@parallel(iterable="item", outputs=("found",), on_error="skip", max_failed_fraction=0.25)
def each(item, b):
    x, y = block(a=item, b=b)
    one(a=x, b=y)
    return x, one(a="text", b=y)[0]


@pipeline(outputs=("found", "same"))
def whole(items, unused, b=None):
    found = each(item=items, b=b)
    last(x=found)
    last(x=items)
    return found, items
"""


def without_places(flow: Flow) -> object:
    """Return a flow as plain values, without the lines of the script and the commands."""

    def clean(value: object) -> object:
        if isinstance(value, dict):
            return {k: clean(v) for k, v in value.items() if k not in {"where", "script"}}
        return [clean(entry) for entry in value] if isinstance(value, list | tuple) else value

    specs: dict[str, ExecutableSpec] = {
        key: replace(spec, command=("x",)) for key, spec in flow.executables.items()
    }
    return clean(msgspec.to_builtins(replace(flow, executables=specs)))


def test_the_written_script_is_the_same_pipeline_with_other_commands(tmp_path: Path) -> None:
    script = tmp_path / "pipe.py"
    script.write_text(SCRIPT)
    flow = load(script).flow
    again = tmp_path / "again.py"
    again.write_text(
        render_script(flow, {"one": ("/m/one", "--mock-executable=one"), "last": ("/a b/last",)})
    )
    reloaded = load(again).flow
    assert without_places(reloaded) == without_places(flow)
    assert reloaded.executables["last"].command == ("/a b/last",)
