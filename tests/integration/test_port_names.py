"""Ports of a pipeline that are named like arguments of ours."""

from pathlib import Path
from typing import Any

import pytest

from euclid_dask import Executable, Input, Output, api, pipeline
from euclid_dask.core.errors import InputError

PROGRAM = """python3 -c '
import sys
given = dict(word[2:].split("=", 1) for word in sys.argv[1:])
names = ("one", "two", "three", "four")
open(given["made"], "w").write(" ".join(open(given[name]).read() for name in names))
'"""
join = Executable(
    PROGRAM,
    inputs=[Input("one"), Input("two"), Input("three"), Input("four")],
    outputs=[Output("made", mime_type="txt")],
)


@pipeline(outputs=("made",))
def awkward(settings, script, isf, from_):
    return join(one=settings, two=script, three=isf, four=from_)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    names = ("settings", "script", "isf", "from")
    for name in names:
        (tmp_path / name).write_text(name)
    return {f"{name}_": tmp_path / name for name in names}


def test_an_underscore_behind_the_name_gives_the_port(
    tmp_path: Path, files: dict[str, Any]
) -> None:
    settings = api.Settings(executor="inline")
    result = awkward.run(workdir=tmp_path / "w", settings=settings, **files)
    assert result.outputs["made"].read_text() == "settings script isf from"
    assert awkward.check(**files).errors == ()


def test_a_file_is_no_settings(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"settings are to be api\.Settings, not 'in\.xml'"
    ) as told:
        awkward.run(workdir=tmp_path / "w", settings="in.xml")
    assert "settings_=FILE" in told.value.hint
