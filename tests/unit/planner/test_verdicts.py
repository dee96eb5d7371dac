"""What follows from how an attempt ended: second tries, and hosts to avoid."""

from collections.abc import Callable
from typing import Any

import pytest

from euclid_dask.core.attempts import Failure, FailureKind, Profile
from euclid_dask.core.events import PilotJoined, TaskErred, TaskLost, TaskSucceeded, TaskUnplaceable
from euclid_dask.core.ids import PilotId, TaskId
from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.resources import GB, Resources
from euclid_dask.planner import Fleet
from euclid_dask.planner.estimates import Duration
from euclid_dask.planner.orders import order
from euclid_dask.planner.run import EXPIRIES_LIMIT
from euclid_dask.planner.verdicts import judged
from euclid_dask.sim.flows import body, out, task

MakeBench = Callable[..., Any]
NEEDS = Resources(cores=1, ram_bytes=4 * GB, walltime_s=3600.0)
HOUR = 3600.0


def template(name: str, ram: float, hours: float, **fields: Any) -> PilotTemplate:
    offer = Resources(cores=4, ram_bytes=int(ram * GB), walltime_s=hours * HOUR)
    return PilotTemplate(**{"name": name, "offer": offer, "slots": 8, "max_running": 2} | fields)


@pytest.fixture
def run(bench: MakeBench) -> Any:
    made = bench(body(task("a"), task("b"), r=out("a")), needs={"a": NEEDS, "b": NEEDS})
    made.fleet = Fleet(
        templates={one.name: one for one in (template("light", 8, 4), template("heavy", 32, 8))}
    )
    return made


def err(run: Any, kind: FailureKind, *, used: float = 0.0, peak: float = 0.0) -> TaskErred:
    """Have the task `a` fail as it is judged, and return the event."""
    run.order("a")
    failure = Failure(kind=kind, message="it was killed", used=used)
    profile = Profile(wall_s=10.0, peak_ram_bytes=int(peak))
    event = judged(
        TaskErred(
            task=TaskId("a"),
            attempt=run.run.tasks["a"].attempt,
            failure=failure,
            profile=profile,
            at_s=run.now_s,
        ),
        run.run,
        run.fleet,
    )
    run.apply(event)
    assert isinstance(event, TaskErred)
    return event


def known(run: Any, *seconds: float) -> None:
    """Have tasks like `a` have taken so many seconds."""
    duration = run.run.durations.setdefault(run.run.duration_key("a"), Duration())
    for wall_s in seconds:
        duration.add(wall_s)


def needs(run: Any, name: str = "a") -> Resources:
    return order(run.run.tasks[name], 1).needs


@pytest.mark.parametrize(
    ("used", "peak", "gigabytes"),
    [(10 * GB, 0, 13), (0, 10 * GB, 13), (4.1 * GB, 0, 6), (30 * GB, 0, 32)],
)
def test_after_a_ram_limit_more_is_asked_for(
    run: Any, used: float, peak: float, gigabytes: float
) -> None:
    err(run, FailureKind.MEMORY, used=used, peak=peak)
    assert run.state("a") == "ready"
    assert needs(run) == Resources(cores=1, ram_bytes=int(gigabytes * GB), walltime_s=HOUR)
    assert needs(run, "b") == NEEDS


def test_after_a_walltime_limit_twice_the_time_is_asked_for(run: Any) -> None:
    err(run, FailureKind.WALLTIME, used=1.5 * HOUR)
    assert run.state("a") == "ready"
    assert needs(run) == Resources(cores=1, ram_bytes=4 * GB, walltime_s=3 * HOUR)


def test_after_a_walltime_limit_at_least_what_others_took_is_asked_for(run: Any) -> None:
    known(run, *(seconds * HOUR for seconds in (2.6, 2.8, 3.0, 3.2, 3.4)))
    event = err(run, FailureKind.WALLTIME)
    assert event.larger is not None
    assert 3.4 * HOUR < event.larger.walltime_s < 3.7 * HOUR


def test_walltime_is_capped_by_the_template_that_lasts_longest(run: Any) -> None:
    err(run, FailureKind.WALLTIME, used=7 * HOUR)
    assert needs(run).walltime_s == 8 * HOUR - 60.0 - 60.0  # its start, and the margin


def test_a_second_try_goes_only_where_it_has_all_the_time_that_it_asks_for(run: Any) -> None:
    run.pilot("short", until_s=run.now_s + HOUR)
    known(run, *[1.0] * 8)
    assert run.bundles()
    err(run, FailureKind.WALLTIME)
    run.succeed("b")
    assert run.bundles() == []
    run.pilot("long", until_s=run.now_s + 3 * HOUR)
    assert run.bundles() == [("a",)]


def test_larger_tries_have_a_budget_of_their_own(bench: MakeBench) -> None:
    run = bench(body(task("a"), r=out("a")), needs={"a": NEEDS}, larger_retries=2)
    run.pilot("p")
    for ram in (6, 9):
        err(run, FailureKind.MEMORY)
        assert (run.state("a"), needs(run).ram_bytes) == ("ready", ram * GB)
    last = err(run, FailureKind.MEMORY)
    assert (run.state("a"), last.larger, last.final) == ("failed", None, False)
    assert run.run.tasks["a"].science_failures == 1


def test_without_anything_larger_it_fails_and_says_what_would_help(run: Any) -> None:
    run.fleet = Fleet(templates={"light": template("light", 4, 4), "off": template("off", 5, 8)})
    run.fleet.templates["off"] = template("off", 64, 8, max_running=0)
    run.run.options = type(run.run.options)(science_retries=3)
    event = err(run, FailureKind.MEMORY, used=10 * GB)
    assert run.state("a") == "failed"
    assert event.final
    assert event.failure.message == (
        "it was killed; a second try would need 1 cores, 13 GB of RAM, 1 h, and no template holds "
        "that. Give 'off' max_running 1 (it is off)"
    )


def test_a_machine_that_is_too_small_says_so(bench: MakeBench) -> None:
    run = bench(body(task("a"), r=out("a")), needs={"a": NEEDS})
    run.pilot("p", ram_bytes=4 * GB)
    event = err(run, FailureKind.MEMORY, used=5 * GB)
    assert run.state("a") == "failed"
    assert event.failure.message == (
        "it was killed; a second try would need 1 cores, 6.5 GB of RAM, 1 h, and the largest pilot "
        "has 4 GB of RAM. Have a larger one"
    )


def test_where_pilots_come_on_their_own_a_larger_one_may_come(bench: MakeBench) -> None:
    run = bench(body(task("a"), r=out("a")), needs={"a": NEEDS})
    run.fleet = Fleet(complete=False)
    run.pilot("p", ram_bytes=4 * GB)
    err(run, FailureKind.MEMORY, used=10 * GB)
    assert (run.state("a"), needs(run).ram_bytes) == ("ready", 13 * GB)


def test_a_resumed_task_goes_on_asking_for_more_unless_nothing_held_it(run: Any) -> None:
    err(run, FailureKind.MEMORY)
    err(run, FailureKind.MEMORY)
    run.end("failed")
    run.resume()
    assert needs(run).ram_bytes == 6 * GB
    assert run.state("a") == "ready"


def test_what_fits_nothing_any_more_asks_for_what_was_declared_when_resumed(run: Any) -> None:
    err(run, FailureKind.MEMORY)
    run.apply(TaskUnplaceable(at_s=1.0, task=TaskId("a"), reason="too large"))
    run.end("failed")
    run.resume()
    assert needs(run) == NEEDS


# ---- pilots that reach their walltime


def expire(run: Any) -> None:
    run.order("a")
    attempt = run.run.tasks["a"].attempt
    lost = TaskLost(at_s=1.0, task=TaskId("a"), attempt=attempt, reason="walltime", expired=True)
    event = judged(lost, run.run, run.fleet)
    assert event == lost
    run.apply(event)


def test_a_pilot_that_reaches_its_walltime_costs_no_retry_but_not_for_ever(
    bench: MakeBench,
) -> None:
    run = bench(body(task("a"), r=out("a")), lost_retries=1)
    for _ in range(EXPIRIES_LIMIT):
        expire(run)
        assert run.run.tasks["a"].losses == 0
    expire(run)
    assert run.state("a") == "ready"
    expire(run)
    assert run.state("a") == "failed"


def test_after_a_pilot_reached_its_walltime_the_next_one_has_all_the_time(run: Any) -> None:
    known(run, *[1.0] * 8)
    expire(run)
    found = run.run.estimate(run.run.tasks["a"].shape)
    assert (found.q50_s, found.q90_s) == (HOUR, HOUR)


# ---- hosts


def join(run: Any, name: str, host: str, **fields: Any) -> None:
    offer = Resources(cores=4, ram_bytes=80 * GB)
    joined = {"pilot": PilotId(name), "offer": offer, "slots": 8, "host": host, "at_s": 50.0}
    run.fleet.apply(PilotJoined(**joined | fields))


def lose(run: Any, pilot: str) -> None:
    run.order("a", pilot=pilot)
    attempt = run.run.tasks["a"].attempt
    lost = TaskLost(at_s=1.0, task=TaskId("a"), attempt=attempt, reason="it died")
    run.apply(judged(lost, run.run, run.fleet))


def starts(run: Any) -> list[tuple[str, str]]:
    return [(one.pilot, one.tasks[0][0]) for one in run.decide()]


def test_a_lost_task_goes_to_another_host_even_if_that_is_fuller(run: Any) -> None:
    join(run, "p", "h1")
    join(run, "q", "h2", offer=Resources(cores=16, ram_bytes=800 * GB))
    assert starts(run) == [("p", "a"), ("p", "b")]
    lose(run, "p")
    assert sorted(starts(run)) == [("p", "b"), ("q", "a")]


def test_a_lost_task_waits_for_another_host_that_is_busy(run: Any) -> None:
    join(run, "p", "h1")
    join(run, "q", "h2", slots=1)
    run.order("b", pilot="q")
    lose(run, "p")
    assert starts(run) == []
    run.succeed("b")
    assert starts(run) == [("q", "a")]


@pytest.mark.parametrize(
    "other",
    [{"host": "h1"}, {"offer": Resources(cores=0.5)}, {"until_s": 200.0}],
    ids=["same host", "too small", "too short"],
)
def test_a_lost_task_goes_to_the_same_host_if_no_other_will_do(
    run: Any, other: dict[str, Any]
) -> None:
    join(run, "p", "h1")
    join(run, "q", **{"host": "h2"} | other)
    lose(run, "p")
    run.succeed("b")
    assert starts(run) == [("p", "a")]


def test_a_pilot_that_is_kept_for_another_task_is_avoided_too(bench: MakeBench) -> None:
    big = Resources(cores=4, ram_bytes=GB, walltime_s=HOUR)
    short = Resources(cores=1, ram_bytes=GB, walltime_s=60.0)
    names = ("big", "d", "a", "b", "c")
    run = bench(body(*map(task, names), r=out("a")), needs={"big": big, "a": short, "d": short})
    join(run, "q", "h2", offer=Resources(cores=1, ram_bytes=GB), slots=1)
    run.order("c", pilot="q")
    join(run, "p", "h1")
    run.order("b", pilot="p")
    assert starts(run) == [("p", "d"), ("p", "a")]
    lose(run, "p")
    assert starts(run) == [("p", "d")]


def test_what_the_machine_did_costs_a_loss_where_there_is_another_host(run: Any) -> None:
    join(run, "p", "h1")
    join(run, "q", "h2")
    run.order("a", pilot="p")
    failure = Failure(kind=FailureKind.SYSTEM, message="no more processes")
    erred = TaskErred(task=TaskId("a"), attempt=1, failure=failure, at_s=1.0)
    run.apply(judged(erred, run.run, run.fleet))
    found = run.run.tasks["a"]
    assert (found.state, found.losses, found.science_failures) == ("ready", 1, 0)
    assert found.avoids == ("h1",)


def test_what_the_machine_did_fails_a_task_where_it_is_the_only_one(run: Any) -> None:
    run.fleet.templates = {}
    join(run, "p", "h1")
    run.order("a", pilot="p")
    run.apply(judged(erred_by_the_machine(), run.run, run.fleet))
    assert run.state("a") == "failed"


def test_what_the_machine_did_is_no_failure_of_a_task_on_pilots_of_a_site(run: Any) -> None:
    join(run, "p", "h1")
    run.order("a", pilot="p")
    run.apply(judged(erred_by_the_machine(), run.run, run.fleet))
    found = run.run.tasks["a"]
    assert (found.state, found.losses, found.science_failures) == ("ready", 1, 0)


def erred_by_the_machine() -> TaskErred:
    failure = Failure(kind=FailureKind.SYSTEM, message="no more processes")
    return TaskErred(task=TaskId("a"), attempt=1, failure=failure, at_s=1.0)


def test_other_ends_mean_nothing_more(run: Any) -> None:
    done = TaskSucceeded(task=TaskId("a"), attempt=1, at_s=1.0)
    assert judged(done, run.run, run.fleet) is done
