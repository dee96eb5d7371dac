"""How the commands of a batch system are run, tried again and understood when they fail."""

import re
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from euclid_dask.core.errors import (
    BatchError,
    BatchUnreachableError,
    SiteError,
    SubmitUnknownError,
)
from euclid_dask.core.ids import JobId
from euclid_dask.core.pilots import Job, JobState
from euclid_dask.pilots.batch.commands import Calls, CommandBatch
from euclid_dask.pilots.batch.dialect import Dialect, last_word, pattern
from euclid_dask.pilots.batch.systems import open_batch
from euclid_dask.worker.procfs import read_process

NEVER = re.compile(r"(?!)")


def read_names(output: str) -> list[Job]:
    if "half" in output:
        raise ValueError("half an answer")
    return [Job(id=JobId(n), name=n, state=JobState.RUNNING) for n in output.split()]


def shell(script: str) -> list[str]:
    return ["sh", "-c", script, "program"]


def speaking(script: str) -> Dialect:
    """Return a batch system each of whose commands is this shell script."""
    return Dialect(
        name="sh",
        submit=lambda name, files: [*shell(script), name, files.script],
        parse_submit=last_word,
        list_jobs=shell(script),
        parse_jobs=read_names,
        cancel=lambda jobs: [*shell(script), *jobs],
        unreachable=pattern("nobody there"),
        unanswered=pattern("no answer"),
        no_failure=pattern("no such job"),
        hints=((pattern("bad queue"), "take another"),),
    )


class Naps:
    """Does not wait, and remembers for how long it should have."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def naps() -> Naps:
    return Naps()


def batch(tmp_path: Path, script: str, naps: Naps, **calls: object) -> CommandBatch:
    return CommandBatch(
        speaking(script),
        prefix="ours-",
        folder=tmp_path / "jobs",
        calls=Calls(**calls),  # type: ignore[arg-type]
        pause=naps,
    )


def test_only_jobs_whose_names_begin_so_are_ours(tmp_path: Path, naps: Naps) -> None:
    jobs = batch(tmp_path, "echo ours-1 theirs-1 ours-2", naps).jobs()
    assert [job.id for job in jobs] == ["ours-1", "ours-2"]


def test_a_script_is_kept_for_its_owner_only(tmp_path: Path, naps: Naps) -> None:
    job = batch(tmp_path, 'cat "$2"; echo; echo "id-of-$1"', naps).submit("the script", "ours-1")
    assert job == "id-of-ours-1"
    kept = tmp_path / "jobs" / "ours-1.sh"
    assert kept.read_text() == "the script"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_script_that_cannot_be_written_is_told(tmp_path: Path, naps: Naps) -> None:
    (tmp_path / "jobs").write_text("a file where the folder should be")
    with pytest.raises(SiteError, match="cannot write the job script"):
        batch(tmp_path, "echo 1", naps).submit("", "ours-1")


def test_commands_answer_in_english(tmp_path: Path, naps: Naps) -> None:
    (job,) = batch(tmp_path, "echo ours-$LC_ALL", naps).jobs()
    assert job.name == "ours-C"


def test_a_poll_that_found_nobody_is_tried_again(tmp_path: Path, naps: Naps) -> None:
    count = tmp_path / "count"
    script = f"echo >> {count}; [ $(wc -l < {count}) = 3 ] || {{ echo nobody there >&2; exit 1; }}"
    assert batch(tmp_path, script, naps, backoff_s=2.0).jobs() == []
    assert naps.seconds == [2.0, 4.0]


def test_a_poll_that_fails_is_never_an_empty_list(tmp_path: Path, naps: Naps) -> None:
    with pytest.raises(BatchUnreachableError, match=r"sh failed \(exit code 1\): nobody there"):
        batch(tmp_path, "echo nobody there >&2; exit 1", naps).jobs()
    with pytest.raises(BatchUnreachableError, match="did not answer within"):
        batch(tmp_path, "sleep 60", naps, timeout_s=0.1, tries=1).jobs()
    with pytest.raises(BatchError, match="half an answer"):
        batch(tmp_path, "echo half", naps).jobs()
    with pytest.raises(BatchError, match="unknown user"):
        batch(tmp_path, "echo 'error: unknown user' >&2; exit 0", naps).jobs()


def test_a_banner_on_stderr_is_no_failure(tmp_path: Path, naps: Naps) -> None:
    assert batch(tmp_path, "echo 'Welcome to login1!' >&2", naps).jobs() == []


def test_an_exit_code_may_mean_that_there_are_no_jobs(tmp_path: Path, naps: Naps) -> None:
    dialect = replace(speaking("exit 153"), no_jobs_code=153)
    assert CommandBatch(dialect, prefix="ours-", folder=tmp_path).jobs() == []
    with pytest.raises(BatchError, match="exit code 153"):
        batch(tmp_path, "exit 153", naps).jobs()


def test_a_refused_submit_is_not_tried_again(tmp_path: Path, naps: Naps) -> None:
    with pytest.raises(BatchError, match="bad queue") as caught:
        batch(tmp_path, "echo bad queue >&2; exit 1", naps).submit("", "ours-1")
    assert type(caught.value) is BatchError
    assert caught.value.hint == "take another"
    assert naps.seconds == []


def test_a_submit_that_found_nobody_is_tried_again(tmp_path: Path, naps: Naps) -> None:
    with pytest.raises(BatchUnreachableError):
        batch(tmp_path, "echo nobody there >&2; exit 1", naps).submit("", "ours-1")
    assert naps.seconds == [1.0, 2.0]


@pytest.mark.parametrize(
    "script",
    ["echo 7; sleep 60", "echo no answer >&2; exit 1", "exit 0"],
    ids=["late", "unanswered", "no id"],
)
def test_a_submit_without_an_answer_is_unknown_and_not_repeated(
    tmp_path: Path, naps: Naps, script: str
) -> None:
    calls = tmp_path / "calls"
    asked = batch(tmp_path, f"echo >> {calls}; {script}", naps, timeout_s=1.0)
    with pytest.raises(SubmitUnknownError):
        asked.submit("", "ours-1")
    assert calls.read_text() == "\n"


def test_what_a_late_command_started_is_not_waited_for(tmp_path: Path, naps: Naps) -> None:
    with pytest.raises(BatchUnreachableError):
        batch(tmp_path, "setsid sleep 20 & sleep 60", naps, timeout_s=0.3, tries=1).jobs()


def test_a_late_command_is_killed_with_its_children(tmp_path: Path, naps: Naps) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/child; wait"
    with pytest.raises(BatchUnreachableError):
        batch(tmp_path, script, naps, timeout_s=1.0, tries=1).jobs()
    child = int((tmp_path / "child").read_text())
    until_s = monotonic() + 10.0
    while read_process(child) is not None:
        assert monotonic() < until_s, "the child lives"


def test_a_cancel_of_what_is_gone_is_no_failure(tmp_path: Path, naps: Naps) -> None:
    batch(tmp_path, "echo no such job >&2; exit 1", naps).cancel([JobId("1")])
    batch(tmp_path, "exit 1", naps).cancel([JobId("1")])


def test_a_cancel_that_is_refused_is_told(tmp_path: Path, naps: Naps) -> None:
    with pytest.raises(BatchError, match="not yours"):
        batch(tmp_path, "echo no such job; echo not yours; exit 1", naps).cancel([JobId("1")])


def test_nothing_is_run_to_cancel_nothing(tmp_path: Path, naps: Naps) -> None:
    batch(tmp_path, f"touch {tmp_path}/ran", naps).cancel([])
    assert not (tmp_path / "ran").exists()


def test_many_jobs_are_cancelled_by_few_commands(tmp_path: Path, naps: Naps) -> None:
    jobs: Sequence[JobId] = [JobId(str(number)) for number in range(450)]
    batch(tmp_path, f"echo $# >> {tmp_path}/ran", naps).cancel(jobs)
    assert (tmp_path / "ran").read_text().split() == ["200", "200", "50"]


def test_commands_reach_the_submission_host_as_they_are(tmp_path: Path, naps: Naps) -> None:
    # like ssh, this gives its last argument to a shell
    remote = ("sh", "-c", 'exec sh -c "$1"', "ssh")
    asked = batch(tmp_path, 'echo "ours-it\'s"; echo "ours-$(echo \'&\')"', naps, remote=remote)
    assert [job.name for job in asked.jobs()] == ["ours-it's", "ours-&"]


def test_a_submit_whose_connection_broke_is_unknown(tmp_path: Path, naps: Naps) -> None:
    asked = batch(tmp_path, "exit 255", naps, remote=("sh", "-c"))
    with pytest.raises(SubmitUnknownError):
        asked.submit("", "ours-1")
    with pytest.raises(BatchUnreachableError):
        asked.jobs()
    with pytest.raises(BatchUnreachableError):
        asked.cancel([JobId("1")])


def test_a_command_that_is_not_installed_is_told(tmp_path: Path) -> None:
    dialect = replace(speaking(""), list_jobs=("no-such-squeue",))
    with pytest.raises(BatchError, match="no-such-squeue") as caught:
        CommandBatch(dialect, prefix="", folder=tmp_path).jobs()
    assert "on the PATH" in caught.value.hint


def test_the_end_of_what_a_job_said_is_kept(tmp_path: Path, naps: Naps) -> None:
    asked = batch(tmp_path, "echo 1", naps)
    assert asked.last_words("ours-1") == ""
    asked.submit("", "ours-1")
    (tmp_path / "jobs" / "ours-1.err").write_text("x" * 10_000 + "\nno such module\n")
    assert asked.last_words("ours-1").endswith("\nno such module")
    assert len(asked.last_words("ours-1")) <= 4000


def test_an_unknown_batch_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="no batch system 'slrum'") as caught:
        open_batch("slrum", prefix="", folder=tmp_path)
    assert "slurm" in caught.value.hint
