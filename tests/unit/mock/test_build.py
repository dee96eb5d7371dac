import os
from collections.abc import Callable
from pathlib import Path

import pytest

from euclid_dask.core.errors import InputError, PipelineError, SiteError
from euclid_dask.core.flow import Flow
from euclid_dask.core.resources import Resources
from euclid_dask.core.values import replace
from euclid_dask.mock import MockSettings, build_mock


def test_the_data_file_names_an_input_for_every_port(flow: Flow, tmp_path: Path) -> None:
    report = build_mock(flow, tmp_path / "w")
    assert report.inputs == {"image": "image.xml", "extra": ""}
    assert Path(report.isf).read_text() == (
        "# mocked inputs of the pipeline 'vis'\nimage=image.xml\nextra=None\n"
    )
    assert b"<dpd:DpdVisRawFrame " in (tmp_path / "w/image.xml").read_bytes()


def test_first_words_and_executables_have_a_stand_in_each(flow: Flow, tmp_path: Path) -> None:
    report = build_mock(flow, tmp_path / "w", MockSettings(bin=str(tmp_path / "b")))
    files = {file.name for file in (tmp_path / "b").iterdir() if file.is_file()}
    assert files == {"E-Run", "split", "correct", "merge"}
    assert report.stand_ins["merge"] == str(tmp_path / "b/merge")
    assert os.access(tmp_path / "b/E-Run", os.X_OK)


def test_the_command_has_the_stand_ins_on_the_path(flow: Flow, tmp_path: Path) -> None:
    report = build_mock(flow, tmp_path / "a b", MockSettings(pkgrepo="defs"))
    folder = tmp_path / "a b"
    assert report.command == (
        f"PATH='{folder}/mock-bin':$PATH euclid-dask run {flow.script} --pkgrepo defs "
        f"--workdir '{folder}' --isf '{folder}/mock.isf'"
    )


def test_a_machine_that_is_too_small_is_told_to_be_larger(flow: Flow, tmp_path: Path) -> None:
    offer = Resources(cores=0.5, ram_bytes=1000)
    report = build_mock(flow, tmp_path / "w", MockSettings(offer=offer))
    assert report.command.endswith("mock.isf --cores 1 --ram 1GB")


def test_content_types_decide_what_an_input_is(
    flow_of: Callable[[str], Flow], tmp_path: Path
) -> None:
    flow = flow_of("""
from euclid_dask import Executable, Input, pipeline
use = Executable("use", [Input("a", content_type="simplefile"), Input("b", content_type="fits"),
                         Input("c", content_type="listfile"), Input("d", content_type="json"),
                         "e"], ["y"])

@pipeline(outputs=("y",))
def p(a, b, c, d, e):
    return use(a=a, b=b, c=c, d=d, e=e)
""")
    report = build_mock(flow, tmp_path / "w", MockSettings(items=2))
    assert list(report.inputs.values()) == ["a.txt", "b.fits", "c.json", "d.json", "e.xml"]
    assert (tmp_path / "w/c.json").read_text() == '["c_1.xml", "c_2.xml"]\n'


def test_a_mock_that_changes_nothing_touches_nothing(flow: Flow, tmp_path: Path) -> None:
    def times() -> dict[str, int]:
        files = (file for file in (tmp_path / "w").rglob("*") if file.is_file())
        return {str(file): file.stat().st_mtime_ns for file in files}

    build_mock(flow, tmp_path / "w")
    before = times()
    build_mock(flow, tmp_path / "w")
    assert times() == before


def test_a_new_setting_changes_the_stand_ins(flow: Flow, tmp_path: Path) -> None:
    report = build_mock(flow, tmp_path / "w")
    before = Path(report.stand_ins["merge"]).read_text()
    again = build_mock(flow, tmp_path / "w", MockSettings(duration="1"))
    assert Path(report.stand_ins["merge"]).read_text() != before
    assert again.warnings == (
        f"the plan has changed; the one before is {tmp_path}/w/mock.toml.old",
    )


def test_an_edited_plan_is_left_as_it_was_edited(flow: Flow, tmp_path: Path) -> None:
    plan = Path(build_mock(flow, tmp_path / "w").plan)
    edited = plan.read_text().replace("items = 3", "items = 4  # more")
    plan.write_text(edited)
    report = build_mock(flow, tmp_path / "w", MockSettings(plan=str(plan)))
    assert report.warnings == ()
    assert plan.read_text() == edited
    assert "'items': 4" in (tmp_path / "w/mock-bin/.stand-in/mocked.py").read_text()


def test_a_plan_that_cannot_be_read_is_kept_beside_the_new_one(flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w/mock.toml").write_text("what")
    report = build_mock(flow, tmp_path / "w")
    assert "mock.toml.old" in report.warnings[0]
    assert (tmp_path / "w/mock.toml.old").read_text() == "what"


def test_a_product_that_is_split_over_is_doubted(
    flow_of: Callable[[str], Flow], tmp_path: Path
) -> None:
    flow = flow_of("""
from euclid_dask import Executable, parallel, pipeline
make = Executable("make", ["a"], ["out"])

@parallel(iterable="one")
def each(one):
    return make(a=one)

@pipeline(outputs=("y",))
def p(a):
    return each(one=make(a=a))
""")
    (warning,) = build_mock(flow, tmp_path / "w").warnings
    assert warning == (
        "output 'out' of 'make' is split over, so it is written as a list; a run refuses that "
        'for a file declared xml: declare it a listfile, or mime_type="json"'
    )


def test_more_than_is_declared_is_doubted(flow: Flow, tmp_path: Path) -> None:
    changes = ("split.ram=2GB", "merge.duration=1-5000")
    report = build_mock(flow, tmp_path / "w", MockSettings(changes=changes))
    assert report.warnings == (
        "'split' will use more RAM than it declares: a run kills it",
        "'merge' may run longer than the walltime it declares: a run kills it",
    )


def test_a_command_with_a_path_gets_a_script_of_its_own(
    flow_of: Callable[[str], Flow], tmp_path: Path
) -> None:
    flow = flow_of("""
from euclid_dask import Executable, pipeline
make = Executable("/opt/make --fast", ["a"], ["out"])

@pipeline(outputs=("y",))
def p(a):
    return make(a=a)
""")
    report = build_mock(flow, tmp_path / "w")
    script = tmp_path / "w/mock_pipeline.py"
    assert report.script == str(script)
    assert report.command.startswith(f"euclid-dask run {script} --workdir ")
    assert f"command='{tmp_path}/w/mock-bin/make --mock-executable=make'" in script.read_text()


def test_a_program_that_is_no_stand_in_is_not_replaced(flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b/E-Run").write_text("#!/bin/sh\n")
    with pytest.raises(InputError) as caught:
        build_mock(flow, tmp_path / "w", MockSettings(bin=str(tmp_path / "b")))
    assert str(caught.value) == (
        f"{tmp_path}/b/E-Run: exists, and is no stand-in\n"
        "  hint: give a folder of its own for the stand-ins: --bin DIR"
    )
    assert (tmp_path / "b/E-Run").read_text() == "#!/bin/sh\n"


def test_an_input_that_is_no_mock_is_not_replaced(flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "image.xml").write_text("<real/>")
    with pytest.raises(InputError) as caught:
        build_mock(flow, tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/image.xml: exists, and was not written by a mock\n"
        "  hint: give a fresh folder: --workdir DIR"
    )
    assert (tmp_path / "image.xml").read_text() == "<real/>"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["image.xml", "script.py"]


def test_a_folder_that_the_path_cannot_hold_is_refused(flow: Flow, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        build_mock(flow, tmp_path, MockSettings(bin="/a:b"))
    assert str(caught.value) == "/a:b: a folder of the PATH cannot have a ':' in its name"


def test_a_folder_that_cannot_be_made_is_refused(flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SiteError, match=r"cannot write the mock: .*/file/w: Not a directory"):
        build_mock(flow, tmp_path / "file/w")


def test_an_executable_whose_name_is_no_file_name_is_refused(flow: Flow, tmp_path: Path) -> None:
    odd = replace(flow, executables={**flow.executables, "../a": flow.executables["merge"]})
    with pytest.raises(PipelineError, match=r"executable '\.\./a' has a name that is no file name"):
        build_mock(odd, tmp_path)
