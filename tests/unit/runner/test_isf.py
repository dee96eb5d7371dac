"""The data file: what is a line, what is a value, what is wrong and where."""

import os
from pathlib import Path

import pytest

from euclid_dask.core.errors import InputError
from euclid_dask.runner.isf import is_absent, parse_isf


def parsed(tmp_path: Path, text: str, **environment: str) -> dict[str, str | None]:
    path = tmp_path / "data.isf"
    path.write_text(text)
    return parse_isf(path, environment).ports


def wrong(tmp_path: Path, text: str, **environment: str) -> str:
    with pytest.raises(InputError) as caught:
        parsed(tmp_path, text, **environment)
    return caught.value.message.replace(f"{tmp_path}/", "")


def test_ports_are_named_by_key_equals_value(tmp_path: Path) -> None:
    assert parsed(tmp_path, "a=x.fits\n\n  b = dir/y.xml  \n") == {"a": "x.fits", "b": "dir/y.xml"}


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert parsed(tmp_path, "\ufeffa=x.fits\n") == {"a": "x.fits"}


def test_comments_begin_with_a_hash_at_the_start_or_after_a_space(tmp_path: Path) -> None:
    assert parsed(tmp_path, "# a=1\n  # b=2\nc=x # why\nd=x#y\n") == {"c": "x", "d": "x#y"}


@pytest.mark.parametrize("value", ["", "None", "data/None", "data/", "  "])
def test_some_values_mean_no_file(tmp_path: Path, value: str) -> None:
    assert parsed(tmp_path, f"a={value}\n") == {"a": None}
    assert is_absent(value.strip())


def test_variables_are_taken_from_the_environment(tmp_path: Path) -> None:
    found = parsed(tmp_path, "a=$D/x\nb=${D}y\n", D="/d")
    assert found == {"a": "/d/x", "b": "/dy"}


def test_a_value_is_not_expanded_twice(tmp_path: Path) -> None:
    assert parsed(tmp_path, "a=$D\n", D="$E") == {"a": "$E"}


def test_reserved_keys_are_settings_and_no_ports(tmp_path: Path) -> None:
    path = tmp_path / "data.isf"
    path.write_text(
        "workdir=w\nlogdir=l\npkgRepository=p\npipelineDir=q\nedenVersion=Eden-2.1\na=x\n"
    )
    isf = parse_isf(path, {})
    assert isf.ports == {"a": "x"}
    assert isf.settings["edenVersion"] == "Eden-2.1"
    assert isf.where("a") == f"{path}:6"


def test_all_wrong_lines_are_named_at_once(tmp_path: Path) -> None:
    assert wrong(tmp_path, "a\nb=1\n=x\nc=d=e\nb=2\nf=$NO\n").splitlines() == [
        "data.isf:1: not a line of the form key=value: a",
        "data.isf:3: not a line of the form key=value: =x",
        "data.isf:4: not a line of the form key=value: c=d=e",
        "data.isf:5: 'b' was given before, in line 2",
        "data.isf:6: the environment variable NO is not set",
    ]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        parse_isf(tmp_path / "none.isf", {})


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.isf"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="it is not text"):
        parse_isf(path, {})


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_may_never_end_is_not_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "data.isf"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(InputError, match="it is a pipe or a device, not a file"):
        parse_isf(path, {})
