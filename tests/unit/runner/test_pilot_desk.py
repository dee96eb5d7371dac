"""The runner's side of pilots: bad hosts are written down and take nothing new."""

from pathlib import Path
from typing import Any

import pytest

from euclid_dask import __version__
from euclid_dask.core.attempts import Failure, FailureKind
from euclid_dask.core.events import (
    HostQuarantined,
    PilotAway,
    PilotJoined,
    PilotLeft,
    PilotQueued,
    PilotRequested,
    PilotStarting,
    TaskErred,
    TaskSucceeded,
)
from euclid_dask.core.ids import PilotId, TaskId
from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.states import PilotState
from euclid_dask.planner import Fleet, decide
from euclid_dask.report.pilots import pilots_text
from euclid_dask.runner.journal import read_pilots
from euclid_dask.runner.pilots import PilotDesk
from euclid_dask.sim import Outcome, World, begin
from euclid_dask.sim.flows import body, flow, out, task


class Supply:
    """Notes the hosts to be avoided by pilots, and whom it is to let go."""

    def __init__(self) -> None:
        self.avoided: list[tuple[str, ...]] = []
        self.retired: list[PilotId] = []
        self.cancelled: list[PilotId] = []

    def retire(self, pilot: PilotId, reason: str, *, joined: bool) -> None:
        self.retired.append(pilot)
        if not joined:
            self.cancelled.append(pilot)

    def request(self, pilot: PilotId, template: str, avoid: tuple[str, ...] = ()) -> None:
        self.avoided.append(avoid)


class Clock:
    def now_s(self) -> float:
        return 100.0


@pytest.fixture
def desk(tmp_path: Path) -> PilotDesk:
    supply: Any = None
    return PilotDesk(tmp_path / "pilots.jsonl", supply, Fleet(), Clock())


def join(
    desk: PilotDesk, pilot: str, host: str, at_s: float = 1.0, version: str = __version__
) -> None:
    offer = Resources(cores=1)
    desk.record(
        PilotJoined(
            pilot=PilotId(pilot), offer=offer, slots=1, host=host, version=version, at_s=at_s
        )
    )


def test_a_pilot_that_was_given_up_is_told_to_end_when_it_comes(tmp_path: Path) -> None:
    supply: Any = Supply()
    desk = PilotDesk(tmp_path / "pilots.jsonl", supply, Fleet(), Clock())
    desk.record(PilotRequested(pilot=PilotId("p"), template="light", at_s=0.0))
    join(desk, "p", "n1")
    desk.record(PilotLeft(pilot=PilotId("p"), reason="its lease is over", at_s=2.0))
    assert desk.carry_out() == []
    join(desk, "p", "n1", at_s=3.0)
    assert not desk.fleet.pilots
    assert [one.pilot for one in desk.carry_out()] == ["p"]
    assert supply.retired == ["p"]
    desk.sync()
    again = PilotDesk(tmp_path / "pilots.jsonl", supply, Fleet(), Clock())
    join(again, "p", "n1", at_s=4.0)
    assert not again.fleet.pilots


def test_pilots_with_another_version_are_starts_that_failed(tmp_path: Path) -> None:
    supply: Any = Supply()
    offer = Resources(cores=4, ram_bytes=8 * GB, walltime_s=1e6)
    light = PilotTemplate(name="light", offer=offer, slots=4, max_running=4)
    desk = PilotDesk(tmp_path / "pilots.jsonl", supply, Fleet(templates={"light": light}), Clock())
    for name in "pqr":
        pilot = PilotId(name)
        desk.record(PilotRequested(pilot=pilot, template="light", at_s=90.0))
        if name != "p":
            desk.record(PilotQueued(pilot=pilot, at_s=91.0))
        if name == "r":
            desk.record(PilotStarting(pilot=pilot, host="node1", at_s=92.0))
        join(desk, name, "n1", at_s=-1e6, version="9.9")  # by a clock that is wrong
        assert desk.fleet.pilots[pilot].state is PilotState.DRAINING
        join(desk, name, "n1", at_s=94.0, version="9.9")
        desk.record(PilotLeft(pilot=pilot, reason="its job was cancelled", at_s=95.0))
    told = {one.pilot: one.reason for one in desk.carry_out()}
    assert set(told) == set(supply.retired) == {"p", "q", "r"}
    reason = (
        f"on n1 it has euclid_dask 9.9, but the runner has {__version__}: "
        "install the same version for both"
    )
    assert set(told.values()) == {reason}
    paused = f"pilots: no more 'light' for now, since 3 did not start: {reason}"
    assert pilots_text(desk.fleet, 101.0) == paused
    desk.sync()
    again = PilotDesk(tmp_path / "pilots.jsonl", supply, Fleet(templates={"light": light}), Clock())
    assert pilots_text(again.fleet, 101.0) == paused


def test_a_pilot_that_comes_back_to_another_version_only_finishes_its_work(tmp_path: Path) -> None:
    supply: Any = Supply()
    desk = PilotDesk(tmp_path / "pilots.jsonl", supply, Fleet(), Clock())
    desk.record(PilotRequested(pilot=PilotId("p"), template="light", at_s=0.0))
    join(desk, "p", "n1")
    desk.record(PilotAway(pilot=PilotId("p"), reason="no word", at_s=2.0))
    join(desk, "p", "n1", at_s=3.0, version="9.9")
    assert desk.fleet.pilots[PilotId("p")].state is PilotState.DRAINING
    assert [one.pilot for one in desk.carry_out()] == ["p"]
    assert supply.cancelled == []
    assert desk.fleet.starts["light"].failures == 0
    desk.sync()
    events = read_pilots(tmp_path / "pilots.jsonl")
    assert not any(isinstance(event, PilotStarting) for event in events)


def test_a_pilot_with_another_version_that_nobody_asked_for_is_told_to_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    supply: Any = Supply()
    desk = PilotDesk(tmp_path / "pilots.jsonl", supply, Fleet(), Clock())
    join(desk, "p", "n1", version="9.9")
    assert not desk.fleet.pilots
    assert [one.pilot for one in desk.carry_out()] == ["p"]
    assert "pilot p is told to end: on n1 it has euclid_dask 9.9" in caplog.text


def test_a_pilot_that_does_not_tell_its_version_is_taken(desk: PilotDesk) -> None:
    join(desk, "p", "n1", version="")
    assert desk.fleet.pilots[PilotId("p")].state is PilotState.UP


def test_a_host_that_failed_its_own_test_is_quarantined(desk: PilotDesk, tmp_path: Path) -> None:
    join(desk, "o", "n2")
    desk.record(PilotLeft(pilot=PilotId("p"), reason="no disk", unfit="n1", at_s=1.0))
    join(desk, "q", "n1")
    assert not desk.fleet.takes_work(desk.fleet.pilots[PilotId("q")], 101.0)
    assert pilots_text(desk.fleet, 101.0) == "pilots: nothing more on host n1 for now: no disk"
    assert pilots_text(desk.fleet, 1e9) == ""
    desk._journal.sync()
    (bad,) = [one for one in read_pilots(tmp_path / "pilots.jsonl") if _is_bad(one)]
    assert (bad.host, bad.until_s) == ("n1", 3700.0)


def test_hosts_are_not_blamed_for_a_trouble_that_all_have(desk: PilotDesk, tmp_path: Path) -> None:
    def fail(host: str) -> None:
        pilot = PilotId(f"of-{host}")
        desk.record(PilotLeft(pilot=pilot, reason="sourcing failed", unfit=host, at_s=1.0))

    for host in ("n1", "n2", "n3"):
        fail(host)
    assert not desk.fleet.quarantined, "none is known that is fit"
    join(desk, "o", "n4")
    desk.fleet.apply(PilotAway(pilot=PilotId("o"), reason="no word", at_s=2.0))
    fail("n1")
    join(desk, "o", "n4", at_s=3.0)
    fail("n2")
    assert list(desk.fleet.quarantined) == ["n1"], "a pilot that comes back has not tested again"
    desk._journal.sync()
    again: Any = None
    desk = PilotDesk(tmp_path / "pilots.jsonl", again, Fleet(), Clock())
    fail("n3")
    assert list(desk.fleet.quarantined) == ["n1"]
    join(desk, "q", "n5")
    fail("n3")
    assert list(desk.fleet.quarantined) == ["n1", "n3"]


def test_a_host_where_tasks_fail_by_the_machine_is_quarantined(desk: PilotDesk) -> None:
    join(desk, "p", "n1")
    join(desk, "q", "n2")
    failure = Failure(kind=FailureKind.SYSTEM, message="no more processes")
    task = TaskId("a")
    for _ in range(3):
        desk.learn(TaskErred(task=task, attempt=1, failure=failure, at_s=2.0), PilotId("p"))
        desk.learn(TaskSucceeded(task=task, attempt=1, at_s=3.0), PilotId("q"))
    assert list(desk.fleet.quarantined) == ["n1"]
    desk.learn(TaskSucceeded(task=task, attempt=1, at_s=3.0), None)


def test_new_pilots_are_kept_off_bad_hosts(tmp_path: Path) -> None:
    supply: Any = Supply()
    offer = Resources(cores=4, ram_bytes=8 * GB, walltime_s=1e6)
    light = PilotTemplate(name="light", offer=offer, slots=4, max_running=4)
    desk = PilotDesk(tmp_path / "pilots.jsonl", supply, Fleet(templates={"light": light}), Clock())
    join(desk, "o", "n2")
    desk.record(PilotLeft(pilot=PilotId("o"), reason="over", at_s=1.0))
    desk.record(PilotRequested(pilot=PilotId("p"), template="light", at_s=1.0))
    desk.record(PilotStarting(pilot=PilotId("p"), host="n1", at_s=2.0))
    desk.record(PilotLeft(pilot=PilotId("p"), reason="no disk", unfit="n1.eu", at_s=3.0))
    world = World(lambda *_: Outcome())
    active = begin(world, flow(body(task("a"), result=out("a"))), tmp_path / "w")
    decide([active.run], desk.fleet, {}, 100.0)
    desk.decide([active.run])
    desk.carry_out()
    assert supply.avoided == [("n1",)]


def _is_bad(event: Any) -> bool:
    return isinstance(event, HostQuarantined)
