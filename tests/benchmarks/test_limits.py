"""The benchmark of limits: it reports every hog, and all are killed, whatever it took."""

import json

import pytest

from benchmarks import limits


@pytest.mark.slow
def test_every_hog_is_killed_and_reported(capsys):
    code = limits.main(["--repeats", "1", "--grace", "0.2", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert set(told["hogs"]) == {"ram", "stubborn", "daemon"}
    assert [(one["runs"], one["killed"]) for one in told["hogs"].values()] == [(1, 1)] * 3
    latest_s = max(one["max_s"] for one in told["hogs"].values())
    assert code == (latest_s > told["target_s"])


def test_one_that_is_not_killed_is_told_and_missed(capsys, monkeypatch):
    taken = iter([0.5, 1.5, float("inf")])
    monkeypatch.setattr(limits, "killed_after_s", lambda *_: next(taken))
    assert limits.main(["--repeats", "1"]) == 1
    _, *rows, _ = capsys.readouterr().out.splitlines()
    assert [row.split()[-2:] for row in rows] == [["1", "killed"], ["1", "killed"], ["0", "killed"]]
    assert "not killed" in rows[-1]
