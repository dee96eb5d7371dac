"""Inputs are found, linked, and missing ones named all at once."""

from pathlib import Path

import pytest

from euclid_dask.core.errors import InputError, WorkdirError
from euclid_dask.runner.staging import stage_inputs

PRODUCT = '<p:P xmlns:p="x"><F><FileName>{}</FileName></F></p:P>'


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    (tmp_path / "w").mkdir()
    (tmp_path / "store").mkdir()
    return tmp_path / "w"


def stage(workdir: Path, **inputs: str | None) -> dict[str, str]:
    return stage_inputs(workdir, inputs, [workdir, workdir.parent / "store"])


def put(workdir: Path, name: str, text: str = "x") -> Path:
    path = workdir.parent / "store" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_file_in_the_workdir_stays_where_it_is(workdir: Path) -> None:
    (workdir / "x").mkdir()
    (workdir / "a.fits").write_text("x")
    staged = stage(workdir, a="a.fits", b=str(workdir / "x/../a.fits"))
    assert staged == {"a": "a.fits", "b": "a.fits"}


def test_an_absent_input_has_no_path(workdir: Path) -> None:
    assert stage(workdir, a=None) == {"a": ""}


def test_a_file_from_outside_is_linked(workdir: Path) -> None:
    source = put(workdir, "in/a.fits")
    assert stage(workdir, a="in/a.fits") == {"a": "in/a.fits"}
    assert (workdir / "in/a.fits").resolve() == source.resolve()


def test_a_file_given_by_its_absolute_path_is_linked_by_its_name(workdir: Path) -> None:
    source = put(workdir, "deep/a.fits")
    assert stage(workdir, a=str(source)) == {"a": "a.fits"}


def test_staging_twice_changes_nothing(workdir: Path) -> None:
    put(workdir, "a.fits")
    assert stage(workdir, a="a.fits") == stage(workdir, a="a.fits")


def test_all_missing_files_are_named_and_nothing_is_linked(workdir: Path) -> None:
    put(workdir, "p.xml", PRODUCT.format("gone.fits"))
    put(workdir, "l.json", '["q.xml", ["r.json"], "a word", 3]')
    with pytest.raises(InputError) as caught:
        stage(workdir, a="none.fits", p="p.xml", l="l.json")
    message = caught.value.message
    assert message.startswith("4 input files are missing:")
    for name in ("none.fits", "gone.fits", "q.xml", "r.json"):
        assert name in message
    assert list(workdir.iterdir()) == []


def test_one_missing_file_is_named(workdir: Path) -> None:
    with pytest.raises(InputError, match="1 input file is missing:\n  a: none"):
        stage(workdir, a="none")


@pytest.mark.parametrize("folder", ["data/", "", "sub/../"])
def test_data_files_that_a_product_names_are_linked(workdir: Path, folder: str) -> None:
    put(workdir, "sub/.keep")
    put(workdir, "p.xml", PRODUCT.format("d.fits"))
    source = put(workdir, f"{folder}d.fits")
    stage(workdir, p="p.xml")
    assert (workdir / "data/d.fits").resolve() == source.resolve()


def test_data_files_that_are_in_the_workdir_are_taken(workdir: Path) -> None:
    put(workdir, "p.xml", PRODUCT.format("d.fits"))
    (workdir / "data").mkdir()
    (workdir / "data/d.fits").write_text("mine")
    stage(workdir, p="p.xml")
    assert not (workdir / "data/d.fits").is_symlink()


def test_entries_of_a_list_and_what_they_name_are_linked(workdir: Path) -> None:
    put(workdir, "l.json", '["p.xml", "p.xml"]')
    put(workdir, "p.xml", PRODUCT.format("d.fits"))
    put(workdir, "data/d.fits")
    stage(workdir, l="l.json")
    assert (workdir / "p.xml").is_symlink()
    assert (workdir / "data/d.fits").is_symlink()


def test_entries_that_are_in_the_workdir_are_followed(workdir: Path) -> None:
    (workdir / "l.json").write_text('["p.xml"]')
    (workdir / "p.xml").write_text(PRODUCT.format("none.fits"))
    with pytest.raises(InputError, match=r"none\.fits"):
        stage(workdir, l="l.json")


def test_xml_that_is_no_product_is_left_to_the_executable(workdir: Path) -> None:
    put(workdir, "p.xml", "not xml")
    put(workdir, "l.json", "{}")
    assert stage(workdir, p="p.xml", l="l.json") == {"p": "p.xml", "l": "l.json"}


def test_a_stale_link_is_replaced(workdir: Path) -> None:
    (workdir / "a.fits").symlink_to(workdir / "nowhere")
    put(workdir, "a.fits")
    stage(workdir, a="a.fits")
    assert (workdir / "a.fits").read_text() == "x"


def test_a_different_file_of_that_name_is_a_conflict(workdir: Path) -> None:
    source = put(workdir, "other/a.fits")
    (workdir / "a.fits").write_text("mine")
    with pytest.raises(InputError, match="exists and is not"):
        stage(workdir, a=str(source))


def test_a_workdir_that_cannot_be_written_is_named(workdir: Path) -> None:
    source = put(workdir, "a.fits")
    unwritable = Path("/sys/kernel")  # by root neither
    with pytest.raises(WorkdirError, match="cannot use the workdir /sys/kernel: "):
        stage_inputs(unwritable, {"a": str(source)}, [])


def test_a_file_where_a_folder_is_needed_is_named(workdir: Path) -> None:
    put(workdir, "in/a.fits")
    (workdir / "in").write_text("a file")
    with pytest.raises(WorkdirError, match="cannot use the workdir"):
        stage(workdir, a="in/a.fits")


def test_a_path_may_climb_past_the_root(workdir: Path) -> None:
    file = put(workdir, "far/x.fits")
    climb = "../" * (len(workdir.parts) + 2) + str(file).lstrip("/")
    assert stage(workdir, x=climb) == {"x": "x.fits"}
