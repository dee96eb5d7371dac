"""Scripts that cannot be loaded: each is told with file, line and what to do."""

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from euclid_dask.core.errors import InputError, PipelineError
from euclid_dask.dsl import load

HEAD = "from euclid_dask import Executable, pipeline, nested, parallel\n"
GOOD = "@pipeline('u')\ndef p(a):\n    return a\n"


def refusal(folder, text, **files):
    for name, content in files.items():
        (folder / f"{name}.py").write_text(content)
    script = folder / "script.py"
    script.write_text(text)
    with pytest.raises(PipelineError) as caught:
        load(script)
    return caught.value.message.replace(f"{folder}/", ""), caught.value.hint


def test_a_missing_script_is_told_with_the_nearest_one(tmp_path):
    (tmp_path / "vis_pipeline.py").write_text("")
    with pytest.raises(InputError) as caught:
        load(tmp_path / "vis_pipelin.py")
    assert caught.value.message.endswith("vis_pipelin.py: there is no such pipeline script")
    assert caught.value.hint.startswith("did you mean 'vis_pipeline.py'?")


@pytest.mark.parametrize(
    ("path", "problem"),
    [("no/such/script.py", "there is no directory"), (".", "name the file")],
)
def test_what_is_no_script_is_refused(tmp_path, path, problem):
    with pytest.raises(InputError) as caught:
        load(tmp_path / path)
    assert problem in caught.value.hint


def test_a_pipe_is_no_script(tmp_path):
    os.mkfifo(tmp_path / "script.py")
    with pytest.raises(
        InputError, match=r"script\.py: is a pipe or a device, not a pipeline script"
    ):
        load(tmp_path / "script.py")


def test_a_script_with_a_name_that_no_file_has_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no such pipeline script"):
        load(tmp_path / f"{300 * 'a'}.py")


def test_a_missing_package_repository_is_refused(tmp_path):
    (tmp_path / "script.py").write_text(HEAD + GOOD)
    with pytest.raises(InputError, match="nowhere: there is no such directory"):
        load(tmp_path / "script.py", tmp_path / "nowhere")


def test_a_missing_module_names_where_it_was_searched_and_the_nearest_file(tmp_path):
    message, hint = refusal(tmp_path, "import os\nfrom PkgDef_SHE import x\n", PkgDef_SHEs="")
    assert message == "script.py:2: there is no module 'PkgDef_SHE'"
    assert hint.startswith("did you mean 'PkgDef_SHEs'? searched in ")
    assert str(tmp_path) in hint


def test_a_module_missing_in_an_imported_one_is_told_with_its_line(tmp_path):
    message, hint = refusal(tmp_path, "import defs\n", defs="\n\nimport numpyy.core\n")
    assert message == "defs.py:3: there is no module 'numpyy'"
    assert hint.startswith("searched in ")


def test_an_unknown_name_is_told_with_the_nearest_executable(tmp_path):
    message, hint = refusal(
        tmp_path,
        "from defs import vis_correct_drk\n",
        defs=HEAD + "vis_correct_dark = Executable('x')\nvis_correct_drk2 = 3\n",
    )
    assert message == "script.py:1: module 'defs' has no 'vis_correct_drk'"
    assert hint == "did you mean 'vis_correct_dark'?"


def test_an_unknown_name_without_a_near_one_is_told(tmp_path):
    message, hint = refusal(tmp_path, "from defs import vis\n", defs="other = 3\n")
    assert message == "script.py:1: module 'defs' has no 'vis'"
    assert hint == "define it there, or correct the name"


def test_a_module_with_the_name_of_one_of_python_is_told(tmp_path):
    message, hint = refusal(tmp_path, "from random import vis\n", random="vis = 3\n")
    assert message == "script.py:1: module 'random' has no 'vis'"
    assert hint == "'random' is a module of Python itself; give yours another name"


def test_modules_that_import_each_other_are_told(tmp_path):
    message, hint = refusal(
        tmp_path,
        "import ping\n",
        ping="from pong import a\nb = 1\n",
        pong="from ping import b\na = 1\n",
    )
    assert message == "pong.py:1: module 'ping' has no 'b'"
    assert "import each other" in hint


def test_a_relative_import_without_package_is_told(tmp_path):
    message, _ = refusal(tmp_path, "from .defs import x\n", defs="x = 1\n")
    assert message.startswith("script.py:1: ImportError: attempted relative import")


def test_a_syntax_error_in_a_package_definition_is_told_with_its_line(tmp_path):
    message, _ = refusal(tmp_path, "import defs\n", defs="x = 1\ny = = 2\n")
    assert message.startswith("defs.py:2: not valid Python: ")


def test_python_2_in_a_package_definition_is_told_with_its_line(tmp_path):
    message, hint = refusal(tmp_path, "import defs\n", defs="x = 1\nprint x\n")
    assert message.startswith("defs.py:2: this is Python 2")
    assert hint.startswith("write print(...)")


def test_a_script_without_pipeline_is_refused(tmp_path):
    message, hint = refusal(tmp_path, HEAD + "@nested()\ndef p(a):\n    return a\n")
    assert message == "script.py:1: no function is marked as the pipeline"
    assert "@pipeline(outputs=(...))" in hint


def test_two_pipelines_are_refused(tmp_path):
    message, hint = refusal(tmp_path, HEAD + GOOD + GOOD.replace("p(a)", "q(a)"))
    assert message == (
        "script.py:5: 2 functions are marked as the pipeline: 'p' in line 2, 'q' in line 5"
    )
    assert "@nested" in hint


def test_a_pipeline_under_two_names_is_one(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(HEAD + GOOD + "alias = p\n")
    assert load(script).name == "p"


def test_an_imported_pipeline_is_taken_if_there_is_no_other(tmp_path):
    (tmp_path / "defs.py").write_text(HEAD + GOOD)
    script = tmp_path / "script.py"
    script.write_text("from defs import p\n")
    assert load(script).name == "p"


def test_an_error_at_import_is_told_with_the_line_of_the_author(tmp_path):
    message, hint = refusal(tmp_path, "import defs\n", defs="import json\n\nx = json.loads('{')\n")
    assert message.startswith("defs.py:3: JSONDecodeError: ")
    assert hint == "this was raised by the code of the pipeline, when it was loaded"


def test_an_error_without_text_is_told_by_its_kind(tmp_path):
    message, _ = refusal(tmp_path, "raise ValueError\n")
    assert message == "script.py:1: ValueError"


@pytest.mark.parametrize("place", ["module", "body"])
def test_a_script_that_exits_is_refused(tmp_path, place):
    text = "import sys\n" + HEAD
    text += "sys.exit(3)\n" if place == "module" else GOOD.replace("return a", "sys.exit(3)")
    message, hint = refusal(tmp_path, text)
    line = 3 if place == "module" else 5
    assert message == f"script.py:{line}: the script ends itself (exit code 3)"
    assert "if __name__ == '__main__':" in hint


@pytest.mark.parametrize("raised", ["GeneratorExit", "type('Odd', (BaseException,), {})"])
@pytest.mark.parametrize("place", ["module", "body"])
def test_an_exception_that_is_no_error_is_told_with_its_line(tmp_path, raised, place):
    text = HEAD + (f"raise {raised}\n" if place == "module" else "")
    text += GOOD.replace("return a", f"raise {raised}") if place == "body" else GOOD
    message, _ = refusal(tmp_path, text)
    assert message.startswith(f"script.py:{2 if place == 'module' else 4}: ")


def test_an_exception_without_a_text_is_told_by_its_name(tmp_path):
    text = "class Mute(Exception):\n    def __str__(self):\n        return None\n\nraise Mute\n"
    message, _ = refusal(tmp_path, text)
    assert message == "script.py:5: Mute"


def test_an_interrupt_while_a_script_is_loaded_is_passed_on(tmp_path):
    (tmp_path / "script.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path / "script.py")


def test_what_a_script_prints_goes_to_stderr(tmp_path, capsys):
    (tmp_path / "script.py").write_text(HEAD + "print('loaded')\n" + GOOD)
    load(tmp_path / "script.py")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "loaded\n")


def test_an_interrupt_is_passed_on(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("raise KeyboardInterrupt\n")
    modules = set(sys.modules)
    with pytest.raises(KeyboardInterrupt):
        load(script)
    assert set(sys.modules) == modules


@pytest.mark.parametrize("text", ["from euclidwf.framework import x\n", "import euclidwf.srv\n"])
def test_an_unknown_name_of_euclidwf_is_told(tmp_path, text):
    message, _ = refusal(tmp_path, text)
    assert message.startswith("script.py:1: ")


@pytest.mark.parametrize("content", [None, "Executable = None\n"])
def test_a_foreign_euclidwf_is_named(tmp_path, monkeypatch, content):
    foreign = tmp_path / "site"
    (foreign / "euclidwf").mkdir(parents=True)
    (foreign / "euclidwf/__init__.py").write_text("")
    if content is not None:
        (foreign / "euclidwf/framework").mkdir()
        (foreign / "euclidwf/framework/taskdefs.py").write_text(content)
    monkeypatch.syspath_prepend(str(foreign))
    for name in [name for name in sys.modules if name.partition(".")[0] == "euclidwf"]:
        monkeypatch.delitem(sys.modules, name)
    project = tmp_path / "a"
    project.mkdir()
    message, hint = refusal(project, "from euclidwf.framework.taskdefs import Executable\n")
    assert message == (
        f"script.py:1: 'euclidwf' in {foreign}/euclidwf is not the one of euclid-dask"
    )
    assert hint == "uninstall it, or import from euclid_dask instead"
    for name in [name for name in sys.modules if name.partition(".")[0] == "euclidwf"]:
        del sys.modules[name]


def test_a_missing_euclidwf_is_told(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "euclidwf"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(
        sys, "path", [entry for entry in sys.path if not (Path(entry) / "euclidwf").is_dir()]
    )
    message, hint = refusal(tmp_path, "import euclidwf.framework.taskdefs\n")
    assert message == "script.py:1: there is no module 'euclidwf'"
    assert hint == "it comes with euclid-dask: install it with pip"


def test_a_euclidwf_without_origin_is_named(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "euclidwf"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "euclidwf", ModuleType("euclidwf"))
    message, _ = refusal(tmp_path, "import euclidwf.framework.taskdefs\n")
    assert message == "script.py:1: 'euclidwf' in an unknown place is not the one of euclid-dask"
