"""Loading leaves no trace: in the process, on the disk, in the next load."""

import importlib
import os
import sys
import threading
from pathlib import Path

import pytest

from euclid_dask.core.errors import PipelineError
from euclid_dask.dsl import load

SCRIPT = """
from euclid_dask import pipeline
from defs import exe
import defs
@pipeline("u")
def p(a):
    from late import extra
    return exe(a=a, b=extra)
"""


def project(folder, command):
    folder.mkdir()
    (folder / "script.py").write_text(SCRIPT)
    (folder / "late.py").write_text(f"extra = '{command}'\n")
    (folder / "defs.py").write_text(
        f"from euclid_dask import Executable\nexe = Executable('{command}', ['a', 'b'], ['x'])\n"
    )
    return folder / "script.py"


def commands(script):
    flow = load(script).flow
    return [spec.command[0] for spec in flow.executables.values()] + [
        flow.body.nodes[0].inputs["b"].text
    ]


def test_modules_of_one_name_in_two_projects_do_not_meet(tmp_path):
    first, second = project(tmp_path / "a", "one"), project(tmp_path / "b", "two")
    assert [commands(first), commands(second), commands(first)] == [
        ["one", "one"],
        ["two", "two"],
        ["one", "one"],
    ]


@pytest.mark.parametrize("where", ["script.py", "defs.py", "late.py"])
def test_a_change_of_folder_or_environment_is_taken_back(tmp_path, monkeypatch, where):
    script = project(tmp_path / "a", "one")
    changed = script.with_name(where)
    change = "import os\nos.chdir('/')\nos.environ['EUCLID_DASK_T'] = '1'\ndel os.environ['HOME']\n"
    changed.write_text(change + changed.read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    before = dict(os.environ)
    assert commands(script) == ["one", "one"]
    assert (Path.cwd(), dict(os.environ)) == (tmp_path, before)


def test_a_load_leaves_the_process_and_the_disk_as_they_were(tmp_path):
    script = project(tmp_path / "a", "one")
    load(script)
    before = (list(sys.path), list(sys.meta_path), set(sys.modules), sys.dont_write_bytecode)
    files = sorted(path.name for path in script.parent.iterdir())
    load(script)
    after = (list(sys.path), list(sys.meta_path), set(sys.modules), sys.dont_write_bytecode)
    assert before == after
    assert (
        sorted(path.name for path in script.parent.iterdir())
        == files
        == ["defs.py", "late.py", "script.py"]
    )


def test_a_failed_load_leaves_the_process_as_it_was(tmp_path):
    script = project(tmp_path / "a", "one")
    (tmp_path / "a/late.py").write_text("raise ValueError\n")
    before = (list(sys.path), list(sys.meta_path), set(sys.modules), sys.dont_write_bytecode)
    with pytest.raises(PipelineError):
        load(script)
    assert before == (
        list(sys.path),
        list(sys.meta_path),
        set(sys.modules),
        sys.dont_write_bytecode,
    )


def test_a_module_loaded_from_elsewhere_is_hidden_and_put_back(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "defs").mkdir(parents=True)
    (elsewhere / "defs/__init__.py").write_text("exe = 'not this one'\n")
    (elsewhere / "defs/part.py").write_text("")
    monkeypatch.syspath_prepend(str(elsewhere))
    part = importlib.import_module("defs.part")
    other = sys.modules["defs"]
    try:
        assert commands(project(tmp_path / "a", "one")) == ["one", "one"]
        assert sys.modules["defs"] is other
        assert sys.modules["defs.part"] is part
    finally:
        del sys.modules["defs"], sys.modules["defs.part"]


def test_a_package_without_init_file_comes_before_an_installed_one(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "defs").mkdir(parents=True)
    (elsewhere / "defs/__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(elsewhere))
    script = project(tmp_path / "a", "one")
    (tmp_path / "a/defs").mkdir()
    (tmp_path / "a/defs.py").rename(tmp_path / "a/defs/inner.py")
    script.write_text(SCRIPT.replace("from defs import", "from defs.inner import"))
    assert commands(script) == ["one", "one"]


def test_a_directory_without_modules_does_not_hide_an_installed_module(tmp_path):
    script = project(tmp_path / "a", "one")
    (tmp_path / "a/msgspec").mkdir()
    (tmp_path / "a/msgspec/notes.txt").write_text("")
    script.write_text("import msgspec\nassert msgspec.Struct\n" + SCRIPT)
    assert commands(script) == ["one", "one"]


def test_the_standard_library_and_ourselves_cannot_be_replaced(tmp_path, monkeypatch):
    script = project(tmp_path / "a", "one")
    for name in ("colorsys", "euclid_dask", "euclidwf"):
        (tmp_path / "a" / f"{name}.py").write_text("raise ValueError\n")
    for name in list(sys.modules):
        if name.partition(".")[0] in {"colorsys", "euclidwf"}:
            monkeypatch.delitem(sys.modules, name)
    script.write_text("import colorsys, euclidwf.framework.taskdefs\n" + SCRIPT)
    assert commands(script) == ["one", "one"]
    assert "euclidwf" in sys.modules


def test_a_changed_file_is_read_again_even_within_a_second(tmp_path):
    script = project(tmp_path / "a", "one")
    assert commands(script) == ["one", "one"]
    (tmp_path / "a/late.py").write_text("extra = 'ONE'\n")
    assert commands(script) == ["one", "ONE"]


def test_a_new_file_is_seen(tmp_path):
    script = project(tmp_path / "a", "one")
    (tmp_path / "a/late.py").unlink()
    with pytest.raises(PipelineError, match="there is no module 'late'"):
        load(script)
    (tmp_path / "a/late.py").write_text("extra = 'new'\n")
    assert commands(script) == ["one", "new"]


def test_threads_can_load_at_the_same_time(tmp_path):
    names = [f"n{number}" for number in range(8)]
    found = {}

    def run(name):
        found[name] = commands(project(tmp_path / name, name))

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {name: [name, name] for name in names}


def test_relative_paths_are_understood(tmp_path, monkeypatch):
    script = project(tmp_path / "a", "one")
    monkeypatch.chdir(tmp_path)
    assert load("a/script.py", "a").flow.script == str(script)
