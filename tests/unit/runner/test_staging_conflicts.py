import os
from pathlib import Path

import pytest

from euclid_dask.core.errors import InputError
from euclid_dask.runner.staging import stage_inputs


def test_two_inputs_of_one_name_from_different_folders_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "n.txt").write_text(folder)
    workdir = tmp_path / "w"
    workdir.mkdir()
    inputs = {"x": str(tmp_path / "a/n.txt"), "y": str(tmp_path / "b/n.txt")}
    with pytest.raises(InputError, match=r"y: .*b/n.txt and .*a/n.txt would both be n.txt"):
        stage_inputs(workdir, inputs, [])
    assert not list(workdir.iterdir())


def test_two_products_with_different_data_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder / "data").mkdir(parents=True)
        (tmp_path / folder / "data" / "image.fits").write_text(folder)
        product = f"<p><Data><FileName>image.fits</FileName></Data><!--{folder}--></p>"
        (tmp_path / folder / f"{folder}.xml").write_text(product)
    workdir = tmp_path / "w"
    workdir.mkdir()
    inputs = {"x": str(tmp_path / "a/a.xml"), "y": str(tmp_path / "b/b.xml")}
    with pytest.raises(InputError, match=r"would both be data/image.fits"):
        stage_inputs(workdir, inputs, [])


def test_a_data_file_that_another_run_staged_under_the_same_name_is_refused(
    tmp_path: Path,
) -> None:
    workdir = tmp_path / "w"
    (workdir / "data").mkdir(parents=True)
    (workdir / "data" / "image.fits").write_text("of another product")
    (tmp_path / "image.fits").write_text("of this product")
    (tmp_path / "a.xml").write_text("<p><FileName>image.fits</FileName></p>")
    with pytest.raises(InputError, match="exists and is not"):
        stage_inputs(workdir, {"x": str(tmp_path / "a.xml")}, [])


def test_a_port_with_a_folder_of_its_own_is_looked_for_there_first(tmp_path: Path) -> None:
    for folder in ("here", "w"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "n.txt").write_text(folder)
    (tmp_path / "here" / "m.txt").write_text("here")
    workdir, here = tmp_path / "w", tmp_path / "here"
    staged = stage_inputs(workdir, {"x": "m.txt", "y": "n.txt"}, [workdir], {"x": here})
    assert staged == {"x": "m.txt", "y": "n.txt"}
    assert (workdir / "m.txt").resolve() == here / "m.txt"


def test_a_link_outside_of_the_workdir_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "e.txt").write_text("outside")
    (tmp_path / "in" / "deep" / "list.json").write_text('["../e.txt"]')
    workdir = tmp_path / "run" / "w"
    workdir.mkdir(parents=True)
    with pytest.raises(InputError, match="outside of the workdir"):
        stage_inputs(workdir, {"x": str(tmp_path / "in/deep/list.json")}, [])
    assert [path.name for path in workdir.parent.iterdir()] == ["w"]


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("stack", "the folder of task 'stack'"),
        ("s.iterations.7.remap", "the folder of task 's.iterations.*.remap'"),
    ],
)
@pytest.mark.parametrize("folder", ["in", "w"])
def test_an_input_with_the_name_of_a_folder_of_the_run_is_refused(
    tmp_path: Path, name: str, owner: str, folder: str
) -> None:
    for each in ("in", "w"):
        (tmp_path / each).mkdir()
    (tmp_path / folder / name).write_text("x")
    tasks = ("stack", "s.iterations.*.remap")
    taken = {path: f"the folder of task '{path}'" for path in tasks}
    inputs = {"x": str(tmp_path / folder / name)}
    with pytest.raises(InputError) as caught:
        stage_inputs(tmp_path / "w", inputs, [], taken=taken)
    assert f"would be {name}, which is {owner}" in caught.value.message


@pytest.mark.parametrize("name", ["direct", "link", "folder", "list", "product"])
def test_a_file_that_would_be_written_over_is_refused(tmp_path: Path, name: str) -> None:
    """An input, or what it names, leads into the folder of a task that runs."""
    w = tmp_path / "w"
    (w / "s.iterations.2.a").mkdir(parents=True)
    (w / "s.iterations.2.a" / "out.txt").write_text("precious")
    (w / "data").mkdir()
    (w / "first.txt").symlink_to(w / "s.iterations.2.a" / "out.txt")
    (w / "data" / "first.txt").symlink_to(w / "s.iterations.2.a" / "out.txt")
    (w / "sub").symlink_to(w / "s.iterations.2.a")
    (w / "l.json").write_text('["first.txt"]')
    (w / "p.xml").write_text("<p><FileName>first.txt</FileName></p>")
    value = {
        "direct": "s.iterations.2.a/out.txt",
        "link": "first.txt",
        "folder": "sub/out.txt",
        "list": "l.json",
        "product": "p.xml",
    }[name]
    taken = {"s.iterations.*.a/": "the folder of task 's.iterations.*.a'"}
    with pytest.raises(InputError, match=r"is in the folder of task .*would be written over"):
        stage_inputs(w, {"x": value}, [w], taken=taken)
    taken = {"s.iterations.*.b/": "the folder of task 's.iterations.*.b'"}
    assert stage_inputs(w, {"x": value}, [w], taken=taken) == {"x": value}


def test_a_directory_given_as_an_input_is_told_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"x: {tmp_path} is a directory, not a file"):
        stage_inputs(tmp_path / "w", {"x": str(tmp_path)}, [])


def test_a_pipe_given_as_an_input_is_told_to_be_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.fits")
    with pytest.raises(InputError, match=r"x\.fits is a pipe or a device, not a file"):
        stage_inputs(tmp_path / "w", {"x": str(tmp_path / "x.fits")}, [])


def test_an_input_with_a_name_that_no_file_has_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"x: {300 * 'a'}"):
        stage_inputs(tmp_path / "w", {"x": 300 * "a"}, [tmp_path])
