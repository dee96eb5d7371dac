"""What is told of processes that are killed; that they are is tested in tests/integration."""

import pytest

from euclid_dask.worker.leftovers import sentence


@pytest.mark.parametrize(
    ("task", "command", "told"),
    [
        ("t", "sleep 84", "a process of task 't' still ran and is killed: sleep 84"),
        ("t", "", "a process of task 't' still ran and is killed"),
        ("", "sleep 84", "a process still ran and is killed: sleep 84"),
        ("", "", ""),
    ],
)
def test_of_a_process_that_is_killed_only_what_is_known_is_told(
    task: str, command: str, told: str
) -> None:
    assert sentence(task, command) == told
