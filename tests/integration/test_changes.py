"""A run notices changed programs, changed files that are sourced, changed files of outputs."""

import os
import sys
from pathlib import Path

import pytest

from euclid_dask import api

SCRIPT = """
from euclid_dask import Executable, Input, Output, pipeline
first = Executable("{command}", inputs=[Input("one")], outputs=[Output("out", {kind})])
second = Executable("{command}", inputs=[Input("one")], outputs=[Output("out", {kind})])

@pipeline(outputs=("out",))
def chain(x):
    return second(one=first(one=x))
"""
TOOL = """#!{python}
import os, sys
words = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--"))
{body}
"""
TEXT = 'open(words["out"], "w").write("text")'
PRODUCT = """
name = os.environ["EUCLID_DASK_TASK"] + ".fits"
open("data/" + name, "w").write("pixels")
open(words["out"], "w").write(f"<P><FileName>{name}</FileName><FileName>no</FileName></P>")
"""
LIST = """
import json
name = "data/" + os.environ["EUCLID_DASK_TASK"] + ".xml"
open(name, "w").write("<P/>")
open(words["out"], "w").write(json.dumps([name, "a word"]))
"""


class Site:
    """A folder with a pipeline of two tasks, each of one program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workdir = folder / "w"
        self.workdir.mkdir()
        (folder / "x.txt").write_text("x")

    def tool(self, path: Path, body: str = TEXT) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(TOOL.format(python=sys.executable, body=body))
        path.chmod(0o755)

    def pipeline(self, command: str, kind: str = "mime_type='txt'") -> None:
        (self.folder / "script.py").write_text(SCRIPT.format(command=command, kind=kind))

    def ran(self, source: str = "") -> int:
        """Run the pipeline; return how many of its tasks ran."""
        settings = api.Settings(executor="inline", source=source)
        inputs = {"x": self.folder / "x.txt"}
        result = api.run(
            self.folder / "script.py", workdir=self.workdir, settings=settings, **inputs
        )
        assert result.state == "done", result.failures
        return 2 - result.summary().tasks.skipped


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("command", ["./tool.py", f"{sys.executable} tool.py"])
def test_a_changed_program_named_from_the_workdir_runs_again(site: Site, command: str) -> None:
    site.tool(site.workdir / "tool.py")
    site.pipeline(command)
    assert [site.ran(), site.ran()] == [2, 0]
    site.tool(site.workdir / "tool.py", TEXT + "  # changed")
    assert site.ran() == 2


def test_a_changed_program_on_the_path_that_a_source_sets_runs_again(site: Site) -> None:
    site.tool(site.folder / "bin" / "tool")
    (site.folder / "setup.sh").write_text(f"PATH={site.folder}/bin:$PATH; echo noise\n")
    site.pipeline("tool")
    source = f"{site.folder}/setup.sh && export A=1"
    assert [site.ran(source), site.ran(source)] == [2, 0]
    site.tool(site.folder / "bin" / "tool", TEXT + "  # changed")
    assert site.ran(source) == 2


@pytest.mark.parametrize("changed", ["setup.sh", "inner.sh"])
def test_a_changed_sourced_file_makes_all_run_again(site: Site, changed: str) -> None:
    site.tool(site.workdir / "tool")
    (site.folder / "setup.sh").write_text(f"set -eu\n. {site.folder}/inner.sh\n")
    (site.folder / "inner.sh").write_text("export A=1\n")
    site.pipeline("./tool")
    source = f"{site.folder}/setup.sh"
    assert [site.ran(source), site.ran(source)] == [2, 0]
    with (site.folder / changed).open("a") as file:
        file.write("export A=22\n")
    assert site.ran(source) == 2


def test_a_run_asks_one_shell_what_is_sourced(site: Site) -> None:
    site.tool(site.workdir / "tool")
    (site.folder / "setup.sh").write_text(f"echo >> {site.folder}/shells\n")
    site.pipeline("./tool")
    site.ran(f"{site.folder}/setup.sh")
    (site.folder / "shells").unlink()
    site.ran(f"{site.folder}/setup.sh")
    assert (site.folder / "shells").read_text() == "\n"


@pytest.mark.parametrize(
    ("body", "kind", "named"),
    [
        (PRODUCT, "mime_type='xml'", "data/second.fits"),
        (LIST, "mime_type='json', content_type='listfile'", "data/second.xml"),
    ],
)
def test_a_file_named_by_an_output_belongs_to_it(
    site: Site, body: str, kind: str, named: str
) -> None:
    site.tool(site.workdir / "tool", body)
    site.pipeline("./tool", kind)
    assert [site.ran(), site.ran()] == [2, 0]
    content = (site.workdir / named).read_text()
    (site.workdir / named).write_text("")
    assert site.ran() == 1
    assert (site.workdir / named).read_text() == content
    (site.workdir / named).unlink()
    assert site.ran() == 1
    assert site.ran() == 0


def test_data_of_an_intermediate_product_is_looked_at_when_it_is_needed(site: Site) -> None:
    site.tool(site.workdir / "tool", PRODUCT)
    site.pipeline("./tool", "mime_type='xml'")
    site.ran()
    (site.workdir / "data" / "first.fits").write_text("")
    assert site.ran() == 0
    (site.workdir / "data" / "second.fits").write_text("")
    assert site.ran() == 2
    assert (site.workdir / "data" / "first.fits").read_text() == "pixels"


def test_an_output_of_the_same_size_and_another_time_is_another(site: Site) -> None:
    site.tool(site.workdir / "tool")
    site.pipeline("./tool")
    site.ran()
    output = site.workdir / "second" / "out.txt"
    status = output.stat()
    os.utime(output, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert site.ran() == 1
