"""Errors that say what to do."""

import sys

import pytest

from euclid_dask.core.errors import unwritable


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("utf-8", "this name is not UTF-8"), ("ascii", "file names are ascii in this environment")],
)
def test_a_name_that_no_file_can_have_is_told(
    monkeypatch: pytest.MonkeyPatch, encoding: str, text: str
) -> None:
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: encoding)
    error = UnicodeEncodeError("utf-8", "odd\udcff", 3, 4, "surrogates not allowed")
    assert text in str(unwritable(error))
