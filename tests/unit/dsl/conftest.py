"""Write a script as an author would, and load it."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from euclid_dask.core.errors import PipelineError
from euclid_dask.dsl import LoadedPipeline, load

HEAD = """\
from euclid_dask import Executable, Input, Output, ComputingResources
from euclid_dask import pipeline, parallel, nested
one = Executable("one", inputs=["a", "b"], outputs=["x"])
two = Executable("two", inputs=["a", "b"], outputs=["x", "y"])
sink = Executable("sink", inputs=["a"])
splitter = Executable("splitter", ["a"], [Output("items", mime_type="json")])
"""
HEAD_LINES = HEAD.count("\n")

Load = Callable[[str], LoadedPipeline]
Refuse = Callable[[str], tuple[int, PipelineError]]


def written(folder: Path, text: str) -> Path:
    script = folder / "script.py"
    script.write_text(HEAD + dedent(text).lstrip("\n"), encoding="utf-8")
    return script


@pytest.fixture
def loaded(tmp_path: Path) -> Load:
    """Load a text behind the usual imports and executables."""
    return lambda text: load(written(tmp_path, text))


@pytest.fixture
def refused(tmp_path: Path) -> Refuse:
    """Load a text that is wrong; return the line it names, counted in the text, and the error."""

    def refuse(text: str) -> tuple[int, PipelineError]:
        script = written(tmp_path, text)
        with pytest.raises(PipelineError) as caught:
            load(script)
        place, _, rest = caught.value.message.partition(": ")
        name, _, line = place.rpartition(":")
        assert name == str(script), caught.value.message
        return int(line) - HEAD_LINES, PipelineError(rest, hint=caught.value.hint)

    return refuse
