"""The line of shell by which a job is cancelled."""

import pytest

from euclid_dask.core.ids import JobId
from euclid_dask.pilots.batch.systems import cancel_line
from euclid_dask.worker import procfs


def test_a_job_of_this_host_is_cancelled_by_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    process = procfs.Process(7, 1, 7, 7, 1, 0.0, 0, dead=False)
    monkeypatch.setattr(procfs, "marked", lambda _: [process])
    assert cancel_line("local", JobId("local-1")) == "kill 7"


def test_a_job_of_a_batch_system_is_cancelled_by_its_command() -> None:
    assert cancel_line("slurm", JobId("12")) == "scancel 12"
