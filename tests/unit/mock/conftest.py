from collections.abc import Callable
from pathlib import Path

import pytest

from euclid_dask.core.flow import Flow
from euclid_dask.dsl import load

Load = Callable[[str], Flow]

PIPELINE = """
from euclid_dask import Executable, Input, Output, nested, parallel, pipeline

split = Executable("split --fast", [Input("image", "DpdVisRawFrame")],
                   [Output("quadrants", mime_type="json")])
correct = Executable("E-Run VIS 1.0 correct", ["quadrant", "mode"],
                     [Output("frame", "DpdVisFrame")])
merge = Executable("E-Run VIS 1.0 merge", [Input("frames", content_type="listfile")],
                   [Output("image", mime_type="fits"), Output("parts", content_type="listfile")])


@parallel(iterable="quadrant")
def correct_all(quadrant):
    return correct(quadrant=quadrant, mode="fast.1")


@pipeline(outputs=("image",))
def vis(image, extra):
    quadrants = split(image=image)
    image, parts = merge(frames=correct_all(quadrant=quadrants))
    return image
"""


@pytest.fixture
def flow_of(tmp_path: Path) -> Load:
    """Return a function that loads a script of this text."""

    def of(text: str) -> Flow:
        script = tmp_path / "script.py"
        script.write_text(text)
        return load(script).flow

    return of


@pytest.fixture
def flow(flow_of: Load) -> Flow:
    """A pipeline with a split."""
    return flow_of(PIPELINE)
