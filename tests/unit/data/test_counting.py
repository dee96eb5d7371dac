"""Copies are counted by content and by what the kernel saw; links are none."""

import os
from pathlib import Path

import pytest

from euclid_dask.data.counting import files_with_content, staged_bytes, written_bytes
from euclid_dask.data.hashing import hash_chunks
from euclid_dask.data.local import filesystem_type
from euclid_dask.data.model import File
from euclid_dask.data.stage import Entry, Manifest, Method

CONTENT = bytes(range(256)) * 64
FILE = File(name="a", size=len(CONTENT), checksums=hash_chunks([CONTENT]).checksums())


def test_names_and_links_of_one_file_are_one_copy(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for directory in (one, two):
        directory.mkdir()
    (one / "a").write_bytes(CONTENT)
    (one / "hard").hardlink_to(one / "a")
    (two / "soft").symlink_to(one / "a")
    (two / "other").write_bytes(CONTENT[:-1] + b"x")
    os.mkfifo(two / "pipe")
    assert files_with_content(FILE, [one, two]) == 1
    (two / "copy").write_bytes(CONTENT)
    assert files_with_content(FILE, [one, two, two]) == 2


def test_the_kernel_saw_what_a_process_wrote(tmp_path: Path) -> None:
    if filesystem_type(tmp_path) == "tmpfs":
        pytest.skip("what is written to memory is not counted")
    before = written_bytes([os.getpid()])
    (tmp_path / "a").write_bytes(CONTENT)
    assert written_bytes([os.getpid()]) - before >= len(CONTENT)


def test_bytes_are_counted_by_how_they_were_staged() -> None:
    entries = tuple(
        Entry(place=f"data/{n}", method=method, path="/a", file=FILE, inode=n, mtime_ns=0)
        for n, method in enumerate([Method.SYMLINK, Method.SYMLINK, Method.COPY])
    )
    counts = staged_bytes([Manifest(zone="z", entries=entries), Manifest(zone="z", entries=())])
    assert counts == {Method.SYMLINK: 2 * len(CONTENT), Method.COPY: len(CONTENT)}
