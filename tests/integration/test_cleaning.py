"""What `clean` removes, and above all what it leaves alone."""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from euclid_dask import api
from euclid_dask.api.living import refuse_pilots
from euclid_dask.core.errors import InputError, WorkdirError
from euclid_dask.core.events import PilotRequested
from euclid_dask.core.ids import PilotId
from euclid_dask.core.values import to_json
from euclid_dask.pilots.batch.systems import open_batch
from euclid_dask.pilots.names import job_names
from euclid_dask.pilots.site import read_site
from euclid_dask.runner.believed import PILOTS
from euclid_dask.runner.cleaning import CleaningPlan, cleaning
from euclid_dask.runner.workspace import Workspace

PACKAGE = """
from euclid_dask import Executable, Input, Output
def tool(name):
    return Executable("{program} " + name, inputs=[Input("one")],
                      outputs=[Output("out", mime_type="txt")])
a, b = tool("a"), tool("b")
"""
PROGRAM = """#!/bin/sh
for word in "$@"; do
  case $word in --workdir=*) w=${word#*=};; --one=*) i=${word#*=};; --out=*) o=${word#*=};; esac
done
cat "$w/$i" > "$w/$o"
"""
SITE = """
workspace = "{folder}"
batch = "local"
[templates.light]
cores = 1
ram = "1GB"
walltime = "1h"
"""
SCRIPT = """
from euclid_dask import pipeline
from pkgdef import a, b

@pipeline(outputs="out")
def chain(x):
    return b(one=a(one=x))
"""


@pytest.fixture
def w(tmp_path: Path) -> Path:
    """Return the workdir of a pipeline b(a(x))."""
    program = tmp_path / "tool.sh"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (tmp_path / "pkgdef.py").write_text(PACKAGE.format(program=program))
    (tmp_path / "script.py").write_text(SCRIPT)
    workdir = tmp_path / "w"
    workdir.mkdir()
    (workdir / "x.txt").write_text("x")
    return workdir


def run(w: Path, **settings: object) -> api.RunResult:
    made = api.Settings(executor="inline", **settings)  # type: ignore[arg-type]
    result = api.run(w.parent / "script.py", workdir=w, x="x.txt", settings=made)
    assert result.state == "done"
    return result


def clean(w: Path) -> CleaningPlan:
    with cleaning(Workspace(w)) as (plan, remove):
        assert remove() == []
    return plan


def left(w: Path) -> list[str]:
    return sorted(str(path.relative_to(w)) for path in w.rglob("*"))


def test_nothing_but_the_input_is_left_of_a_run(w: Path) -> None:
    run(w)
    clean(w)
    assert left(w) == ["x.txt"]


@pytest.mark.parametrize(
    "logdir", ["/tmp/logs", "..", "../logs", "logs/../..", ".", "data", ".euclid-dask", "a"]
)
def test_logs_have_a_folder_of_their_own_in_the_workdir(w: Path, logdir: str) -> None:
    with pytest.raises(InputError, match="the folder of logs cannot be"):
        run(w, logdir=logdir)


def test_what_lies_behind_a_link_to_the_logs_is_not_touched(w: Path) -> None:
    (w.parent / "other" / "a").mkdir(parents=True)
    (w.parent / "other" / "a" / "notes.txt").write_text("mine")
    (w / "logs").symlink_to(w.parent / "other")
    run(w)
    clean(w)
    assert (w.parent / "other" / "a" / "notes.txt").read_text() == "mine"
    assert left(w) == ["logs", "x.txt"]


def test_of_a_folder_of_logs_only_logs_are_removed(w: Path) -> None:
    run(w)
    (w / "logs" / "a" / "notes.txt").write_text("mine")
    assert clean(w).unknown == [str(w / "logs" / "a" / "notes.txt")]
    assert left(w) == ["logs", "logs/a", "logs/a/notes.txt", "x.txt"]


def test_a_file_of_the_user_for_a_task_that_is_left_out_stays(w: Path) -> None:
    (w / "a").mkdir()
    (w / "a" / "out.txt").write_text("precious")
    run(w, from_=("b",))
    clean(w)
    assert left(w) == ["a", "a/out.txt", "x.txt"]


def test_an_output_that_somebody_changed_stays(w: Path) -> None:
    run(w)
    (w / "a" / "out.txt").write_text("precious")
    run(w, from_=("b",))
    assert clean(w).unknown == [str(w / "a" / "out.txt")]
    assert left(w) == ["a", "a/out.txt", "x.txt"]


def test_what_a_failed_attempt_left_is_removed(w: Path) -> None:
    program = w.parent / "tool.sh"
    program.write_text(PROGRAM + "exit 3\n")
    api.run(w.parent / "script.py", workdir=w, x="x.txt", settings=api.Settings(executor="inline"))
    assert (w / "a" / "out.txt").exists()
    clean(w)
    assert left(w) == ["x.txt"]


def test_an_input_that_is_reached_by_a_link_stays(w: Path) -> None:
    run(w)
    (w / "second.txt").symlink_to(w / "a" / "out.txt")
    (w.parent / "script.py").write_text(SCRIPT.replace("b(one=a(one=x))", "b(one=x)"))
    settings = api.Settings(executor="inline")
    api.run(w.parent / "script.py", workdir=w, x="second.txt", settings=settings)
    clean(w)
    assert (w / "second.txt").read_text() == "x"


def test_a_file_with_an_old_time_that_appeared_while_the_task_ran_is_of_somebody_else(
    w: Path,
) -> None:
    """A product names it, and one of its two times says that the task did not write it."""
    listing = (w.parent / "pkgdef.py").read_text().replace('mime_type="txt"', 'mime_type="json"')
    (w.parent / "pkgdef.py").write_text(listing)
    body = """cp "$w/$i" "$w/own.txt"; cp -p "$w/../old.txt" "$w/old.txt"
echo '["own.txt", "old.txt"]' > "$w/$o"
"""
    (w.parent / "tool.sh").write_text(PROGRAM.replace('cat "$w/$i" > "$w/$o"\n', body))
    old = w.parent / "old.txt"
    old.write_text("mine")
    os.utime(old, (time.time() - 1000,) * 2)
    run(w)
    clean(w)
    assert left(w) == ["old.txt", "x.txt"]


def test_a_run_whose_pilots_may_live_is_not_cleaned(w: Path) -> None:
    result = run(w)
    records = w / ".euclid-dask"
    requested = PilotRequested(at_s=1.0, pilot=PilotId("light-000001"), template="light")
    (records / PILOTS).write_bytes(to_json(requested) + b"\n")
    journal = records / result.run.id / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(WorkdirError, match="pilots of it may live: light-000001") as refused:
        clean(w)
    assert "euclid-dask resume" in str(refused.value.hint)
    assert (w / "b" / "out.txt").exists()
    journal.write_bytes(b"".join(lines))
    clean(w)  # it has ended: they do nothing for it
    assert left(w) == ["x.txt"]


def test_a_workdir_whose_pilots_live_is_not_cleaned_though_all_runs_have_ended(w: Path) -> None:
    result = run(w)
    toml, records = w.parent / "site.toml", w / ".euclid-dask"
    toml.write_text(SITE.format(folder=w.parent))
    journal = records / result.run.id / "journal.jsonl"
    first, *rest = journal.read_bytes().splitlines(keepends=True)
    started = json.loads(first)
    started["options"]["site"] = str(toml)
    journal.write_bytes(json.dumps(started).encode() + b"\n" + b"".join(rest))
    pilot = PilotId("light-000001")
    requested = PilotRequested(at_s=1.0, pilot=pilot, template="light")
    (records / PILOTS).write_bytes(to_json(requested) + b"\n")
    names = job_names(read_site(toml, {}), w)
    batch = open_batch("local", prefix=names.prefix, folder=records / "jobs")
    job = batch.submit("sleep 600\n", names.name(pilot))
    asking = partial(refuse_pilots, Workspace(w), patience_s=0.0)
    refused = pytest.raises(WorkdirError, match=rf"light-000001 \(job {job}, running\)")
    with refused as caught, cleaning(Workspace(w), refuse_pilots=asking):
        pass
    batch.cancel([job])
    assert "end them: kill " in str(caught.value.hint)
    toml.rename(w.parent / "other.toml")
    line = [sys.executable, "-m", "euclid_dask", "clean", str(w), "--yes"]
    blind = subprocess.run(line, capture_output=True, text=True, check=False)
    assert blind.returncode == 2
    assert "nobody can tell whether pilots" in blind.stderr
    (w.parent / "other.toml").rename(toml)
    subprocess.run(line, check=True, capture_output=True)
    assert left(w) == ["x.txt"]


def test_a_workdir_with_a_damaged_journal_is_cleaned_as_far_as_it_tells(w: Path) -> None:
    result = run(w)
    journal = w / ".euclid-dask" / result.run.id / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[-1] = b"{" + lines[-1]
    journal.write_bytes(b"".join(lines))
    assert clean(w).damaged == [result.run.id]
    assert left(w) == ["x.txt"]


def test_a_workdir_with_an_empty_journal_is_cleaned(w: Path) -> None:
    result = run(w)
    (w / ".euclid-dask" / result.run.id / "journal.jsonl").write_text("")
    assert clean(w).damaged == [result.run.id]
    assert left(w) == sorted(
        ["a", "a/out.txt", "b", "b/out.txt", "x.txt"]
        + ["logs", *(f"logs/{at}" for at in ("a", "b"))]
        + [f"logs/{at}/{name}.log" for at in ("a", "b") for name in ("stderr", "stdout")]
    )


def test_work_before_a_damaged_line_is_not_lost(w: Path) -> None:
    result = run(w)
    folder = w / ".euclid-dask" / result.run.id
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join([*lines[:-1], b"{}\n", lines[-1]]))
    (folder / "index.json").unlink(missing_ok=True)
    assert run(w).summary().tasks.skipped == 2
