"""The messages that the page for users of the IAL shows are those that are told."""

from pathlib import Path

import pytest

from euclid_dask import api
from euclid_dask.core.errors import PipelineError
from euclid_dask.core.resources import Resources

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "from-the-ial.md").read_text()
HEAD = """\
from euclidwf.framework.taskdefs import ComputingResources, Executable, Input, Output
from euclidwf.framework.workflow_dsl import nested, parallel, pipeline

make = Executable("make", inputs=["a"], outputs=["x"])
"""
PIPELINE = HEAD + "\n@pipeline(outputs=('x'))\ndef p(a):\n    "
REFUSED = {
    "this is Python 2, which is not run: ": "print 'hello'\n",
    "no function is marked as the pipeline": HEAD,
    "2 functions are marked as the pipeline: ": PIPELINE
    + "return make(a=a)\n@pipeline(outputs=('y'))\ndef q(a):\n    return make(a=a)\n",
    "is called with positional arguments": PIPELINE + "return make(a)\n",
    "2 names on the left, but the list of @parallel": HEAD
    + "@parallel(iterable='a')\ndef s(a):\n    return make(a=a)\n"
    + "@pipeline(outputs=('x'))\ndef p(a):\n    x, y = s(a=a)\n    return x\n",
    "names 2 outputs": HEAD + "@pipeline(outputs=('x', 'y'))\ndef p(a):\n    return make(a=a)\n",
    "which is a file that does not exist yet": PIPELINE + "return make(a=a) if a else a\n",
    "has two ports named": HEAD
    + "two = Executable('two', inputs=['a'], outputs=['a'])\n"
    + "@pipeline(outputs=('x'))\ndef p(a):\n    return two(a=a)\n",
    "Executable has no argument 'resource'": HEAD
    + "two = Executable('two', resource=ComputingResources())\n",
    "there is no module": "from stars_pkgdfe import make\n",
    "calls itself: ": HEAD
    + "@nested()\ndef s(a):\n    return s(a=a)\n"
    + "@pipeline(outputs=('x'))\ndef p(a):\n    return s(a=a)\n",
}
TOLERATED = {
    "has no input": PIPELINE + "return make(a=a, b=a)\n",
    "is not given its input": PIPELINE + "return make()\n",
    "has no meaning": HEAD
    + "two = Executable('two', inputs=[Input('a', mime_type='xml')], outputs=['x'])\n"
    + "@pipeline(outputs=('x'))\ndef p(a):\n    return two(a=a)\n",
    "which is not declared as a list": HEAD
    + "@parallel(iterable='a')\ndef s(a):\n    return make(a=a)\n"
    + "@pipeline(outputs=('x'))\ndef p(a):\n    return s(a=make(a=a))\n",
    "of the pipeline is used by no task": HEAD
    + "@pipeline(outputs=('x'))\ndef p(a, b):\n    return make(a=a)\n",
    "nothing uses the output": PIPELINE + "make(a=a)\n    return make(a=a)\n",
}


@pytest.mark.parametrize("phrase", REFUSED)
def test_a_refusal_is_worded_as_on_the_page(phrase: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(REFUSED[phrase])
    with pytest.raises(PipelineError) as refusal:
        api.load(script)
    assert phrase in str(refusal.value)
    assert phrase in PAGE


@pytest.mark.parametrize("phrase", TOLERATED)
def test_a_warning_is_worded_as_on_the_page(phrase: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(TOLERATED[phrase])
    found = api.check(script, offer=Resources(cores=2.0, ram_bytes=10**10))
    assert not found.errors
    assert any(phrase in str(problem) for problem in found.warnings)
    assert phrase in PAGE
