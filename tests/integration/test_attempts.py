"""Attempts with real processes: what they leave behind, and what each failure says."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from euclid_dask.core.attempts import (
    Failure,
    FailureKind,
    InputArgument,
    Order,
    OutputArgument,
    Place,
    Receipt,
)
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import (
    AttemptEnded,
    AttemptsLost,
    AttemptsReturned,
    AttemptStarted,
    BundleOrder,
    News,
)
from euclid_dask.core.values import replace
from euclid_dask.worker import leftovers, procfs
from euclid_dask.worker.attempt import log_paths
from euclid_dask.worker.bundle import cancel, run_bundle
from euclid_dask.worker.clock import now_s

RUN = RunId(f"run-{os.getpid()}")
LOTS = Resources(cores=1, ram_bytes=10_000_000_000)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(
        run=RUN,
        workdir=str(tmp_path / "w"),
        logdir="logs",
        records=str(tmp_path / "w" / ".euclid-dask" / "attempts"),
        grace_s=0.2,
        sample_interval_s=0.05,
    )


@pytest.fixture(autouse=True)
def workdir(place: Place) -> Iterator[Path]:
    Path(place.workdir).mkdir(exist_ok=True)
    yield Path(place.workdir)
    assert procfs.marked({procfs.RUN_MARKER: RUN}) == []


def order(*command: str, **changes: Any) -> Order:
    outputs = tuple(
        OutputArgument(port=port, path=f"task/{port}.txt", mime_type="txt")
        for port in changes.pop("outputs", ())
    )
    plain = Order(
        task=TaskId("task"),
        attempt=1,
        executable="e",
        command=command,
        inputs=(),
        outputs=outputs,
        needs=LOTS,
    )
    return replace(plain, **changes)


def shell(script: str, **changes: Any) -> Order:
    return order("sh", "-c", script, "sh", **changes)


def news_of(place: Place, *orders: Order) -> list[News]:
    seen: list[News] = []
    run_bundle(BundleOrder(pilot=PilotId("p"), place=place, orders=orders), seen.append)
    return seen


def receipt_of(place: Place, one: Order) -> Receipt:
    return next(news.receipt for news in news_of(place, one) if isinstance(news, AttemptEnded))


def failure_of(place: Place, one: Order) -> Failure:
    failure = receipt_of(place, one).failure
    assert failure is not None
    return failure


# What an attempt leaves


def test_the_first_attempt_of_a_run_removes_logs_of_further_attempts_of_another(
    place: Place, workdir: Path
) -> None:
    receipt_of(place, shell("true"))
    receipt_of(place, shell("true", attempt=2))
    (workdir / "logs/task/notes.2.log").touch()
    other = replace(place, records=f"{place.records}-2")
    receipt_of(other, shell("true"))
    names = sorted(path.name for path in (workdir / "logs/task").iterdir())
    assert names == ["notes.2.log", "stderr.log", "stdout.log"]


@pytest.mark.parametrize("given", ["task/out.txt", "first.txt"])
def test_an_input_that_leads_to_an_output_is_not_removed(
    place: Place, workdir: Path, given: str
) -> None:
    (workdir / "task").mkdir()
    (workdir / "task/out.txt").write_text("precious")
    (workdir / "first.txt").symlink_to("task/out.txt")
    inputs = (InputArgument(port="i", text=given),)
    failure = failure_of(place, shell("true", inputs=inputs, outputs=("out",)))
    assert "would write over its own input task/out.txt" in failure.message
    assert (workdir / "task/out.txt").read_text() == "precious"


def test_an_output_that_a_killed_child_would_have_written_tells_of_the_child(place: Place) -> None:
    script = "(sleep 300; echo late > task/out.txt) & true"
    failure = failure_of(place, shell(script, outputs=("out",)))
    assert failure.kind is FailureKind.OUTPUT
    assert "was not written; left " in failure.message
    assert "behind; killed: " in failure.message


def test_stdout_and_stderr_go_to_the_log_directory(place: Place, workdir: Path) -> None:
    receipt_of(place, shell("echo out; echo err >&2"))
    assert (workdir / "logs/task/stdout.log").read_text() == "out\n"
    assert (workdir / "logs/task/stderr.log").read_text() == "err\n"


def test_a_later_attempt_has_its_own_logs(place: Place, workdir: Path) -> None:
    receipt_of(place, shell("echo one"))
    receipt_of(place, shell("echo two", attempt=2))
    assert (workdir / "logs/task/stdout.log").read_text() == "one\n"
    assert (workdir / "logs/task/stdout.2.log").read_text() == "two\n"


def test_a_later_attempt_does_not_find_what_the_earlier_one_wrote(place: Place) -> None:
    receipt_of(place, shell("echo x > task/out.txt; exit 1", outputs=("out",)))
    assert failure_of(place, shell(":", outputs=("out",), attempt=2)).kind is FailureKind.OUTPUT


def test_a_directory_in_the_way_of_an_output_is_removed(place: Place, workdir: Path) -> None:
    (workdir / "task/out.txt/sub").mkdir(parents=True)
    assert receipt_of(place, shell("echo x > task/out.txt", outputs=("out",))).failure is None


def test_an_executable_finds_the_directories_it_expects(place: Place, workdir: Path) -> None:
    script = "pwd; test -d task && test -d data && test -d logs/task && cat"
    assert receipt_of(place, shell(script)).failure is None
    assert (workdir / "logs/task/stdout.log").read_text() == f"{workdir}\n"


def test_a_profile_has_time_cpu_ram_and_samples(place: Place) -> None:
    burn = "import time; x = bytearray(150_000_000)\nwhile time.process_time() < .5: 1"
    profile = receipt_of(place, order("python3", "-c", burn)).profile
    assert profile.wall_s > 0.4
    assert profile.cpu_s > 0.4
    assert 150_000_000 < profile.peak_ram_bytes < 600_000_000
    assert 2 <= len(profile.samples) <= 120
    assert [one.t_s for one in profile.samples] == sorted(one.t_s for one in profile.samples)


def test_a_profile_has_the_time_of_the_engine_and_the_size_of_the_inputs(
    place: Place, workdir: Path
) -> None:
    (workdir / "in.txt").write_text("x" * 1234)
    (workdir / "in2.txt").write_text("x" * 5)
    given = (
        InputArgument(port="i", text="in.txt"),
        InputArgument(port="j", text="in2.txt"),
        InputArgument(port="word", text="in.txt", is_file=False),
    )
    script = "sleep 0.1; echo > task/o.txt"
    began_s, since_s = now_s(), monotonic()
    receipt = receipt_of(place, shell(script, inputs=given, outputs=("o",)))
    whole_s = monotonic() - since_s
    profile = receipt.profile
    assert profile.input_bytes == 1239
    assert profile.wall_s >= 0.1
    assert profile.launch_s > 0
    assert profile.check_s > 0
    assert profile.launch_s + profile.wall_s + profile.check_s < whole_s
    assert began_s < receipt.started_s < receipt.ended_s - profile.wall_s - profile.check_s + 0.01
    assert receipt.ended_s < now_s()


def test_the_peak_ram_is_that_of_the_tree_and_not_of_who_launched_it(place: Place) -> None:
    ours = b"x" * 200_000_000
    slept = receipt_of(place, shell("sleep 0.3; exit 0")).profile
    assert 0 < slept.peak_ram_bytes < 50_000_000
    at_once = receipt_of(place, shell("exit 0", attempt=2)).profile
    assert at_once.peak_ram_bytes < 50_000_000
    burn = "import time; x = b'x' * 80_000_000; time.sleep(0.5)"
    inside = shell(f'python3 -c "{burn}"; exit 0', attempt=3)
    assert 80_000_000 < receipt_of(place, inside).profile.peak_ram_bytes < 200_000_000
    assert len(ours) == 200_000_000


def test_news_of_short_attempts_come_in_order_and_none_is_lost(place: Place, workdir: Path) -> None:
    names = [TaskId(f"t{number}") for number in range(12)]
    orders = [replace(shell("exit 0"), task=name) for name in names[:6]]
    orders += [replace(shell("while [ ! -e told ]; do sleep 0.02; done"), task=names[6])]
    orders += [replace(shell("exit 0"), task=name) for name in names[7:9]]
    orders += [replace(shell("exit 1"), task=name) for name in names[9:]]
    news: list[News] = []

    def hear(one: News) -> None:
        news.append(one)
        if isinstance(one, AttemptStarted) and one.task == names[6]:
            assert ended() == names[:6]
            (workdir / "told").touch()

    def ended() -> list[TaskId]:
        return [one.receipt.task for one in news if isinstance(one, AttemptEnded)]

    run_bundle(BundleOrder(pilot=PilotId("p"), place=place, orders=tuple(orders)), hear)
    assert ended() == names[:10]
    assert news[-1] == AttemptsReturned(run=RUN, attempts=tuple((name, 1) for name in names[10:]))


def test_many_samples_are_thinned(place: Place) -> None:
    often = replace(place, sample_interval_s=0.01)
    samples = receipt_of(often, shell("sleep 1.6")).profile.samples
    assert 20 < len(samples) <= 120
    assert samples[-1].t_s > 1.2


def test_a_large_stdout_does_not_pass_through_us(place: Place, workdir: Path) -> None:
    told = "exec 3>&1; readlink /proc/self/fd/3 >&2; head -c 1000000000 /dev/zero"
    receipt = receipt_of(place, shell(told))
    log = workdir / "logs/task/stdout.log"
    assert receipt.failure is None
    assert log.stat().st_size == 1_000_000_000
    assert log.with_name("stderr.log").read_text() == f"{log}\n"
    log.unlink()


def test_processes_left_behind_are_killed_with_a_warning(place: Place) -> None:
    receipt = receipt_of(place, shell("sleep 81 & sleep 81 & exit 0"))
    assert receipt.failure is None
    assert receipt.warnings == ("left 2 processes behind; killed: sleep 81",)


def test_an_attempt_is_never_started_twice(place: Place, workdir: Path) -> None:
    meanwhile: list[News] = []
    both = shell("echo x >> runs; while [ ! -e go ]; do sleep 0.02; done")
    first = threading.Thread(target=lambda: meanwhile.extend(news_of(place, both)))
    first.start()
    while not (workdir / "runs").exists():
        sleep(0.01)
    again = news_of(place, both)
    (workdir / "go").touch()
    first.join()
    assert [type(one) for one in again] == [AttemptsLost]
    answers = [type(one) for one in meanwhile if not isinstance(one, AttemptStarted)]
    assert answers == [AttemptEnded]
    assert (workdir / "runs").read_text() == "x\n"


# Failure sentences


def test_a_missing_input_is_named_and_nothing_is_started(place: Place) -> None:
    inputs = (
        InputArgument(port="a", text="in/a.xml"),
        InputArgument(port="n", text="7", is_file=False),
    )
    news = news_of(place, shell("touch ran", inputs=inputs))
    assert [type(one) for one in news] == [AttemptEnded]
    assert isinstance(news[0], AttemptEnded)
    assert news[0].receipt.failure == Failure(
        kind=FailureKind.INPUT,
        message="task 'task' was not started: its input file does not exist ('a': in/a.xml)",
    )


def test_a_missing_command_is_named_with_the_nearest_one(place: Place) -> None:
    failure = failure_of(place, order("sorrt"))
    assert failure.kind is FailureKind.LAUNCH
    assert "there is no command 'sorrt' on the PATH" in failure.message
    assert "did you mean" in failure.message
    assert "sort" in failure.message


def test_of_a_long_path_the_first_folders_are_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", ":".join(f"/bin{number}" for number in range(9)))
    failure = failure_of(place, order("none-such"))
    assert failure.message.endswith("on the PATH (/bin0:/bin1:/bin2 and 6 more)")


@pytest.mark.parametrize("word", ["sotr", "./sotr", "./plain", "./script", "task", "data", ""])
def test_what_an_attempt_would_have_replaced_stays_if_it_cannot_be_started(
    place: Place, workdir: Path, word: str
) -> None:
    made = [workdir / "task" / f"{port}.txt" for port in ("made", "more")]
    made[0].parent.mkdir()
    made[0].write_text("by the attempt before")
    made[1].mkdir()
    (made[1] / "in it").touch()
    (workdir / "plain").write_text("no program")
    (workdir / "script").write_text("#!/no/such/interpreter\n")
    (workdir / "script").chmod(0o755)
    failure = failure_of(place, order(word, outputs=["made", "more"]))
    assert failure.kind is FailureKind.LAUNCH
    assert made[0].read_text() == "by the attempt before"
    assert (made[1] / "in it").exists()
    assert sorted(made[0].parent.iterdir()) == made


def test_what_an_attempt_would_have_replaced_stays_if_its_logs_cannot_be_opened(
    place: Place, workdir: Path
) -> None:
    one = shell("true", outputs=["made"])
    made = workdir / "task" / "made.txt"
    made.parent.mkdir()
    made.write_text("by the attempt before")
    for log in log_paths(one, place):
        (workdir / log).mkdir(parents=True)
    failure = failure_of(place, one)
    assert failure.kind is FailureKind.SYSTEM
    assert [*made.parent.iterdir()] == [made]
    assert made.read_text() == "by the attempt before"


def test_a_program_does_not_see_what_it_replaces(place: Place, workdir: Path) -> None:
    made = workdir / "task" / "made.txt"
    made.parent.mkdir()
    made.write_text("by the attempt before")
    (workdir / "task" / ".replaced-0-task").mkdir()  # of an attempt that was killed
    program = workdir / "program"
    program.write_text("#!/bin/sh\nset -C; echo anew > task/made.txt\n")
    program.chmod(0o755)
    assert receipt_of(place, order("./program", outputs=["made"])).failure is None
    assert made.read_text() == "anew\n"
    assert [*made.parent.iterdir()] == [made]


def test_a_missing_command_is_a_launch_failure_after_sourcing_too(place: Place) -> None:
    failure = failure_of(replace(place, source="; echo"), order("no-such-command"))
    assert failure.kind is FailureKind.LAUNCH
    assert "no-such-command" in failure.message


def test_a_file_that_is_not_executable_is_named(place: Place, workdir: Path) -> None:
    (workdir / "plain").write_text("#!/bin/sh\n")
    failure = failure_of(place, order(f"{workdir}/plain"))
    assert failure.kind is FailureKind.LAUNCH
    assert f"{workdir}/plain is not executable" in failure.message


def test_a_missing_interpreter_is_named(place: Place, workdir: Path) -> None:
    script = workdir / "script"
    script.write_text("#!/nowhere/python\n")
    script.chmod(0o755)
    failure = failure_of(place, order(str(script)))
    assert "asks for an interpreter that does not exist (#!/nowhere/python)" in failure.message


def test_a_file_of_no_known_format_is_named(place: Place, workdir: Path) -> None:
    script = workdir / "script"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    assert "is neither a program nor a script" in failure_of(place, order(str(script))).message


def test_a_command_line_that_is_too_long_says_so(place: Place) -> None:
    failure = failure_of(place, order("true", "x" * 3_000_000))
    assert failure.kind is FailureKind.LAUNCH
    assert "too long" in failure.message


def test_a_text_that_no_program_can_be_given_is_a_launch_failure(place: Place) -> None:
    text = InputArgument(port="in", text="a\0b", is_file=False)
    failure = failure_of(place, order("true", inputs=(text,)))
    assert failure.kind is FailureKind.LAUNCH
    assert failure.message.endswith("its command line holds an embedded null byte")


def test_an_exit_code_comes_with_the_last_line_of_stderr(place: Place) -> None:
    failure = failure_of(place, shell("echo first >&2; echo 'no dark frame' >&2; exit 3"))
    assert failure == Failure(
        kind=FailureKind.EXIT,
        message="task 'task' ended with exit code 3; its stderr is in logs/task/stderr.log, "
        "last line: no dark frame",
        exit_code=3,
    )


def test_a_signal_is_named(place: Place) -> None:
    failure = failure_of(place, shell("kill -SEGV $$"))
    assert failure.kind is FailureKind.SIGNAL
    assert "was ended by signal 11 (SIGSEGV)" in failure.message


def test_sigkill_hints_at_the_kernel(place: Place) -> None:
    assert (
        "perhaps the kernel, which was out of memory"
        in failure_of(place, shell("kill -KILL $$")).message
    )


def test_an_excess_of_walltime_kills_the_tree(place: Place) -> None:
    needs = replace(LOTS, walltime_s=0.2)
    failure = failure_of(place, shell("setsid sleep 82 & sleep 82", needs=needs))
    assert failure.kind is FailureKind.WALLTIME
    assert "longer than its walltime of 0.2 s" in failure.message


def test_walltime_and_ram_are_not_enforced_where_the_site_says_so(place: Place) -> None:
    lax = replace(place, enforce_walltime=False, enforce_ram=False)
    needs = Resources(cores=1, ram_bytes=1, walltime_s=0.01)
    assert receipt_of(lax, shell("sleep 0.3", needs=needs)).failure is None


def test_an_output_that_is_a_directory_is_refused(place: Place) -> None:
    failure = failure_of(place, shell("mkdir task/out.txt", outputs=("out",)))
    assert failure.kind is FailureKind.OUTPUT
    assert "output 'out' (task/out.txt) is a directory" in failure.message


def test_a_cancelled_attempt_says_so(place: Place) -> None:
    def stop_when_started(news: News) -> None:
        seen.append(news)
        if isinstance(news, AttemptStarted):
            cancel(RUN, TaskId("task"), 1)

    seen: list[News] = []
    bundle = BundleOrder(pilot=PilotId("p"), place=place, orders=(shell("sleep 83"),))
    run_bundle(bundle, stop_when_started)
    ended = seen[-1]
    assert isinstance(ended, AttemptEnded)
    assert ended.receipt.failure is not None
    assert ended.receipt.failure.kind is FailureKind.CANCELLED


def test_an_executable_that_heard_first_that_it_is_to_end_was_cancelled(
    place: Place, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch system ends all processes of a job; the news of it may reach us last."""
    monkeypatch.setattr("euclid_dask.worker.attempt._HEARSAY_MS", 60_000)
    note = workdir / "pid"

    def cancel_the_dead() -> None:
        while not note.exists() or procfs.read_process(int(note.read_text())):
            sleep(0.01)
        cancel(RUN, TaskId("task"), 1)

    witness = threading.Thread(target=cancel_the_dead)
    witness.start()
    failure = failure_of(place, shell("echo $$ > pid.new; mv pid.new pid; kill -TERM $$"))
    witness.join()
    assert failure.kind is FailureKind.CANCELLED


# Disks


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Any]:
    """Return a function that mounts a small file system, with these options."""
    if os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("needs root to mount a small file system")
        pytest.skip("needs root to mount a small file system")
    mounts: list[Path] = []

    def mount(options: str) -> Path:
        target = tmp_path / f"mount{len(mounts)}"
        target.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(target)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("this machine does not let us mount a file system")
        mounts.append(target)
        return target

    yield mount
    for target in mounts:
        subprocess.run(["umount", str(target)], check=True)


def _on(place: Place, disk: Path) -> Place:
    return replace(place, workdir=str(disk), records=str(disk / "records"))


def test_a_disk_that_an_executable_fills_is_a_failure_of_the_system(
    place: Place, mounted: Any
) -> None:
    disk = mounted("size=1m")
    script = "head -c 5000000 /dev/zero > task/out.txt"
    failure = failure_of(_on(place, disk), shell(script, outputs=("out",)))
    assert failure.kind is FailureKind.SYSTEM
    assert "a disk is full: 0 bytes are free on the file system of" in failure.message
    assert str(disk) in failure.message


def test_a_disk_that_is_full_from_the_start_is_a_failure_of_the_system(
    place: Place, mounted: Any
) -> None:
    disk = mounted("size=64k")
    with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    failure = failure_of(_on(place, disk), shell("true"))
    assert failure.kind is FailureKind.SYSTEM
    assert "disk is full" in failure.message


def test_a_read_only_workdir_is_a_failure_of_the_system(place: Place, mounted: Any) -> None:
    disk = mounted("size=1m,ro")
    failure = failure_of(_on(place, disk), shell("true"))
    assert failure.kind is FailureKind.SYSTEM
    assert "is on a read-only file system" in failure.message
    assert str(disk) in failure.message


# Leftovers


def test_leftovers_of_an_attempt_are_killed_and_named(caplog: pytest.LogCaptureFixture) -> None:
    environment = {**os.environ, **procfs.markers(RUN, TaskId("t"), 1)}
    script = "trap '' TERM; setsid sleep 84 & while true; do sleep 0.1; done"
    with subprocess.Popen(["sh", "-c", script], env=environment) as old:
        marked = {procfs.RUN_MARKER: RUN}
        while "sleep 84" not in {procfs.command_line(one.pid) for one in procfs.marked(marked)}:
            assert old.poll() is None
        assert leftovers.kill_processes(RUN, TaskId("other"), 1) == []
        assert old.poll() is None
        assert leftovers.kill_processes(RUN, TaskId("t"), 1) == []
        assert procfs.marked(marked) == []
    assert "a process of task 't' still ran and is killed: sleep 84" in caplog.messages
