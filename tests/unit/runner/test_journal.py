"""The journal: whole lines, torn lines, damaged lines, and journals of every version."""

import errno
import os
import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from euclid_dask.core.attempts import Place
from euclid_dask.core.errors import JournalError, WorkdirError
from euclid_dask.core.events import JOURNAL_VERSION, CancelRequested, RunEvent, RunStarted
from euclid_dask.core.flow import Body, Flow
from euclid_dask.core.ids import RunId
from euclid_dask.core.states import RunState, SplitState, TaskState
from euclid_dask.core.values import replace
from euclid_dask.planner import Run
from euclid_dask.runner.earlier import earlier_runs
from euclid_dask.runner.history import replay
from euclid_dask.runner.journal import Journal, read_journal
from euclid_dask.runner.workspace import Workspace

GOLDEN = Path(__file__).parents[2] / "golden"
STARTED = RunStarted(
    run=RunId("r"),
    flow=Flow(name="f", executables={}, body=Body()),
    inputs={},
    place=Place(run=RunId("r"), workdir="/w", logdir="logs", records="/w/r"),
    journal_version=JOURNAL_VERSION,
    at_s=1.0,
)
EVENTS: list[RunEvent] = [
    STARTED,
    CancelRequested(at_s=2.0, reason="one"),
    CancelRequested(at_s=3.0, reason="zwei ü"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a journal with three events."""
    path = tmp_path / "journal.jsonl"
    journal = Journal.create(path, STARTED)
    for event in EVENTS[1:]:
        journal.append(event)
    journal.sync()
    journal.close()
    return path


def test_events_are_read_back_as_they_were_written(path: Path) -> None:
    assert list(read_journal(path)) == EVENTS


def test_an_event_is_on_disk_only_after_sync(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal.create(path, STARTED)
    journal.append(EVENTS[1])
    assert len(path.read_bytes().splitlines()) == 1
    journal.sync()
    journal.sync()
    assert len(path.read_bytes().splitlines()) == 2
    journal.close()


def test_a_journal_appears_with_its_first_line_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"

    def full(_: int) -> None:
        assert not path.exists()
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(OSError, match="full"):
        Journal.create(path, STARTED)
    assert list(tmp_path.iterdir()) == []


def test_a_journal_that_was_removed_takes_no_more(path: Path) -> None:
    journal = Journal.reopen(path)
    path.unlink()
    journal.append(EVENTS[1])
    with pytest.raises(FileNotFoundError, match="somebody removed the journal"):
        journal.sync()
    journal.close()


def test_a_sync_returns_when_all_lines_are_on_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk: list[bytes] = []
    monkeypatch.setattr(os, "fdatasync", lambda _: on_disk.append(path.read_bytes()))
    journal = Journal.reopen(path)
    journal.append(EVENTS[1])
    assert on_disk == []
    journal.sync()
    journal.close()
    assert on_disk == [path.read_bytes()]


def test_a_journal_is_created_once(path: Path) -> None:
    with pytest.raises(FileExistsError):
        Journal.create(path, STARTED)


def test_a_last_line_torn_at_any_byte_is_left_out_and_cut_off(path: Path) -> None:
    content = path.read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    for length in range(last, len(content)):
        path.write_bytes(content[:length])
        assert list(read_journal(path)) == EVENTS[:2]
        journal = Journal.reopen(path)
        journal.append(EVENTS[2])
        journal.sync()
        journal.close()
        assert path.read_bytes() == content


def test_a_journal_of_one_torn_line_tells_of_no_run(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])
    assert list(read_journal(path)) == []
    with pytest.raises(WorkdirError, match="the run was never started"):
        replay(path)
    Journal.reopen(path).close()
    assert path.read_bytes() == b""


def test_a_last_line_longer_than_a_block_is_cut_off(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + b"x" * 200_000)
    Journal.reopen(path).close()
    assert path.read_bytes() == whole


def test_a_damaged_line_in_the_middle_is_named(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"event":"Cancel\n' + lines[2])
    with pytest.raises(JournalError, match=r"journal\.jsonl:2: not an event") as caught:
        list(read_journal(path))
    assert "work finished before that line is not lost" in caught.value.hint


def test_a_journal_that_does_not_begin_with_a_start_is_refused(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    with pytest.raises(JournalError, match="begins with RunStarted"):
        list(read_journal(path))


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal.create(path, replace(STARTED, journal_version=JOURNAL_VERSION + 1))
    journal.sync()
    journal.close()
    with pytest.raises(JournalError, match=f"journal of version {JOURNAL_VERSION + 1}"):
        list(read_journal(path))


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_what_a_full_disk_did_not_take_is_written_later(path: Path) -> None:
    before = path.read_bytes()
    journal = Journal.reopen(path)
    journal.append(EVENTS[1])
    with full_disk(len(before) + 10), pytest.raises(OSError, match="File too large"):
        journal.sync()
    assert path.read_bytes() == before
    journal.sync()
    journal.close()
    assert list(read_journal(path)) == [*EVENTS, EVENTS[1]]


def test_a_journal_of_version_1_is_read(validate: Callable[[Run], None]) -> None:
    run = replay(GOLDEN / "journal-v1.jsonl")
    validate(run)
    assert run.state is RunState.FAILED
    assert Counter(task.state for task in run.tasks.values()) == {
        TaskState.DONE: 6,
        TaskState.FAILED: 1,
        TaskState.BLOCKED: 1,
    }
    assert [split.state for split in run.splits.values()] == [SplitState.DONE]
    assert run.outputs() == {"list": "each.reduce/tuplelist.json"}


def test_journals_that_cannot_be_read_know_of_no_work(tmp_path: Path, path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    for name in ("f-1-a", "f-2-b"):
        workspace.files(RunId(name)).folder.mkdir(parents=True)
    os.link(path, workspace.files(RunId("f-1-a")).journal)
    workspace.files(RunId("f-2-b")).journal.write_text("nonsense\n")
    good, bad = earlier_runs(workspace)
    assert good.replayed().id == "r"
    assert bad.read() == {}
