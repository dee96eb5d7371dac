"""Programs that the benchmarks compile."""

import os
import shutil

import pytest

from benchmarks.envs import compile_tools


@pytest.fixture(scope="session")
def tools(tmp_path_factory):
    if shutil.which("gcc") is None and os.environ.get("CI") != "true":
        pytest.skip("no gcc to compile the task program with")
    return compile_tools(tmp_path_factory.mktemp("tools"))
