"""The dials of a run that need a whole run to be seen: how inputs are compared, environments."""

import os
from pathlib import Path
from typing import Any

import pytest

from euclid_dask import api
from euclid_dask.core.errors import InputError

PACKAGE = """
from euclid_dask import Executable, Input, Output
copy = Executable("{program}", inputs=[Input("image")], outputs=[Output("made", mime_type="txt")])
"""
SCRIPT = """
from euclid_dask import parallel, pipeline
from pkgdef import copy

@parallel(iterable="image")
def each(image):
    return copy(image=image)

@pipeline(outputs=("made", "all"))
def dials(image, images):
    return copy(image=image), each(image=images)
"""
PROGRAM = """#!/bin/sh
for word in "$@"; do
  case $word in --workdir=*) w=${word#*=};; --image=*) i=${word#*=};; --made=*) o=${word#*=};; esac
done
{ echo "release=$RELEASE"; cat "$w/$i"; } > "$w/$o"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    program = tmp_path / "copy.sh"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (tmp_path / "pkgdef.py").write_text(PACKAGE.format(program=program))
    (tmp_path / "script.py").write_text(SCRIPT)
    workdir = tmp_path / "w"
    workdir.mkdir()
    for name in ("a.txt", "b.txt"):
        (workdir / name).write_text(f"content of {name}\n")
    (workdir / "images.json").write_text('["a.txt", "b.txt"]')
    return tmp_path


def run(site: Path, **settings: Any) -> api.RunResult:
    result = api.run(
        site / "script.py",
        workdir=site / "w",
        image="a.txt",
        images="images.json",
        settings=api.Settings(executor="inline", **settings),
    )
    assert result.state == "done", result.failures
    return result


def touch(path: Path) -> None:
    after = path.stat().st_mtime_ns + 5_000_000_000
    os.utime(path, ns=(after, after))


def test_a_touched_input_runs_again_what_reads_it_and_no_more(site: Path) -> None:
    run(site)
    touch(site / "w" / "a.txt")
    second = run(site).summary().tasks
    assert (second.done, second.skipped) == (2, 1)


def test_compared_by_content_a_touched_input_is_the_same(site: Path) -> None:
    run(site, identity_by="content")
    touch(site / "w" / "a.txt")
    touch(site / "w" / "images.json")
    second = run(site, identity_by="content").summary().tasks
    assert (second.done, second.skipped) == (0, 3)


def test_compared_by_content_a_change_that_keeps_size_and_mtime_is_seen(site: Path) -> None:
    run(site, identity_by="content")
    image = site / "w" / "b.txt"
    before = image.stat()
    image.write_text(image.read_text().upper())
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = run(site, identity_by="content").summary().tasks
    assert (second.done, second.skipped) == (1, 2)


def test_resume_compares_as_the_run_did(site: Path) -> None:
    run(site, identity_by="content")
    touch(site / "w" / "a.txt")
    assert "done already" in api.resume(site / "w").warnings[0]


def test_the_version_in_a_data_file_chooses_what_is_sourced(site: Path) -> None:
    for version in ("2.1", "3.0"):
        (site / f"eden{version}.sh").write_text(f"export RELEASE={version}\n")
    environments = site / "server.cfg"
    environments.write_text(
        f"environment.sourcingScripts.eden-2.1={site}/eden2.1.sh\n"
        f"environment.sourcingScripts.eden-3.0={site}/eden3.0.sh\n"
    )
    isf = site / "w" / "field.isf"
    settings = api.Settings(executor="inline", environments=environments)
    for version in ("2.1", "3.0"):
        isf.write_text(f"image=a.txt\nimages=images.json\nedenVersion=Eden-{version}\n")
        result = api.run(site / "script.py", workdir=site / "w", isf=isf, settings=settings)
        assert result.outputs["made"].read_text().startswith(f"release={version}\n")
        assert result.summary().tasks.done == 3, "programs of another release are other programs"


def test_a_version_that_no_environment_has_is_refused(site: Path) -> None:
    environments = site / "e.toml"
    environments.write_text('[environments]\n"eden-2.1" = "/dev/null"\n')
    isf = site / "w" / "field.isf"
    isf.write_text("image=a.txt\nimages=images.json\nedenVersion=Eden-2.2\n")
    settings = api.Settings(executor="inline", environments=environments)
    with pytest.raises(InputError, match=r"field.isf:3: there is no environment"):
        api.run(site / "script.py", workdir=site / "w", isf=isf, settings=settings)


def test_another_way_to_compare_inputs_is_the_reason_to_run_again(site: Path) -> None:
    run(site)
    second = run(site, identity_by="content")
    assert second.reruns == {"inputs were compared by mtime, and are by content now": 3}
