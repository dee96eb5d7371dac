"""List files."""

import contextlib
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euclid_dask.core.errors import InputError
from euclid_dask.worker.lists import parse_list, read_list, write_list


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'["a.xml", "b.xml"]', ["a.xml", "b.xml"]),
        (b'[["a.xml"], ["b.xml"]]', ["a.xml", "b.xml"]),
        (b'[["a", "b"], ["c", "d"]]', [["a", "b"], ["c", "d"]]),
        (b'[["a"], ["c", "d"]]', [["a"], ["c", "d"]]),
        (b"[true, null, 3, {}]", [True, None, 3, {}]),
        (b"\xef\xbb\xbf []\n", []),
        (pickle.dumps(["a", "b"], 0), ["a", "b"]),
        (pickle.dumps([("a",), ("b",)], 0), ["a", "b"]),
        (pickle.dumps([("a", "b"), ("c", "d")], 4), [["a", "b"], ["c", "d"]]),
    ],
)
def test_a_list_is_read_from_json_and_from_old_pickles(content: bytes, expected: list[Any]) -> None:
    assert parse_list(content, "x") == expected


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("/tmp/never",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b'{"a": 1}', "holds an object, not a list"),
        (b'"a"', "holds a text, not a list"),
        (b"<xml/>", "it is XML"),
        (b'["a",]', "is not JSON: .* line 1"),
        (b"\x93NUMPY", "is not JSON"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"a,b\nc,d\n", "is not JSON"),
        (rb'["a", ["b", "\u0000"]]', r"has an element that holds a NUL character: '\\x00'"),
        (rb'["\ud800"]', r"has an element that holds half of a character .*: '\\ud800'"),
        (b'["\xed\xa0\x80"]', "half of a character"),
        (pickle.dumps(["a\0"], 0), "a NUL character"),
        (pickle.dumps({"a": 1}), "holds an object"),
        (pickle.dumps([_Trap()]), "pickle that is refused: it asks for posix.mkdir"),
    ],
)
def test_what_is_not_a_list_is_refused_by_name(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=rf"list\.json.*{message}"):
        parse_list(content, "list.json")


def test_a_list_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.json cannot be read: No such file"):
        read_list(tmp_path / "gone.json")


@given(st.binary(max_size=60))
def test_no_content_makes_anything_but_a_list_or_an_input_error(content: bytes) -> None:
    with contextlib.suppress(InputError):
        assert isinstance(parse_list(content, "x"), list)


def test_a_written_list_is_read_back_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "split.reduce" / "out.json"
    write_list(path, ["a", None, ("b", "c")])
    assert read_list(path) == ["a", None, ["b", "c"]]
    assert [one.name for one in path.parent.iterdir()] == ["out.json"]
