"""The process that a supervisor keeps running."""

import os
import select
from math import inf

from euclid_dask.pilots.child import Child


def _until_ended(child: Child) -> None:
    poll = select.poll()
    poll.register(child.handle, select.POLLIN)
    assert poll.poll(20_000)


def test_a_child_that_ends_at_once_is_started_again_ever_later() -> None:
    child = Child(["true"], {})
    pauses = []
    for _ in range(3):
        while child.handle < 0:
            select.poll().poll(5)
            child.attend()
        assert child.due_s == inf
        _until_ended(child)
        before_s = child.due_s
        child.attend()
        assert before_s > child.due_s
        pauses.append(child.due_s)
    first, second, third = pauses
    assert second - first > 0.2
    assert third - second > second - first


def test_a_child_that_was_killed_for_good_is_not_started_again() -> None:
    child = Child(["sleep", "60"], {"EUCLID_DASK_TEST": "1"})
    child.attend()
    child.kill()
    child.attend()
    assert (child.due_s, child.handle) == (inf, -1)


def test_a_child_stays_in_the_session_of_its_supervisor() -> None:
    child = Child(["sleep", "60"], {})
    child.attend()
    fields = os.read(os.open(f"/proc/self/fdinfo/{child.handle}", os.O_RDONLY), 4096).decode()
    pid = int(next(line.split()[1] for line in fields.splitlines() if line.startswith("Pid:")))
    assert os.getsid(pid) == os.getsid(0)
    child.kill()


def test_a_command_that_cannot_be_started_is_tried_again() -> None:
    child = Child(["/nowhere/program"], {})
    child.attend()
    assert 0.0 < child.due_s < inf
