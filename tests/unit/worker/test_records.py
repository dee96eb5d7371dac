"""Started records and receipts."""

import os
from pathlib import Path

import pytest

from euclid_dask.core.attempts import Place, Receipt
from euclid_dask.core.ids import RunId, TaskId
from euclid_dask.worker import records

TASK = TaskId("a.iterations.2.b")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(run=RunId("r"), workdir=str(tmp_path), logdir="l", records=f"{tmp_path}/deep/r")


def _claim(place: Place, attempt: int = 1) -> int:
    started = records.Started(task=TASK, attempt=attempt, host="h", worker_pid=7, at_s=1.0)
    return records.claim(place, started)


def test_an_attempt_is_claimed_once(place: Place) -> None:
    os.close(_claim(place))
    with pytest.raises(records.AlreadyStartedError):
        _claim(place)


def test_a_started_record_tells_host_and_process(place: Place) -> None:
    file = _claim(place)
    records.note_pid(file, 1234)
    os.close(file)
    found = records.read_started(place.records, TASK, 1)
    assert found is not None
    assert (found.host, found.worker_pid, found.pid) == ("h", 7, 1234)


def test_a_torn_started_record_still_says_that_the_attempt_was_started(place: Place) -> None:
    os.close(_claim(place, 3))
    path = Path(records.started_path(place.records, TASK, 3))
    path.write_bytes(path.read_bytes()[:10])
    found = records.read_started(place.records, TASK, 3)
    assert found is not None
    assert found.host == ""


def test_a_receipt_is_read_back(place: Place) -> None:
    receipt = Receipt(task=TASK, attempt=2, host="h", warnings=("careful",))
    records.write_receipt(place, receipt)
    assert records.read_receipt(place.records, TASK, 2) == receipt
    assert len(list(Path(place.records).iterdir())) == 1


def test_a_receipt_that_cannot_be_read_counts_as_none(place: Place) -> None:
    Path(place.records).mkdir(parents=True)
    Path(records.receipt_path(place.records, TASK, 1)).write_bytes(b'{"task": ')
    assert records.read_receipt(place.records, TASK, 1) is None


def test_without_records_nothing_was_started(place: Place) -> None:
    assert records.read_receipt(place.records, TASK, 1) is None
    assert records.read_started(place.records, TASK, 1) is None
