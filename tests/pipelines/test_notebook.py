"""A pipeline defined in a notebook, without a script."""

import sys
from types import ModuleType

import pytest

from euclid_dask.core.errors import PipelineError
from euclid_dask.dsl import Executable, pipeline

correct = Executable("correct", inputs=["image"], outputs=["corrected"])


@pipeline(outputs=("corrected",))
def correction(image):
    """Correct an image."""
    return correct(image=image)


def test_a_pipeline_function_gives_its_flow():
    flow = correction.flow()
    assert (flow.name, flow.script) == ("correction", "")
    assert correction.trace().docstring == "Correct an image."
    assert list(flow.executables) == ["correct"]


def test_a_pipeline_function_shows_itself_as_a_drawing():
    assert repr(correction) == "<pipeline correction>"
    assert correction.__name__ == "correction"
    assert "<svg" in correction._repr_html_()
    assert "corrected" in correction._repr_svg_()


def test_check_and_run_are_those_of_the_api(monkeypatch):
    api = ModuleType("euclid_dask.api")
    api.check = lambda *args, **kwargs: ("check", args, kwargs)
    api.run = lambda *args, **kwargs: ("run", args, kwargs)
    monkeypatch.setitem(sys.modules, "euclid_dask.api", api)
    assert correction.check(cores=2) == ("check", (correction,), {"cores": 2})
    assert correction.run(image="a.xml") == ("run", (correction,), {"image": "a.xml"})


def test_an_error_in_a_notebook_names_its_line():
    @pipeline("u")
    def wrong(image):
        return correct(image)

    with pytest.raises(PipelineError, match=r"test_notebook\.py:\d+: executable 'correct' is"):
        wrong.flow()


def test_remarks_about_a_pipeline_of_a_notebook_are_collected():
    @pipeline("u")
    def short(image):
        return correct(imag=image)

    traced = short.trace()
    assert "did you mean 'image'?" in traced.warnings[0]
    assert traced.notices[0].endswith("executable 'correct' is not given its input image")
