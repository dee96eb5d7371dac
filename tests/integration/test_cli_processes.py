"""The command line as a process: signals, death, pipes, full disks, and what is left behind."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import pytest

COMMAND = (sys.executable, "-m", "euclid_dask")
PATIENCE_S = 100.0

PROGRAM = """\
#!/bin/bash
for word in "$@"; do
  case $word in
    --item=*) item=${word#*=} ;;
    --out=*) out=${word#*=} ;;
    --items=*) items=${word#*=} ;;
  esac
done
if [ -n "$items" ]; then
  mkdir -p made
  for i in 1 2 3 4 5 6; do echo $i > made/$i.txt; done
  echo '["made/1.txt","made/2.txt","made/3.txt","made/4.txt","made/5.txt","made/6.txt"]' > $items
  exit 0
fi
echo x >> started.txt
while [ ! -e "$GATE" ]; do sleep 0.02; done
cat $item > $out
"""

PIPELINE = """\
from euclid_dask import ComputingResources, Executable, Input, Output, parallel, pipeline

NEEDS = ComputingResources(cores=1, ram=0.5, walltime=0.1)
make = Executable("{program}", inputs=["start"], resources=NEEDS,
    outputs=[Output("items", mime_type="json", content_type="listfile")])
work = Executable("{program}", inputs=["item"], resources=NEEDS,
    outputs=[Output("out", mime_type="txt")])
join = Executable("{program}", inputs=[Input("item", content_type="listfile")], resources=NEEDS,
    outputs=[Output("out", mime_type="txt")])


@parallel(iterable="item")
def each(item):
    return work(item=item)


@pipeline(outputs=("all",))
def gated(start):
    return join(item=each(item=make(start=start)))
"""


def wait_for(condition: Callable[[], Any]) -> Any:
    """Return what `condition` returns as soon as that is true."""
    until_s = monotonic() + PATIENCE_S
    pause = Event()
    while not (found := condition()):
        assert monotonic() < until_s, "it never became true"
        pause.wait(0.02)
    return found


def read_until(stream: Iterable[str], text: str) -> str:
    """Read lines up to the first that has this text in it, and return that."""
    for line in stream:
        if text in line:
            return line
    raise AssertionError(f"it ended without a line with {text!r}")


def marked_processes(run: str) -> list[int]:
    """Return the living processes that carry the marker of a run."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if f"EUCLID_DASK_RUN={run}\0".encode() in (entry / "environ").read_bytes():
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if state not in "ZX":
                    found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


@dataclass
class Project:
    """A pipeline of six branches, each of which waits until the gate is open."""

    folder: Path

    @property
    def workdir(self) -> Path:
        return self.folder / "w"

    @property
    def gate(self) -> Path:
        return self.folder / "gate"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "GATE": str(self.gate)}

    def start(self, *words: str, **more: Any) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["env", "--default-signal=INT", *COMMAND, *words],  # which we may have to ignore
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **more,
        )

    def call(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*COMMAND, *words],
            cwd=self.folder,
            env=self.environment,
            text=True,
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def run_words(self, executor: str = "inline") -> tuple[str, ...]:
        machine = ("--executor", executor, "--cores", "2", "--ram", "2GB", "--grace", "0.5")
        return ("run", "pipeline.py", "start=start.txt", "--workdir", "w", *machine)

    def started(self) -> int:
        try:
            return len((self.workdir / "started.txt").read_text().split())
        except FileNotFoundError:
            return 0

    def begun(self, executor: str = "inline", *words: str) -> "subprocess.Popen[str]":
        """Return the process of a run of which two tasks run."""
        process = self.start(*self.run_words(executor), *words)
        wait_for(lambda: self.started() == 2 or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        return process

    def runs(self) -> list[str]:
        return [path.parent.name for path in self.workdir.glob(".euclid-dask/*/journal.jsonl")]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    program = tmp_path / "program.sh"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (tmp_path / "pipeline.py").write_text(PIPELINE.format(program=program))
    (tmp_path / "start.txt").write_text("start\n")
    found = Project(tmp_path)
    yield found
    found.gate.touch()
    for run in found.runs():
        for pid in marked_processes(run):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("executor", ["inline", pytest.param("dask", marks=pytest.mark.dask)])
def test_one_interrupt_lets_running_tasks_finish(project: Project, executor: str) -> None:
    process = project.begun(executor, "--json")
    process.send_signal(signal.SIGINT)
    read_until(process.stderr, "once more kills them")
    project.gate.touch()
    out, _ = process.communicate(timeout=PATIENCE_S)
    told = json.loads(out)
    assert process.returncode == 130
    assert told["state"] == "cancelled"
    assert told["tasks"]["done"] == 3
    assert marked_processes(project.runs()[0]) == []


@pytest.mark.parametrize("executor", ["inline", pytest.param("dask", marks=pytest.mark.dask)])
def test_two_interrupts_kill_at_once_and_the_run_resumes(project: Project, executor: str) -> None:
    process = project.begun(executor)
    process.send_signal(signal.SIGINT)
    read_until(process.stderr, "once more kills them")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "cancelled" in out
    assert marked_processes(project.runs()[0]) == []
    project.gate.touch()
    resumed = project.call("resume", "w", "--json", "--executor", executor)
    told = json.loads(resumed.stdout)
    assert resumed.returncode == 0
    counts = {"total": 8, "done": 8, "failed": 0, "blocked": 0, "skipped": 0, "omitted": 0}
    assert told["tasks"] == counts


def test_any_number_of_interrupts_ends_with_the_code_of_an_interrupt(project: Project) -> None:
    process = project.begun()
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "Traceback" not in told


def test_a_termination_kills_at_once(project: Project) -> None:
    process = project.begun()
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "cancelled" in out
    assert marked_processes(project.runs()[0]) == []


def test_an_interrupt_before_the_run_begins_is_quiet(project: Project) -> None:
    os.mkfifo(project.folder / "slow")
    script = project.folder / "pipeline.py"
    script.write_text(f"open('slow').read()\n{script.read_text()}")
    process = project.start("run", "pipeline.py")
    writer = os.open(project.folder / "slow", os.O_WRONLY)  # returns when it is being read
    process.send_signal(signal.SIGINT)
    os.close(writer)  # else a signal that comes just before it reads would wait with it
    out, told = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, told.strip()) == (130, "", "interrupted")


def test_a_killed_runner_takes_its_tasks_along_and_its_run_resumes(project: Project) -> None:
    process = project.begun()
    [run] = project.runs()
    wait_for(lambda: len(json.loads(project.call("status", "w", "--json").stdout)["running"]) == 2)
    assert marked_processes(run) != []
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    wait_for(lambda: marked_processes(run) == [])
    said = project.call("status", "w").stdout
    assert "its runner died" in said
    [counts] = re.findall(r"(\d+) tasks: ([^;]*);", said)
    assert "2 interrupted" in counts[1]
    assert sum(int(one.split()[0]) for one in counts[1].split(", ")) == int(counts[0])
    project.gate.touch()
    resumed = project.call("resume", "w", "--json", "--executor", "inline")
    told = json.loads(resumed.stdout)
    assert (told["run"], told["state"], told["tasks"]["done"]) == (run, "done", 8)
    assert marked_processes(run) == []


def test_what_escaped_from_its_task_does_not_outlive_the_run(project: Project) -> None:
    process = project.begun()
    marks = {"EUCLID_DASK_RUN": project.runs()[0], "EUCLID_DASK_TASK": "make"}
    with subprocess.Popen(["sleep", "300"], env=os.environ | marks) as escaped:
        project.gate.touch()
        _, told = process.communicate(timeout=PATIENCE_S)
        assert escaped.wait(PATIENCE_S) == -signal.SIGKILL
    assert process.returncode == 0
    assert "a process of task 'make' still ran and is killed: sleep 300" in told


def test_status_follows_a_run_of_another_process(project: Project) -> None:
    process = project.begun()
    wait_for(lambda: len(json.loads(project.call("status", "w", "--json").stdout)["running"]) == 2)
    told = json.loads(project.call("status", "w", "--json").stdout)
    text = project.call("status", "w").stdout
    assert told["runner"] == "active"
    assert told["state"] == "active"
    assert len(told["running"]) == 2
    assert f"a runner is at work: process {process.pid}" in text
    project.gate.touch()
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


@pytest.mark.parametrize(
    "words",
    [("resume", "w"), ("clean", "w", "--yes"), ("rerun", "w", "make")],
    ids=lambda words: str(words[0]),
)
def test_a_workdir_at_work_is_left_alone(project: Project, words: tuple[str, ...]) -> None:
    process = project.begun()
    refused = project.call(*words)
    assert refused.returncode == 2
    assert "another runner works in" in refused.stderr
    assert "euclid-dask status" in refused.stderr
    project.gate.touch()
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


def test_a_reader_that_leaves_ends_the_command_quietly(project: Project) -> None:
    project.gate.touch()
    project.call(*project.run_words())
    process = project.start("report", "w", "--json")
    process.stdout.close()
    with process.stderr as errors:
        told = errors.read()
    process.wait(PATIENCE_S)
    assert told == ""


def test_a_full_disk_is_one_sentence_and_the_run_resumes(project: Project) -> None:
    small = project.folder / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "none", str(small)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        (project.folder / "w").symlink_to(small)
        project.gate.touch()
        (small / "ballast").write_bytes(b"x" * 48_000)
        first = project.call(*project.run_words())
        assert first.returncode in {1, 2}
        assert "disk is full" in first.stdout + first.stderr or "No space left" in first.stderr
        assert "Traceback" not in first.stderr
        subprocess.run(["mount", "-o", "remount,size=8m", str(small)], check=True)
        again = project.call(*project.run_words())
        assert again.returncode == 0, again.stderr
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_run_whose_journal_takes_no_more_has_failed_and_resumes(project: Project) -> None:
    process = project.begun("inline", "--json")
    [run] = project.runs()
    size = (project.workdir / ".euclid-dask" / run / "journal.jsonl").stat().st_size
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, size))
    project.gate.touch()
    out, _ = process.communicate(timeout=PATIENCE_S)
    told = json.loads(out)
    assert (process.returncode, told["state"]) == (1, "failed")
    assert "journal.jsonl: File too large" in told["error"]["message"]
    assert f"euclid-dask resume {project.workdir}" in told["error"]["hint"]
    assert project.call("resume", "w", "--executor", "inline").returncode == 0


def test_a_terminal_sees_what_runs(project: Project) -> None:
    leader, follower = os.openpty()
    process = subprocess.Popen(
        [*COMMAND, *project.run_words()],
        cwd=project.folder,
        env={**project.environment, "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=follower,
    )
    os.close(follower)
    seen = b""
    while b"each.iterations.1.work" not in seen:
        seen += os.read(leader, 4096)
    project.gate.touch()
    try:
        while block := os.read(leader, 4096):
            seen += block
    except OSError:  # the other side was closed
        pass
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert b"8 of 8 tasks done" in out
    assert b"of 8 tasks done" in seen


def test_a_terminal_sees_what_runs_from_python(project: Project) -> None:
    leader, follower = os.openpty()
    code = (
        "from euclid_dask import api; api.run('pipeline.py', workdir='w', start='start.txt', "
        "settings=api.Settings(executor='inline', cores=2))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=project.folder,
        env={**project.environment, "TERM": "xterm", "COLUMNS": "100"},
        stderr=follower,
    )
    os.close(follower)
    seen = b""
    while b"each.iterations.1.work" not in seen:
        seen += os.read(leader, 4096)
    process.send_signal(signal.SIGINT)
    while b"nothing new is started; waiting for" not in seen:
        seen += os.read(leader, 4096)
    project.gate.touch()
    try:
        while block := os.read(leader, 4096):
            seen += block
    except OSError:  # the other side was closed
        pass
    assert process.wait(PATIENCE_S) == 0
    assert b"of 8 tasks done" in seen


def test_a_shell_has_the_environment_and_the_command_of_a_task(project: Project) -> None:
    project.gate.touch()
    project.call(*project.run_words())
    out = project.folder / "w/each.iterations.2.work/out.txt"
    out.unlink()
    done = subprocess.run(
        [*COMMAND, "shell", "w", "2.work"],
        cwd=project.folder,
        env={**project.environment, "SHELL": "/bin/sh"},
        input='eval "$EUCLID_DASK_COMMAND" && echo "$OMP_NUM_THREADS $EUCLID_DASK_RUN."; exit 7\n',
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 7
    assert done.stdout == "1 .\n"
    assert out.read_text() == "2\n"


def test_a_shell_that_does_not_exist_is_refused(project: Project) -> None:
    project.gate.touch()
    project.call(*project.run_words())
    done = subprocess.run(
        [*COMMAND, "shell", "w", "make"],
        cwd=project.folder,
        env={**project.environment, "SHELL": "/no/shell"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert "cannot start the shell /no/shell" in done.stderr


@pytest.mark.dask
def test_a_run_that_goes_on_is_taken_over_by_dask_which_tells_its_dashboard(
    project: Project,
) -> None:
    process = project.start("run", "pipeline.py", "start=start.txt", "--workdir", "w", "--json")
    read_until(process.stderr, "Dask dashboard: http://")
    project.gate.touch()
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert json.loads(out)["state"] == "done"


@pytest.mark.dask
def test_a_scheduler_that_is_not_there_is_refused(project: Project) -> None:
    code = (
        "import sys; from euclid_dask.cli import main\n"
        "from euclid_dask.executors.dask.executor import DaskExecutor\n"
        "DaskExecutor.__init__.__kwdefaults__['timeout_s'] = 1.0\n"
        "sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *project.run_words("tcp://127.0.0.1:9")],
        cwd=project.folder,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no Dask scheduler can be reached at tcp://127.0.0.1:9" in done.stderr


@pytest.mark.parametrize(
    ("words", "unwanted"),
    [
        (["--help"], ("euclid_dask.api", "rich", "dask", "networkx")),
        (["check", "pipeline.py"], ("rich", "dask", "distributed", "jinja2")),
        (
            ["run", "-q", "pipeline.py", "start=start.txt", "--workdir", "w"],
            (
                *("networkx", "dask", "asyncio", "jinja2", "psutil"),
                *("euclid_dask.pilots.site", "euclid_dask.data.registry", "sqlalchemy"),
            ),
        ),
    ],
    ids=["help", "check", "run"],
)
def test_quick_commands_import_little(
    project: Project, words: list[str], unwanted: tuple[str, ...]
) -> None:
    project.gate.touch()
    code = textwrap.dedent(
        f"""
        import sys
        from euclid_dask.cli.app import app
        try:
            app.main({words!r}, prog_name="euclid-dask")
        except SystemExit as leave:
            assert leave.code == 0, leave.code
        print("imported:", [name for name in {unwanted!r} if name in sys.modules])
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.folder,
        env=project.environment,
        text=True,
        capture_output=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "imported: []"
