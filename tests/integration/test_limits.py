"""Limits with real processes: what goes beyond them is killed whole, and tried again with more."""

import os
import signal
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from benchmarks.limits import DAEMON, FOOD, NOTED, STUBBORN, WITH_GRANDCHILD
from euclid_dask import ComputingResources, Executable, Output, api, pipeline
from euclid_dask.core.attempts import FailureKind
from euclid_dask.core.events import TaskErred
from euclid_dask.core.resources import Resources
from euclid_dask.runner.journal import read_journal
from euclid_dask.runner.workspace import Workspace
from euclid_dask.worker import oom, procfs


def sleepers(naps: str) -> list[int]:
    """Return the living processes that have this word in their command lines."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    found = [pid for pid in pids if pid != os.getpid() and naps in procfs.command_line(pid)]
    return [pid for pid in found if procfs.read_process(pid)]


@pytest.fixture
def naps() -> Iterator[str]:
    """Return seconds to sleep that no other process sleeps; who does is killed afterwards."""
    text = f"300.{os.getpid()}{int(monotonic() * 1e6)}"
    yield text
    for pid in sleepers(text):
        os.kill(pid, signal.SIGKILL)


def carry_out(
    script: str, folder: Path, resources: ComputingResources, **settings: Any
) -> tuple[api.RunResult, list[TaskErred]]:
    """Run one task that writes down its starts; return how it ended, and the failures before."""
    folder.mkdir(exist_ok=True)
    program = folder / "program.py"
    program.write_text(NOTED + script)
    hog = Executable(
        f"python3 {program}", outputs=[Output("done", mime_type="txt")], resources=resources
    )

    @pipeline(outputs=("done",))
    def one() -> Any:
        return hog()

    chosen = {"executor": "inline", "cores": 2, "ram_bytes": 4 * 10**9, "grace_s": 1.0} | settings
    result = api.run(one, workdir=folder / "w", settings=api.Settings(**chosen))
    journal = Workspace(result.workdir).files(result.run.id).journal
    erred = [event for event in read_journal(journal) if isinstance(event, TaskErred)]
    return result, erred


def starts(result: api.RunResult) -> int:
    return (result.workdir / "starts").read_text().count("started")


def test_a_ram_hog_with_a_grandchild_is_killed_and_gets_more(tmp_path: Path, naps: str) -> None:
    script = WITH_GRANDCHILD.replace("{naps}", naps)
    asked = ComputingResources(ram=0.15, walltime=1.0)
    result, (erred, *more) = carry_out(script, tmp_path, asked, larger_retries=5)
    assert result.state == "done"
    assert starts(result) == 2 + len(more)  # more than two if it was seen while it still ate
    assert sleepers(naps) == []
    failure = erred.failure
    assert failure.kind is FailureKind.MEMORY
    assert 150_000_000 < failure.used < 1.5 * FOOD
    assert "more than its 0.15 GB, and was killed (2 processes, the largest: " in failure.message
    assert "food" in failure.message.partition("largest: ")[2]
    megabytes = ceil(max(1.3 * failure.used, 1.5 * 150_000_000) / 10**6)
    assert erred.larger == Resources(ram_bytes=megabytes * 10**6, walltime_s=3600.0)


def test_a_walltime_hog_that_ignores_sigterm_is_killed_and_gets_more_time(
    tmp_path: Path, naps: str
) -> None:
    script = STUBBORN.replace("{naps}", naps)
    walltime_s = 1.5
    resources = ComputingResources(ram=1.0, walltime=walltime_s / 3600)
    result, (erred,) = carry_out(script, tmp_path, resources)
    assert result.state == "done"
    assert starts(result) == 2
    assert sleepers(naps) == []
    assert erred.failure.kind is FailureKind.WALLTIME
    assert "ran longer than its walltime of 1.5 s and was killed" in erred.failure.message
    stubborn = erred.failure.message.partition("; SIGTERM did not end ")[2]
    assert "python3" in stubborn
    assert f"sleep {naps}" in stubborn
    assert erred.larger == Resources(ram_bytes=10**9, walltime_s=2 * walltime_s)


def test_a_double_forking_daemon_is_killed_with_its_task(tmp_path: Path, naps: str) -> None:
    script = DAEMON.replace("{naps}", naps)
    resources = ComputingResources(ram=1.0, walltime=1.5 / 3600)
    result, (erred,) = carry_out(script, tmp_path, resources)
    assert (result.state, starts(result)) == ("done", 2)
    assert sleepers(naps) == []
    assert erred.failure.kind is FailureKind.WALLTIME


def test_without_anything_larger_the_failure_says_what_would_help(tmp_path: Path) -> None:
    script = WITH_GRANDCHILD.replace("{naps}", "100")
    small = {"ram_bytes": 150_000_000}
    result, (erred,) = carry_out(script, tmp_path, ComputingResources(ram=0.15), **small)
    assert (result.state, starts(result), erred.final) == ("failed", 1, True)
    (failure,) = result.failures
    assert "; a second try would need 1 cores, 0." in failure.reason
    assert failure.reason.endswith("the largest pilot has 0.15 GB of RAM. Have a larger one")


# ---- what the kernel killed


class Counter:
    """A count of the kernel's kills that a test changes; a task is blamed for what it saw."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "kills"
        self.file.touch()

    def kills(self) -> int:
        return len(self.file.read_bytes())


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counter:
    counter = Counter(tmp_path)
    monkeypatch.setattr(oom, "kills", counter.kills)
    return counter


EATS_AND_DIES = """
import os, subprocess, sys
first = len(open("starts").readlines()) == 1
naps = 1.2 if first else 0  # longer than it takes until it is looked at, whenever it begins
eat = f"import os, time; food = b'x' * 90_000_000; time.sleep({naps}); {{end}}"
end = "open({kills!r}, 'a').write('k'); os.kill(os.getpid(), 9)" if first else ""
code = subprocess.run([sys.executable, "-c", eat.replace("{end}", end)]).returncode
open("python3/done.txt", "w").write("ok")
"""


@pytest.mark.parametrize(
    ("then", "end"),
    [
        ("", "ended with exit code 0"),
        ("sys.exit(3 if code else 0)", "ended with exit code 3"),
        ("code and os.kill(os.getpid(), 9)", "was ended by signal 9 (SIGKILL)"),
    ],
)
def test_a_grandchild_that_the_kernel_killed_is_known(
    tmp_path: Path, kernel: Counter, then: str, end: str
) -> None:
    script = EATS_AND_DIES.replace("{kills!r}", repr(str(kernel.file))) + then
    result, (erred,) = carry_out(script, tmp_path, ComputingResources(ram=0.12))
    assert (result.state, starts(result)) == ("done", 2)
    assert erred.failure.kind is FailureKind.MEMORY
    assert f"task 'python3' {end}: the kernel was out of memory" in erred.failure.message
    assert "its cgroup lost 1 process so" in erred.failure.message
    assert erred.larger == Resources(ram_bytes=180_000_000, walltime_s=3600.0)


def test_a_kill_near_the_limit_is_one_for_lack_of_memory(tmp_path: Path) -> None:
    script = EATS_AND_DIES.replace("{kills!r}", "os.devnull") + "code and os.kill(os.getpid(), 9)"
    result, (erred,) = carry_out(script, tmp_path, ComputingResources(ram=0.12))
    assert result.state == "done"
    assert erred.failure.kind is FailureKind.MEMORY
    used = erred.profile.peak_ram_bytes
    assert 90_000_000 < used <= 120_000_000
    told = f"(SIGKILL, not by us); of its 0.12 GB of RAM it used {used / 1e9:.3g} GB"
    assert told in erred.failure.message


def test_a_kill_far_from_the_limit_is_none(tmp_path: Path) -> None:
    _, (erred,) = carry_out("import os; os.kill(os.getpid(), 9)", tmp_path, ComputingResources())
    assert erred.failure.kind is FailureKind.SIGNAL


def test_a_kill_of_another_task_is_only_a_warning(tmp_path: Path, kernel: Counter) -> None:
    script = (
        f"open({str(kernel.file)!r}, 'a').write('k'); open('python3/done.txt', 'w').write('ok')"
    )
    result, erred = carry_out(script, tmp_path, ComputingResources(ram=3.0))
    assert (result.state, erred) == ("done", [])
    (warning,) = result.summary().warnings
    assert "the kernel was out of memory and killed 1 process of this pilot" in warning


# ---- where the kernel counts


@pytest.mark.parametrize(
    ("own", "file", "text"),
    [
        ("0::/job/step\n", "job/step/memory.events", "high 0\noom 7\noom_kill 2\n"),
        ("0::/not/seen\n", "memory.events", "oom 7\noom_kill 2\n"),
        (
            "5:cpu,cpuacct:/x\n4:memory:/job\n0::/\n",
            "memory/job/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        ),
    ],
)
def test_the_count_of_the_kernel_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, file: str, text: str
) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    (tmp_path / "own").write_text(own)
    assert counted(tmp_path, monkeypatch) == 2


@pytest.mark.parametrize("text", [None, "oom_kill_disable 0\n"])
def test_without_a_count_nothing_is_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    (tmp_path / "own").write_text("0::/\n")
    if text is not None:
        (tmp_path / "memory.events").write_text(text)
    assert counted(tmp_path, monkeypatch) == 0


def counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(oom, "_CGROUPS", folder)
    monkeypatch.setattr(oom, "_OWN", folder / "own")
    oom._counter.cache_clear()
    try:
        return oom.kills()
    finally:
        oom._counter.cache_clear()
