"""The lives of pilots, and what is learned from them."""

from math import inf
from typing import Any

import pytest

from euclid_dask.core.events import (
    FleetOpened,
    HostQuarantined,
    PilotAway,
    PilotDraining,
    PilotEvent,
    PilotJoined,
    PilotLeft,
    PilotQueued,
    PilotRequested,
    PilotStarting,
    PilotSubmitted,
)
from euclid_dask.core.ids import JobId, PilotId, RunId, TaskId
from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.values import json_reader, replace, to_json
from euclid_dask.planner.fleet import Fleet, Starts

LIGHT = PilotTemplate(
    name="light",
    offer=Resources(cores=2, ram_bytes=4 * GB, walltime_s=3600.0),
    slots=8,
    max_running=4,
)


def fleet_of(*events: PilotEvent) -> Fleet:
    fleet = Fleet(templates={"light": LIGHT})
    for event in events:
        fleet.apply(event)
    return fleet


def requested(name: str = "light-1", at_s: float = 0.0) -> PilotRequested:
    return PilotRequested(pilot=PilotId(name), template="light", at_s=at_s)


def joined(name: str = "light-1", at_s: float = 100.0, **fields: Any) -> PilotJoined:
    return PilotJoined(
        pilot=PilotId(name),
        offer=Resources(cores=2, ram_bytes=4 * GB),
        slots=8,
        until_s=at_s + 3500.0,
        at_s=at_s,
        **fields,
    )


def test_a_pilot_that_was_requested_and_has_left_never_joins_again() -> None:
    left = PilotLeft(pilot=PilotId("light-1"), reason="its lease is over", at_s=200.0)
    fleet = fleet_of(requested(), joined(), left, joined(at_s=300.0))
    assert fleet.pilots == {}
    fleet = fleet_of(joined("tcp://1"), PilotLeft(pilot=PilotId("tcp://1"), reason="", at_s=2.0))
    fleet.apply(joined("tcp://1"))
    assert list(fleet.pilots) == ["tcp://1"]


def test_a_pilot_is_followed_from_its_request_to_its_end() -> None:
    name = PilotId("light-1")
    seen = []
    fleet = fleet_of()
    for event in (
        requested(),
        PilotSubmitted(pilot=name, job=JobId("17"), at_s=1.0),
        PilotQueued(pilot=name, reason="Priority", at_s=2.0),
        PilotQueued(pilot=name, reason="Resources", at_s=3.0),
        PilotStarting(pilot=name, host="n1", at_s=90.0),
        joined(),
        PilotAway(pilot=name, reason="no heartbeat", at_s=200.0),
        joined(at_s=300.0, carrying=((RunId("r"), TaskId("a"), 1),)),
        PilotDraining(pilot=name, reason="not needed", at_s=400.0),
        joined(at_s=410.0),
    ):
        fleet.apply(event)
        pilot = fleet.pilots[name]
        seen.append((str(pilot.state), pilot.reason, pilot.since_s))
    assert seen == [
        ("requested", "", 0.0),
        ("requested", "", 0.0),
        ("queued", "Priority", 2.0),
        ("queued", "Resources", 2.0),
        ("starting", "", 90.0),
        ("up", "", 100.0),
        ("away", "no heartbeat", 200.0),
        ("up", "", 300.0),
        ("draining", "not needed", 400.0),
        ("draining", "not needed", 410.0),
    ]
    assert (pilot.job, pilot.host, pilot.joined_s, pilot.until_s) == ("17", "n1", 100.0, 3910.0)
    fleet.apply(PilotLeft(pilot=name, reason="over", at_s=500.0))
    assert fleet.pilots == {}


def test_a_pilot_that_has_not_joined_offers_what_its_template_says() -> None:
    fleet = fleet_of(requested(), PilotRequested(pilot=PilotId("x-1"), template="x", at_s=0.0))
    assert fleet.pilots[PilotId("light-1")].offer == LIGHT.offer
    assert fleet.pilots[PilotId("x-1")].slots == 0


def test_news_of_pilots_that_nobody_knows_means_nothing() -> None:
    fleet = fleet_of(PilotQueued(pilot=PilotId("light-9"), reason="Priority", at_s=1.0))
    assert fleet.pilots == {}


def test_only_pilots_that_are_up_take_work() -> None:
    name = PilotId("light-1")
    fleet = fleet_of(requested())
    assert not fleet.takes_work(fleet.pilots[name], 1.0)
    fleet.apply(joined())
    assert fleet.takes_work(fleet.pilots[name], 101.0)
    fleet.apply(PilotAway(pilot=name, reason="no heartbeat", at_s=102.0))
    assert not fleet.takes_work(fleet.pilots[name], 103.0)


def test_a_quarantined_host_takes_no_work_for_a_while() -> None:
    fleet = fleet_of(
        joined(host="n1"),
        HostQuarantined(host="n1", reason="scratch is full", until_s=500.0, at_s=150.0),
    )
    pilot = fleet.pilots[PilotId("light-1")]
    assert [fleet.takes_work(pilot, at_s) for at_s in (499.0, 500.0)] == [False, True]


def test_bad_hosts_have_the_names_that_the_batch_system_gives_them() -> None:
    names = [PilotId(f"light-{number}") for number in (1, 2, 3)]
    fleet = fleet_of(
        *(requested(name) for name in names),
        *(PilotStarting(pilot=name, host=f"n{name[-1]}", at_s=90.0) for name in names[:2]),
        joined("light-1", host="n1.site.eu"),
        PilotLeft(pilot=names[1], reason="no disk", unfit="n2.site.eu", at_s=150.0),
        joined("light-3", host="n3.site.eu"),
        PilotStarting(pilot=names[2], host="n3", at_s=160.0),  # nobody had looked before
        *(
            HostQuarantined(host=f"n{number}.site.eu", reason="", until_s=500.0, at_s=200.0)
            for number in (2, 3, 4)
        ),
    )
    assert fleet.bad_nodes(499.0) == ("n2", "n3")
    assert fleet.bad_nodes(500.0) == ()
    assert fleet.pilots[names[2]].host == "n3.site.eu"


def test_pilots_are_away_when_a_runner_begins() -> None:
    fleet = fleet_of(requested("light-2"), joined(), FleetOpened(journal_version=1, at_s=200.0))
    states = {pilot.id: str(pilot.state) for pilot in fleet.pilots.values()}
    assert states == {"light-1": "away", "light-2": "requested"}


def test_starts_are_learned_from() -> None:
    fleet = fleet_of(requested(), joined(), requested("light-2"), joined("light-2", 200.0))
    starts = fleet.starts["light"]
    assert (starts.wait_s, starts.left_s, starts.failures) == (150.0, 3500.0, 0)
    fleet.apply(joined(at_s=900.0))  # again: it was away
    assert starts.wait_s == 150.0
    fleet.apply(requested("light-3"))
    fleet.apply(PilotLeft(pilot=PilotId("light-3"), reason="no scratch", at_s=300.0))
    assert (starts.failures, starts.failed_s, starts.reason) == (1, 300.0, "no scratch")
    fleet.apply(requested("light-4", at_s=400.0))
    fleet.apply(joined("light-4", 500.0))
    assert starts.failures == 0


def test_how_late_the_last_pilots_came_counts_most() -> None:
    fleet = Fleet(templates={"light": LIGHT})
    seen = []
    for number, left_s in enumerate((3400.0, 1400.0, 1400.0, 3400.0, inf)):
        name, at_s = f"light-{number}", 1000.0 * number
        fleet.apply(requested(name, at_s))
        until_s = None if left_s == inf else at_s + left_s
        fleet.apply(replace(joined(name, at_s), until_s=until_s))
        seen.append(fleet.starts["light"].left_s)
    assert seen == [3400.0, 2400.0, 1900.0, 3400.0, inf]


@pytest.mark.parametrize(
    ("walltime_s", "pauses"), [(3600.0, [600.0, 1200.0, 1200.0, 2400.0]), (90.0, [90.0, 180.0])]
)
def test_the_more_pilots_were_tried_in_vain_the_later_is_the_next_one_tried(
    walltime_s: float, pauses: list[float]
) -> None:
    light = replace(LIGHT, offer=replace(LIGHT.offer, walltime_s=walltime_s))
    fleet = Fleet(templates={"light": light})
    asked_s = 0.0
    for number, pause_s in enumerate(pauses):
        name = f"light-{number}"
        fleet.apply(requested(name, asked_s))
        fleet.apply(replace(joined(name, asked_s + 10.0), until_s=asked_s + 20.0))
        starts = fleet.starts["light"]
        assert starts.again_s == asked_s + 10.0 + pause_s
        # the third one was requested before another one was tried
        asked_s = starts.again_s - 1.0 if number == 1 else starts.again_s
    name = "light-9"
    fleet.apply(requested(name, asked_s))
    fleet.apply(replace(joined(name, asked_s), until_s=asked_s + walltime_s - LIGHT.boot_s))
    assert starts == Starts(wait_s=starts.wait_s, left_s=starts.left_s)


def test_a_new_runner_tries_again_what_came_late_or_did_not_start() -> None:
    failed = PilotLeft(pilot=PilotId("light-2"), reason="no scratch", at_s=20.0)
    late = replace(joined(), until_s=110.0)
    fleet = fleet_of(requested(), late, requested("light-2", 15.0), failed)
    starts = fleet.starts["light"]
    assert (starts.again_s, starts.failures) == (700.0, 1)
    fleet.apply(FleetOpened(journal_version=1, at_s=200.0))
    assert (starts.pause_s, starts.again_s, starts.failures) == (0.0, -inf, 0)


def test_only_the_last_requests_are_remembered() -> None:
    fleet = fleet_of(*(requested(f"light-{at_s}", at_s) for at_s in (1.0, 2.0, 11.0)))
    assert list(fleet.requests) == [2.0, 11.0]


def test_a_pilot_that_was_cancelled_did_not_fail_to_start() -> None:
    name = PilotId("light-1")
    fleet = fleet_of(
        requested(),
        PilotDraining(pilot=name, reason="not needed", at_s=1.0),
        PilotLeft(pilot=name, reason="cancelled", at_s=2.0),
    )
    assert fleet.starts == {}


def test_a_pilot_that_is_given_up_while_it_starts_has_failed_to() -> None:
    name = PilotId("light-1")
    fleet = fleet_of(
        requested(),
        PilotStarting(pilot=name, host="n1", at_s=1.0),
        PilotDraining(pilot=name, reason="it did not reach the runner", at_s=900.0),
        PilotLeft(pilot=name, reason="cancelled", at_s=902.0),
    )
    starts = fleet.starts["light"]
    assert (starts.failures, starts.reason) == (1, "it did not reach the runner")


def test_the_events_of_pilots_can_be_written_and_read() -> None:
    event = joined(carrying=((RunId("r"), TaskId("a"), 1),))
    assert json_reader(PilotEvent)(to_json(event)) == event  # type: ignore[arg-type]
