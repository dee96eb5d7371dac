"""What is told of pilots."""

from euclid_dask.core.events import (
    PilotAway,
    PilotJoined,
    PilotLeft,
    PilotQueued,
    PilotRequested,
    PilotStarting,
    PilotSubmitted,
)
from euclid_dask.core.ids import JobId, PilotId
from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.resources import Resources
from euclid_dask.planner import Fleet
from euclid_dask.report.pilots import pilots_rows, pilots_text

OFFER = Resources(cores=1)


def fleet_of(**templates: int) -> Fleet:
    return Fleet(
        templates={
            name: PilotTemplate(name=name, offer=OFFER, slots=4, max_running=most)
            for name, most in templates.items()
        }
    )


def request(fleet: Fleet, *names: str) -> list[PilotId]:
    pilots = [PilotId(name) for name in names]
    for pilot in pilots:
        fleet.apply(PilotRequested(pilot=pilot, template="light", at_s=0))
    return pilots


def test_nothing_is_told_where_pilots_come_on_their_own() -> None:
    fleet = Fleet()
    fleet.apply(PilotJoined(pilot=PilotId("local"), offer=OFFER, slots=4, at_s=0))
    assert pilots_text(fleet, 1.0) == ""
    assert pilots_rows(fleet) == []


def test_pilots_are_counted_by_state_with_the_reasons_why_they_wait() -> None:
    fleet = fleet_of(light=9)
    assert pilots_text(fleet, 0.0) == "pilots: none yet"
    a, b, c, d, e, _ = request(fleet, "a", "b", "c", "d", "e", "f")
    for pilot in (a, e):
        fleet.apply(PilotJoined(pilot=pilot, offer=OFFER, slots=4, at_s=1))
    fleet.apply(PilotAway(pilot=e, reason="its Dask worker has gone", at_s=2))
    fleet.apply(PilotStarting(pilot=b, host="n1", at_s=1))
    fleet.apply(PilotQueued(pilot=c, reason="Priority", at_s=1))
    fleet.apply(PilotQueued(pilot=d, reason="Priority", at_s=1))
    assert pilots_text(fleet, 2.0) == (
        "pilots: 1 up, 1 away (its Dask worker has gone), 1 starting, 2 queued (Priority), "
        "1 requested"
    )


def test_a_template_whose_pilots_do_not_start_is_told_with_the_last_reason() -> None:
    fleet = fleet_of(light=9)
    for pilot in request(fleet, "a", "b", "c"):
        fleet.apply(PilotLeft(pilot=pilot, reason="its job ended (FAILED)", at_s=5))
    assert pilots_text(fleet, 6.0) == (
        "pilots: no more 'light' for now, since 3 did not start: its job ended (FAILED)"
    )


def test_programs_are_told_each_pilot_with_its_job() -> None:
    fleet = fleet_of(light=9)
    [a] = request(fleet, "a")
    fleet.apply(PilotSubmitted(pilot=a, job=JobId("17"), at_s=1))
    fleet.apply(PilotQueued(pilot=a, reason="Resources", at_s=1))
    assert pilots_rows(fleet) == [
        {
            "pilot": "a",
            "template": "light",
            "state": "queued",
            "reason": "Resources",
            "job": "17",
            "host": "",
            "until_s": None,
        }
    ]
