"""Scripts as they really are: the layouts, dialects and import lines of several generations."""

import subprocess
import sys

import pytest

from euclid_dask import api
from euclid_dask.core.flow import FromInput, FromNode
from euclid_dask.core.resources import GB, Resources
from euclid_dask.dataflow.check import Severity, check
from euclid_dask.dsl import load

INNER = "correct_quadrant.iterations.*.basic_corrections"


def test_the_example_of_the_slides_is_wired_by_argument(scripts):
    pipeline = load(scripts / "slides/correct_pipeline.py")
    dark, flat = pipeline.flow.body.nodes
    assert pipeline.warnings == ()
    assert pipeline.flow.body.inputs == ("image", "master_dark", "master_flat", "params")
    assert dark.inputs["control_params"] == FromInput(name="params")
    assert flat.inputs == {
        "image": FromNode(node="ialtest_correct_dark", port="corrected_image"),
        "master_dark": FromInput(name="master_flat"),
        "control_params": FromInput(name="params"),
    }
    assert {output.name: output.source for output in pipeline.flow.body.outputs} == {
        "corrected_image": FromNode(node="ialtest_correct_flat", port="corrected_image"),
        "darkmap": FromNode(node="ialtest_correct_dark", port="darkmap"),
        "deadmap": FromNode(node="ialtest_correct_flat", port="deadmap"),
    }


def test_the_executables_of_the_slides_have_their_commands_and_needs(scripts):
    spec = load(scripts / "slides/correct_pipeline.py").flow.executables["ialtest_correct_dark"]
    assert spec.command == ("E-Run", "IalTestExec", "0.9.5", "ialtest_correct_dark")
    assert (spec.needs.cores, spec.needs.ram_bytes, spec.needs.walltime_s) == (2, 2e9, 4 * 3600)
    assert spec.inputs[0].content == "simplefile"
    assert spec.output("darkmap").mime_type == "image"
    assert spec.where.endswith("slides/IALTEST/PkgDef_IalTest.py:5")


def test_a_script_of_2015_loads_from_two_directories(scripts):
    pipeline = load(scripts / "y2015/examples/vis_pipeline.py", scripts / "y2015/pkgdefs")
    assert [node.name for node in pipeline.flow.body.nodes] == [
        "vis_split",
        "correct_quadrant",
        "vis_combine",
    ]
    (warning,) = pipeline.warnings
    assert "executable 'vis_combine' has no input 'illum_model'" in warning
    assert pipeline.flow.body.inputs[-1] == "illum_model"
    assert [output.name for output in pipeline.flow.body.outputs] == ["image"]


def test_a_script_of_later_years_loads_from_its_own_directory(scripts):
    pipeline = load(scripts / "she/SHE_Shear_Analysis/PipScript_SHE_Shear.py")
    flow = pipeline.flow
    assert pipeline.docstring == "Estimate the shear of a tile."
    assert flow.optional_inputs == ("pipeline_config",)
    assert flow.executables["she_estimate_shear"].command[4:] == ("--methods", "KSB", "Lens MC")
    same = {"she_remap_mosaic_stack", "she_remap_mosaic_exposure"}
    assert len({flow.executables[name].command for name in same}) == 1
    assert same <= flow.executables.keys()


@pytest.mark.parametrize("style", ["absolute", "relative"])
def test_a_script_inside_a_package_loads_from_the_parent(tmp_path, style):
    package = tmp_path / "SHE_Pipeline_pkgdef"
    package.mkdir()
    module = ".analysis_pkgdef" if style == "relative" else "SHE_Pipeline_pkgdef.analysis_pkgdef"
    (package / "analysis_pkgdef.py").write_text(
        "from euclidwf.framework.taskdefs import Executable\n"
        "measure = Executable(command='measure', inputs=['a'], outputs=['x'])\n"
    )
    (package / "analysis.py").write_text(
        "from euclidwf.framework.workflow_dsl import pipeline\n"
        f"from {module} import measure\n"
        "@pipeline(outputs=('x',))\ndef analysis(a):\n    return measure(a=a)\n"
    )
    assert load(package / "analysis.py", tmp_path).name == "analysis"
    assert sorted(path.name for path in package.iterdir()) == ["analysis.py", "analysis_pkgdef.py"]


def test_a_package_with_init_file_loads_too(tmp_path):
    package = tmp_path / "IALTEST"
    package.mkdir()
    (package / "__init__.py").write_text("NAME = 'u'\n")
    (package / "defs.py").write_text(
        "from euclid_dask import Executable\nfrom . import NAME\n"
        "exe = Executable('exe', ['a'], ['x'])\n"
    )
    script = tmp_path / "script.py"
    script.write_text(
        "from euclid_dask import pipeline\nfrom IALTEST.defs import exe, NAME\n"
        "@pipeline(NAME)\ndef p(a):\n    return exe(a=a)\n"
    )
    assert load(script).flow.executables["exe"].where.endswith("IALTEST/defs.py:3")


def test_a_script_with_the_name_of_its_package_definition_loads(tmp_path):
    for folder in ("pkgdefs", "examples"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pkgdefs/vis.py").write_text(
        "from euclid_dask import Executable\nexe = Executable('exe', ['a'], ['x'])\n"
    )
    (tmp_path / "examples/vis.py").write_text(
        "from euclid_dask import pipeline\nfrom vis import exe\n"
        "@pipeline('u')\ndef p(a):\n    return exe(a=a)\n"
    )
    assert load(tmp_path / "examples/vis.py", tmp_path / "pkgdefs").name == "p"


@pytest.mark.parametrize("name", ["my-script.py", "random.py", "__main__.py", "numpy.py"])
def test_a_script_may_have_any_file_name(tmp_path, name):
    script = tmp_path / name
    script.write_text(
        "from euclid_dask import pipeline\nassert __name__ != '__main__'\n"
        "@pipeline('u')\ndef p(a):\n    return a\n"
    )
    assert load(script).name == "p"


def test_checking_needs_no_networkx(tmp_path):
    script = tmp_path / "long.py"
    calls = "".join(f"    a = exe{number}(a=a)\n" for number in range(60))
    script.write_text(
        "from euclid_dask import Executable, pipeline\n"
        + "".join(f"exe{n} = Executable('x{n}', ['a'], ['x'])\n" for n in range(60))
        + f"@pipeline('u')\ndef p(a):\n{calls}    return a\n"
    )
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from euclid_dask.dsl import load\nfrom euclid_dask.dataflow.check import check\n"
        f"assert not check(load(Path({str(script)!r})).flow)\n"
        "assert 'networkx' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_habits_of_many_authors_are_taken(scripts):
    """Properties, names of blocks, static loops, no cores, a version asked of a package."""
    flow = load(scripts / "she/SHE_Habits/PipScript_SHE_Habits.py").flow
    assert [node.name for node in flow.body.nodes] == [
        "make_ids",
        "inner_shear",
        "submit_field_1",
        "submit_field_2",
        "again_1",
        "merge",
        "again_2",
    ]
    inner = flow.body.nodes[1]
    assert [node.name for node in inner.body.nodes] == ["both"]
    assert [output.name for output in flow.body.outputs] == ["merged"]
    submit = flow.executables["submit"]
    assert (submit.needs.cores, submit.outputs) == (0, ())
    assert submit.command == ("E-Run", "SHE_CTE", "9.2", "SHE_CTE_Submit")
    laptop = Resources(cores=2, ram_bytes=8 * GB, walltime_s=0)
    problems = check(flow, given=flow.body.inputs, limit=laptop)
    assert {problem.severity for problem in problems} == {Severity.NOTICE}


def test_a_notice_is_not_counted_as_a_warning(scripts):
    found = api.check(scripts / "y2015/examples/vis_pipeline.py", pkgrepo=scripts / "y2015/pkgdefs")
    assert found.summary().endswith("; 2 warnings, 2 notices")
