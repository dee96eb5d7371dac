"""What a file is known by."""

import os
from pathlib import Path

import pytest

from euclid_dask.worker.fingerprints import (
    closure,
    file_identity,
    list_identity,
    named_identity,
    same_text,
)

PRODUCT = "<P><F><FileName>{}</FileName></F></P>"


def write(path: Path, text: str, mtime: int = 1_000) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)
    os.utime(path, (mtime, mtime))
    return path


def test_a_file_is_known_by_size_and_mtime(tmp_path: Path) -> None:
    write(tmp_path / "a", "abc", 5)
    assert file_identity(tmp_path, "a") == "3:5000000000"


def test_content_is_known_whatever_its_mtime(tmp_path: Path) -> None:
    write(tmp_path / "a", "abc", 5)
    before = file_identity(tmp_path, "a", "content")
    write(tmp_path / "a", "abc", 6)
    assert file_identity(tmp_path, "a", "content") == before
    write(tmp_path / "a", "abd", 6)
    assert file_identity(tmp_path, "a", "content") != before


@pytest.mark.parametrize("path", [".", "none", "nul\0l"])
def test_what_is_no_file_is_known_as_such(tmp_path: Path, path: str) -> None:
    assert file_identity(tmp_path, path) == "no file"


def test_a_product_stands_for_the_files_it_names(tmp_path: Path) -> None:
    write(tmp_path / "p.xml", PRODUCT.format("d.fits"))
    write(tmp_path / "data/d.fits", "one")
    before = file_identity(tmp_path, "p.xml")
    assert before.startswith("tree ")
    write(tmp_path / "data/d.fits", "two!")
    assert file_identity(tmp_path, "p.xml") != before


@pytest.mark.parametrize("text", ['\n["d.txt"]', "(lp0\nS'd.txt'\np1\na."])
def test_a_list_of_any_name_stands_for_its_entries(tmp_path: Path, text: str) -> None:
    write(tmp_path / "frames.lst", text)
    write(tmp_path / "d.txt", "one")
    before = file_identity(tmp_path, "frames.lst")
    write(tmp_path / "d.txt", "two!")
    assert file_identity(tmp_path, "frames.lst") != before
    assert named_identity(tmp_path, "frames.lst") != ""


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert file_identity(tmp_path, "pipe") == "no file"


def test_a_list_stands_for_all_below_it(tmp_path: Path) -> None:
    write(tmp_path / "l.json", '[["m.json"], "p.xml", "a word", 5]')
    write(tmp_path / "m.json", '["l.json", "d.fits"]')
    write(tmp_path / "d.fits", "x")
    write(tmp_path / "p.xml", PRODUCT.format("d.fits"))
    assert sorted(closure(tmp_path, "l.json")) == [
        "d.fits", "data/d.fits", "l.json", "m.json", "p.xml",
    ]  # fmt: skip


def test_a_list_of_ours_is_known_by_its_entries_and_not_by_its_time(tmp_path: Path) -> None:
    write(tmp_path / "l.json", '["d.fits"]', 5)
    write(tmp_path / "d.fits", "x")
    before = list_identity(tmp_path, "l.json")
    write(tmp_path / "l.json", '["d.fits"]', 6)
    assert list_identity(tmp_path, "l.json") == before
    write(tmp_path / "d.fits", "xy")
    assert list_identity(tmp_path, "l.json") != before


@pytest.mark.parametrize("name", ["d.fits", "data/d.fits", " d.fits\n"])
def test_data_before_a_name_and_blanks_around_it_do_not_matter(tmp_path: Path, name: str) -> None:
    write(tmp_path / "p.xml", PRODUCT.format(name))
    assert closure(tmp_path, "p.xml") == ["p.xml", "data/d.fits"]


@pytest.mark.parametrize("name", ["", "None", "data/None", "data/"])
def test_these_names_mean_no_file(tmp_path: Path, name: str) -> None:
    write(tmp_path / "p.xml", PRODUCT.format(name))
    assert closure(tmp_path, "p.xml") == ["p.xml"]


def test_xml_that_cannot_be_read_names_no_files(tmp_path: Path) -> None:
    write(tmp_path / "p.xml", "<!DOCTYPE x><P/>")
    assert closure(tmp_path, "p.xml") == ["p.xml"]


def test_what_names_no_file_has_no_identity_of_named_files(tmp_path: Path) -> None:
    write(tmp_path / "d.fits", "x")
    write(tmp_path / "p.xml", "<P/>")
    write(tmp_path / "l.json", '["a word", 5]')
    assert [named_identity(tmp_path, name) for name in ("d.fits", "p.xml", "l.json")] == [""] * 3


def test_a_named_file_that_is_absent_is_known_as_such(tmp_path: Path) -> None:
    write(tmp_path / "p.xml", PRODUCT.format("d.fits"))
    absent = named_identity(tmp_path, "p.xml")
    assert absent == named_identity(tmp_path, "p.xml") != ""
    write(tmp_path / "data/d.fits", "one")
    assert named_identity(tmp_path, "p.xml") != absent


def test_equal_values_have_equal_texts() -> None:
    assert same_text({"b": 1, "a": 2}) == same_text({"a": 2, "b": 1})
