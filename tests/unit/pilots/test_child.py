"""The process that a supervisor keeps running."""

import os
import select
import signal
import subprocess
from math import inf
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any

import pytest

from euclid_dask.pilots.child import Child


def _until_ready(child: Child) -> None:
    poll = select.poll()
    poll.register(child.handle, select.POLLIN)
    assert poll.poll(60_000)


def _until_started(child: Child) -> None:
    while child.handle < 0:
        select.poll().poll(5)
        child.attend()
    _until_ready(child)
    child.attend()


def test_a_child_that_ends_at_once_is_started_again_ever_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 100.0
    monkeypatch.setattr("euclid_dask.pilots.child.monotonic", lambda: now_s)
    child = Child(["true"], {})
    pauses = []
    for _ in range(3):
        _until_started(child)
        while child.pid:
            assert child.due_s == inf
            _until_ready(child)
            child.attend()
        pauses.append(child.due_s - now_s)
        now_s = child.due_s
    first, second, third = pauses
    assert 0.1 < first < second < third


def test_a_child_that_was_killed_for_good_is_not_started_again() -> None:
    child = Child(["sleep", "60"], {"EUCLID_DASK_TEST": "1"})
    _until_started(child)
    pid = child.pid
    child.kill()
    child.attend()
    assert (child.due_s, child.handle, child.pid) == (inf, -1, 0)
    assert not Path(f"/proc/{pid}").exists()


def test_a_child_stays_in_the_session_of_its_supervisor() -> None:
    child = Child(["sleep", "60"], {})
    _until_started(child)
    assert os.getsid(child.pid) == os.getsid(0)
    child.kill()


def test_a_command_that_cannot_be_started_is_tried_again() -> None:
    child = Child(["/nowhere/program"], {})
    _until_started(child)
    assert child.pid == 0
    assert 0.0 < child.due_s < inf


def test_a_program_that_hangs_before_it_runs_is_waited_for_by_nobody() -> None:
    held, launched = Event(), SimpleQueue[Any]()

    def launch(*words: Any, **options: Any) -> "subprocess.Popen[bytes]":
        assert held.wait(60)
        process = subprocess.Popen(*words, **options)
        launched.put(process)
        return process

    child = Child(["sleep", "60"], {}, launch)
    child.attend()
    child.attend()
    assert (child.due_s, child.pid) == (inf, 0)
    child.kill()
    assert (child.due_s, child.handle) == (inf, -1)
    held.set()
    assert launched.get(timeout=60).wait(60) == -signal.SIGKILL
