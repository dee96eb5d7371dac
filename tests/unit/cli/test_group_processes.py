"""Processes of groups: what is made of one that tells nothing."""

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from euclid_dask.api.campaigns import Row
from euclid_dask.cli.group_processes import GroupProcesses
from euclid_dask.data.grouping import Group

GROUP = Group(values=("1",), folder="1", asked={})


def processes(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> GroupProcesses:
    """Return processes that carry out `script` in place of Python."""
    python = directory / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    return GroupProcesses([], lambda _: None)


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Have signals heard that `nohup` or a background job has what it starts ignore."""
    before = {one: signal.signal(one, signal.SIG_DFL) for one in (signal.SIGHUP, signal.SIGTERM)}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


def test_what_a_signal_ends_while_it_starts_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    script = f"sleep 600 & trap 'kill $!; exit 1' TERM; echo > {begun}; wait"
    ours = processes(tmp_path, script, monkeypatch)
    with ThreadPoolExecutor(1) as pool, ours.passing_signals():
        row = pool.submit(ours.carry_out, GROUP)
        begun.read_text()
        os.kill(os.getpid(), signal.SIGTERM)
        assert row.result(60) == Row(group=GROUP, state="cancelled")
        assert ours.interrupted
        assert pool.submit(ours.carry_out, GROUP).result(60).state == "planned"


@pytest.mark.parametrize("end", ["exit 130", "kill -TERM $$", "kill -HUP $$"])
def test_a_process_that_something_else_interrupts_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    row = processes(tmp_path, end, monkeypatch).carry_out(GROUP)
    assert row == Row(group=GROUP, state="cancelled")


def test_a_process_that_fails_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = processes(tmp_path, "echo no >&2; exit 3", monkeypatch).carry_out(GROUP)
    assert row == Row(group=GROUP, state="failed", error="its process ended with 3: no")
