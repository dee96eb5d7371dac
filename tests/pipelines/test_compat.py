"""The old import names."""

import importlib

import pytest

from euclid_dask import dsl
from euclid_dask.core.errors import InputError, PipelineError
from euclid_dask.dsl import load


@pytest.fixture(params=["", "euclid_dask.compat."], ids=["installed", "own"])
def old(request):
    """Import an old module under its old name and under ours."""
    return lambda module: importlib.import_module(request.param + module)


NAMES = {
    "euclidwf.framework.taskdefs": (
        "Executable Input Output ComputingResources Package TaskProperties "
        "MIME_XML MIME_TXT TYPE_FILE TYPE_LISTFILE"
    ),
    "euclidwf.framework.workflow_dsl": (
        "pipeline parallel nested invoke_task invoke_pipeline load_pipeline_from_file "
        "get_portnames get_invoked_execs"
    ),
    "euclidwf.framework.graph_builder": "build_graph",
    "euclidwf.utilities.visualizer": "visualize_graph",
    "euclidwf.utilities.exec_loader": "get_all_executables load_executable",
    "euclidwf.utilities.data_loader": "load_data",
    "euclidwf.utilities.error_handling": (
        "ConfigurationError RunConfigurationError PipelineSpecificationError "
        "PipelineFrameworkError PipelineGraphError ProcessingError DrmError"
    ),
}


@pytest.mark.parametrize(
    ("module", "name"),
    [(module, name) for module, names in NAMES.items() for name in names.split()],
)
def test_a_name_is_there_and_is_the_same_from_both_packages(module, name):
    value = getattr(importlib.import_module(module), name)
    own = getattr(importlib.import_module(f"euclid_dask.compat.{module}"), name)
    assert getattr(value, "__name__", value) == getattr(own, "__name__", own)


def test_the_classes_are_ours():
    taskdefs = importlib.import_module("euclidwf.framework.taskdefs")
    assert taskdefs.Executable is dsl.Executable


def test_the_old_functions_read_a_script(old, scripts):
    module = old("euclidwf.framework.workflow_dsl")
    flow = module.load_pipeline_from_file(
        str(scripts / "y2015/examples/vis_pipeline.py"), str(scripts / "y2015/pkgdefs")
    )
    assert module.get_portnames(flow) == ["vis_image", "master_dark", "master_flat", "illum_model"]
    assert "vis_split" in module.get_invoked_execs(flow)
    assert module.load_pipeline_from_file(scripts / "slides/correct_pipeline.py").name == (
        "correct_pipeline"
    )


def test_the_old_functions_take_a_pipeline_function(old, capsys, tmp_path):
    module = old("euclidwf.framework.workflow_dsl")
    build = old("euclidwf.framework.graph_builder").build_graph
    draw = old("euclidwf.utilities.visualizer").visualize_graph
    exe = dsl.Executable("exe", ["a"], ["x"])

    @dsl.pipeline("u")
    def p(a):
        return module.invoke_task(exe, a=a)

    assert module.invoke_pipeline(p) == build(p) == build(build(p))
    assert module.get_portnames(p) == ["a"]
    draw(build(p))
    assert capsys.readouterr().out.startswith("p(a)\n")
    draw(p, tmp_path / "p.svg")
    assert (tmp_path / "p.svg").read_text(encoding="utf-8").startswith("<svg")


def test_executables_are_found_in_a_repository(old, scripts):
    module = old("euclidwf.utilities.exec_loader")
    found = module.get_all_executables(scripts / "she/SHE_Shear_Analysis")
    assert "she_cleanup" in found
    assert module.load_executable(scripts / "y2015/pkgdefs", "vis_split").command == "vis_split"


def test_a_data_file_is_read(old, tmp_path, monkeypatch):
    read = old("euclidwf.utilities.data_loader").load_data
    monkeypatch.setenv("TILE", "7")
    isf = tmp_path / "isf"
    isf.write_text("# comment\n\nworkdir = /w\nimage=data/$TILE.xml # more\nnone =\n")
    assert read(isf) == {"workdir": "/w", "image": "data/7.xml", "none": ""}
    for text in ("image", "=x"):
        isf.write_text(f"a=1\n{text}\n")
        with pytest.raises(InputError, match="isf:2: not a line"):
            read(isf)
    isf.write_text("a=1\na=2\n")
    with pytest.raises(InputError, match="isf:2: the key 'a' is there twice"):
        read(isf)


def test_an_old_error_catches_ours(old, tmp_path):
    errors = old("euclidwf.utilities.error_handling")
    (tmp_path / "script.py").write_text("")
    with pytest.raises(errors.PipelineSpecificationError) as caught:
        load(tmp_path / "script.py")
    assert isinstance(caught.value, PipelineError)
