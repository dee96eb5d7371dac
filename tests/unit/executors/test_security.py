"""The files of those who may join: made once, and refused when they are of no use."""

import os
from pathlib import Path

import pytest

from euclid_dask.core.errors import WorkdirError
from euclid_dask.executors.dask.security import FOLDER, make_membership, membership


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_membership(tmp_path)
    return tmp_path / FOLDER


def test_members_read_what_was_made_once(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    make_membership(folder.parent)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["authority.pem", "member.pem", "member.key"])
def test_what_a_crash_has_left_empty_is_refused_with_a_way_out(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    with pytest.raises(WorkdirError, match="is empty") as refused:
        make_membership(folder.parent)
    assert str(folder) in refused.value.hint


def test_what_others_could_have_written_is_refused(folder: Path) -> None:
    folder.chmod(0o770)
    with pytest.raises(WorkdirError, match="may be used by others"):
        membership(folder.parent)


def test_what_belongs_to_somebody_else_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(WorkdirError, match="belongs to somebody else"):
        membership(folder.parent)
