"""What was asked to run again does so after a crash too; what belongs to the user stays."""

from pathlib import Path

import pytest

from euclid_dask import api
from euclid_dask.core.errors import InputError, PipelineError
from euclid_dask.runner.cleaning import cleaning
from euclid_dask.runner.workspace import Workspace

INLINE = api.Settings(executor="inline")
PACKAGE = """
from euclid_dask import Executable, Input, Output
def tool(name):
    return Executable("{program} " + name, inputs=[Input("one")],
                      outputs=[Output("out", mime_type="txt")])
a, b = tool("a"), tool("b")
find = Executable("{program} find", inputs=[Input("one")],
                  outputs=[Output("out", mime_type="json", content_type="listfile")])
"""
PROGRAM = """#!/bin/sh
name=$1; shift
for word in "$@"; do
  case $word in --workdir=*) w=${word#*=};; --one=*) i=${word#*=};; --out=*) o=${word#*=};; esac
done
echo $name >> "$w/../starts"
[ -e "$w/../broken-$name" ] && exit 3
if [ $name = find ]; then echo '["raw/1.txt"]' > "$w/$o"; else cat "$w/$i" > "$w/$o"; fi
"""
SCRIPT = """
from euclid_dask import pipeline
from pkgdef import a, b, find

@pipeline(outputs=("out", "found"))
def chain(x):
    return b(one=a(one=x)), find(one=x)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    program = tmp_path / "tool.sh"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (tmp_path / "pkgdef.py").write_text(PACKAGE.format(program=program))
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "w" / "raw").mkdir(parents=True)
    (tmp_path / "w" / "raw" / "1.txt").write_text("raw")
    (tmp_path / "w" / "x.txt").write_text("x")
    assert run(site=tmp_path).state == "done"
    (tmp_path / "starts").unlink()
    return tmp_path


def run(site: Path, settings: api.Settings = INLINE, x: str = "x.txt") -> api.RunResult:
    return api.run(site / "script.py", workdir=site / "w", x=x, settings=settings)


def starts(site: Path) -> list[str]:
    return sorted((site / "starts").read_text().split())


def test_a_rerun_that_failed_is_not_forgotten_by_resume(site: Path) -> None:
    (site / "broken-b").touch()
    assert api.rerun(site / "w", "a", settings=INLINE).state == "failed"
    assert starts(site) == ["a", "b"]
    (site / "broken-b").unlink()
    assert api.resume(site / "w", settings=INLINE).state == "done"
    assert starts(site) == ["a", "b", "b"]


@pytest.mark.parametrize(("again", "task"), [("resume", "b"), ("rerun", "a")])
def test_what_is_too_large_for_this_machine_is_refused_again(
    site: Path, again: str, task: str
) -> None:
    (site / "broken-b").touch()
    api.rerun(site / "w", "a", settings=INLINE)
    before = starts(site), Workspace(site / "w").runs()
    small = api.Settings(executor="inline", ram_bytes=10**7)
    words = ("a",) if again == "rerun" else ()
    with pytest.raises(PipelineError, match=rf"^\S*pkgdef\.py:4: task '{task}' asks for 1 GB"):
        getattr(api, again)(site / "w", *words, settings=small)
    assert (starts(site), Workspace(site / "w").runs()) == before


def test_a_run_whose_large_tasks_are_done_is_resumed_on_a_small_machine(site: Path) -> None:
    package = site / "pkgdef.py"
    text = package.read_text().replace('mime_type="txt")])\na, b = tool("a"), tool("b")', "?")
    assert "?" in text
    small = 'mime_type="txt")], resources=ComputingResources(ram=ram))\n'
    calls = 'a, b = tool("a", 0.5), tool("b", 0.01)'
    text = text.replace("?", small + calls).replace("def tool(name)", "def tool(name, ram)")
    text = text.replace('content_type="listfile")])', 'content_type="listfile")], resources=LOW)')
    head = "from euclid_dask import ComputingResources\nLOW = ComputingResources(ram=0.01)\n"
    package.write_text(head + text)
    (site / "broken-b").touch()
    fresh = api.Settings(executor="inline", fresh=True)
    assert run(site, fresh).state == "failed"
    (site / "broken-b").unlink()
    little = api.Settings(executor="inline", ram_bytes=10**8)
    assert api.resume(site / "w", settings=little).state == "done"
    assert starts(site).count("a") == 1


def test_a_fresh_run_that_failed_is_still_fresh_when_it_is_resumed(site: Path) -> None:
    (site / "broken-a").touch()
    fresh = api.Settings(executor="inline", fresh=True)
    assert run(site, fresh).state == "failed"
    (site / "broken-a").unlink()
    resumed = api.resume(site / "w", settings=INLINE).summary()
    assert (resumed.state, resumed.tasks.skipped) == ("done", 0)
    assert starts(site) == ["a", "a", "b", "find"]


def test_clean_leaves_files_that_a_task_only_found(site: Path) -> None:
    with cleaning(Workspace(site / "w")) as (_, clean):
        assert clean() == []
    assert (site / "w" / "raw" / "1.txt").read_text() == "raw"
    assert (site / "w" / "x.txt").read_text() == "x"
    assert not (site / "w" / "a").exists()


@pytest.mark.parametrize("x", ["a/out.txt", "b/out.txt"])
def test_an_input_is_no_output_of_the_same_pipeline(site: Path, x: str) -> None:
    with pytest.raises(InputError, match=f"{x} is in the folder of task"):
        run(site, x=x)
    assert (site / "w" / x).read_text() == "x"


def test_a_given_file_is_in_the_workdir(site: Path) -> None:
    (site / "w" / "given.txt").write_text("given")
    (site / "outside.txt").write_text("outside")
    (site / "link").symlink_to(site / "w")
    for given in ("../outside.txt", site / "outside.txt", "../w/../outside.txt"):
        with pytest.raises(InputError, match="there is no such file in"):
            run_from_b(site / "w", site, given)
    for workdir, given in ((site / "w", "../w/given.txt"), (site / "link", site / "w/given.txt")):
        assert run_from_b(workdir, site, given).outputs["out"].read_text() == "given"


def run_from_b(workdir: Path, site: Path, given: str | Path) -> api.RunResult:
    settings = api.Settings(executor="inline", from_=("b",))
    files = {"a.out": given}
    return api.run(site / "script.py", workdir=workdir, x="x.txt", given=files, settings=settings)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a.out": "raw/1.txt"}, "the task runs, and would write over the file"),
        ({"a.nope": "raw/1.txt"}, "there is no such output"),
        ({"nobody.out": "raw/1.txt"}, "there is no such output"),
    ],
)
def test_a_file_is_given_only_for_an_output_that_is_not_made(
    site: Path, given: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        api.run(site / "script.py", workdir=site / "w", x="x.txt", given=given, settings=INLINE)
    assert (site / "w" / "raw" / "1.txt").read_text() == "raw"
    assert not (site / "starts").exists()
