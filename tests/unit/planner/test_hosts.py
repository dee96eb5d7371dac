"""Bad hosts: where attempts are lost or failed by the machine, one after the other."""

from euclid_dask.core.attempts import Failure, FailureKind
from euclid_dask.core.events import HostQuarantined, RunEvent, TaskErred, TaskLost, TaskSucceeded
from euclid_dask.core.ids import PilotId, TaskId
from euclid_dask.core.rules import Rules
from euclid_dask.planner.hosts import Hosts

RULES = Rules(max_troubles=3, quarantine_s=600.0)
A = TaskId("a")


def done(at_s: float) -> TaskSucceeded:
    return TaskSucceeded(task=A, attempt=1, at_s=at_s)


def erred(at_s: float, kind: FailureKind = FailureKind.SYSTEM) -> TaskErred:
    failure = Failure(kind=kind, message="no more processes")
    return TaskErred(task=A, attempt=1, failure=failure, at_s=at_s)


def lost(at_s: float, *, expired: bool = False) -> TaskLost:
    return TaskLost(task=A, attempt=1, reason="it died", expired=expired, at_s=at_s)


def learn(hosts: Hosts, *facts: tuple[RunEvent, str, str]) -> list[HostQuarantined]:
    """Have ends of attempts (event, host, pilot) happen; return what is quarantined."""
    found = (hosts.learn(event, host, PilotId(pilot), RULES) for event, host, pilot in facts)
    return [one for one in found if one is not None]


def test_troubles_in_a_row_quarantine_a_host_for_a_time() -> None:
    facts = [(erred(1.0), "bad", "p"), (done(2.0), "good", "q")]
    facts += [(lost(3.0), "bad", "p"), (erred(4.0), "bad", "p")]
    reason = "3 troubles in a row; no more processes"
    assert learn(Hosts(), *facts) == [
        HostQuarantined(host="bad", reason=reason, until_s=604.0, at_s=4.0)
    ]


def test_a_success_ends_a_row() -> None:
    hosts = Hosts()
    bad = (erred(3.0), "bad", "p")
    assert not learn(hosts, bad, (done(4.0), "good", "q"), bad, (done(5.0), "bad", "p"), bad)
    assert not learn(hosts, (done(6.0), "good", "q"), bad)
    assert learn(hosts, bad)
    assert not learn(hosts, bad), "it begins anew"


def test_what_happens_everywhere_is_no_hosts_fault() -> None:
    hosts = Hosts()
    assert not learn(hosts, (done(1.0), "good", "q"), *[(erred(2.0), "bad", "p")] * 9)
    assert not learn(hosts, *[(erred(2.0), "good", "q")] * 9)


def test_a_lost_pilot_is_one_trouble_whatever_ran_there() -> None:
    hosts = Hosts()
    assert not learn(hosts, *[(lost(1.0), "bad", "p")] * 9, (done(2.0), "good", "q"))
    assert learn(hosts, (lost(3.0), "bad", "p2"), (lost(3.0), "bad", "p3"))


def test_other_ends_are_no_trouble() -> None:
    hosts = Hosts()
    facts = [(erred(1.0, FailureKind.EXIT), "bad", "p"), (lost(1.0, expired=True), "bad", "p")]
    facts += [(lost(1.0), "", "p")]
    assert not learn(hosts, (done(2.0), "good", "q"), *facts * 9)
