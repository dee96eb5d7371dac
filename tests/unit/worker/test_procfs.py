"""Processes as /proc shows them."""

import pytest

from euclid_dask.worker import procfs


def test_a_marked_process_is_found_though_it_is_about_to_become_another_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    processes = [procfs.Process(pid, 1, pid, pid, 1, 0.0, 0, dead=False) for pid in (7, 8, 9)]
    shown = {
        7: iter([b"\0\0", b"\0A=1\0B=2\0"]),  # while it does, it shows nothing
        8: iter([b"\0A=1\0\0"]),
        9: iter([b"\0\0", b"\0\0"]),
    }
    monkeypatch.setattr(procfs, "living", lambda: iter(processes))
    monkeypatch.setattr(procfs, "_environment", lambda pid: next(shown[pid]))
    assert {process.pid for process in procfs.marked({"A": "1"})} == {7, 8}
