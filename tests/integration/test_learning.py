"""A run knows from those before how long its tasks take."""

import sqlite3
from pathlib import Path

import pytest

from euclid_dask import Executable, Output, api, pipeline
from euclid_dask.planner.estimates import Duration
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.loop import Runner

nap = Executable(
    "sh -c 'sleep 0.1; echo > nap/done.txt'", outputs=[Output("done", mime_type="txt")]
)
work = Executable(
    "sh -c 'test -e ready && echo > work/o.txt'", outputs=[Output("o", mime_type="txt")]
)


@pipeline(outputs=("done",))
def rest():
    return nap()


@pipeline(outputs=("o", "done"))
def both():
    return work(), nap()


def known_at_start(workdir: Path, profiles: Path | None = None) -> dict[str, Duration]:
    """Run the pipeline and return what was known when it began."""
    known: dict[str, Duration] = {}

    def on_start(active: ActiveRun, runner: Runner) -> None:
        estimated = active.run.durations.items()
        known.update({key.split()[0]: Duration(**_values(one)) for key, one in estimated})

    settings = api.Settings(executor="inline", fresh=True, profiles=profiles, on_start=on_start)
    assert api.run(rest, workdir=workdir, settings=settings).state == "done"
    return known


def _values(one: Duration) -> dict[str, float]:
    return {name: getattr(one, name) for name in ("count", "mean_s", "mean_log", "squares_log")}


def test_the_second_run_knows_what_the_first_one_took(tmp_path: Path) -> None:
    assert known_at_start(tmp_path / "w") == {}
    assert (tmp_path / "w/.euclid-dask/profiles.sqlite").is_file()
    second = known_at_start(tmp_path / "w")["nap"]
    assert second.count == 1
    assert 0.1 < second.mean_s < 60
    assert known_at_start(tmp_path / "w")["nap"].count == 2


def test_a_chosen_file_serves_many_workdirs(tmp_path: Path) -> None:
    known_at_start(tmp_path / "w1", tmp_path / "p.sqlite")
    assert known_at_start(tmp_path / "w2", tmp_path / "p.sqlite")["nap"].count == 1
    assert not (tmp_path / "w1/.euclid-dask/profiles.sqlite").exists()


def test_a_run_that_failed_is_kept_and_resumed_without_counting_twice(tmp_path: Path) -> None:
    settings = api.Settings(executor="inline")
    first = api.run(both, workdir=tmp_path, settings=settings)
    assert first.state == "failed"
    (tmp_path / "ready").touch()
    again = api.resume(tmp_path, settings=settings)
    assert (again.id, again.state) == (first.id, "done")
    key = again.run.duration_key(next(k for k in again.run.flow.executables if "nap" in k))
    assert again.run.durations[key].count == 1


def test_a_store_that_is_damaged_costs_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "p.sqlite").write_text("nonsense, and more than a hundred bytes of it " * 10)
    assert known_at_start(tmp_path / "w", tmp_path / "p.sqlite") == {}
    assert "cannot use the profiles" in caplog.text


def test_a_store_that_another_holds_for_long_is_waited_for_and_costs_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("euclid_dask.runner.profiles.WAIT_S", 0.1)
    known_at_start(tmp_path / "w1", tmp_path / "p.sqlite")
    holder = sqlite3.connect(tmp_path / "p.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert known_at_start(tmp_path / "w2", tmp_path / "p.sqlite") == {}
    assert "locked" in caplog.text
    holder.close()
