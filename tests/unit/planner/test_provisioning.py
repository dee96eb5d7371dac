"""Which pilots are asked for, and which end."""

from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from euclid_dask.core.effects import PilotEffect, RequestPilot, RetirePilot
from euclid_dask.core.events import (
    FleetOpened,
    HostQuarantined,
    PilotAway,
    PilotDraining,
    PilotJoined,
    PilotLeft,
    PilotQueued,
    PilotRequested,
    PilotStarting,
)
from euclid_dask.core.ids import PilotId
from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.rules import Rules
from euclid_dask.planner import Fleet, Provisioning, decide
from euclid_dask.sim.flows import arg, body, out, split, task

MakeBench = Callable[..., Any]
HOUR = 3600.0
SMALL = Resources(cores=1, walltime_s=HOUR)


def template(name: str, cores: float, **fields: Any) -> PilotTemplate:
    offer = Resources(cores=cores, ram_bytes=int(4 * GB * cores), walltime_s=4 * HOUR)
    given = {"offer": offer, "slots": int(4 * cores), "max_running": 3, "max_queued": 3}
    return PilotTemplate(**{"name": name} | given | fields)


class Look:
    """A run, a fleet and provisioning."""

    def __init__(self, run: Any, *templates: PilotTemplate, **rules: float) -> None:
        self.run = run
        self.fleet = run.fleet = Fleet(templates={t.name: t for t in templates})
        self.fleet.rules = Rules(**rules)
        self.provisioning = Provisioning()

    def at(self, now_s: float) -> list[PilotEffect]:
        """Return what is to be done at a time."""
        self.run.now_s = now_s
        return self.provisioning.decide([self.run.run], self.fleet, now_s)

    def request(self, name: str, kind: str = "light", at_s: float = 0.0) -> None:
        self.fleet.apply(PilotRequested(pilot=PilotId(name), template=kind, at_s=at_s))

    def join(self, name: str, kind: str = "light", at_s: float = 0.0, **fields: Any) -> None:
        offer = self.fleet.templates[kind].offer
        joined = {"offer": offer, "slots": 8, "template": kind, "at_s": at_s}
        self.fleet.apply(PilotJoined(pilot=PilotId(name), **joined | fields))


def singles(bench: MakeBench, count: int, needs: Resources = SMALL) -> Any:
    nodes = [task(f"t{number}", "x") for number in range(count)]
    return bench(body(*nodes, r=out("t0")), needs={"x": needs}, group=False)


def requested(effects: list[PilotEffect]) -> list[str]:
    return [effect.template for effect in effects if isinstance(effect, RequestPilot)]


def retired(effects: list[PilotEffect]) -> dict[str, str]:
    return {effect.pilot: effect.reason for effect in effects if isinstance(effect, RetirePilot)}


def test_as_many_pilots_are_requested_as_get_load_the_smallest_first(bench: MakeBench) -> None:
    look = Look(singles(bench, 8), template("heavy", 8), template("light", 2))
    assert requested(look.at(100.0)) == ["light", "light", "light", "heavy"]


def test_caps_hold(bench: MakeBench) -> None:
    look = Look(
        singles(bench, 99), template("light", 2, max_queued=2), template("off", 9, max_running=0)
    )
    assert requested(look.at(100.0)) == ["light", "light"]
    look.request("light-1")
    look.request("light-2")
    assert requested(look.at(111.0)) == []
    look.fleet.apply(PilotStarting(pilot=PilotId("light-1"), at_s=111.0))
    assert requested(look.at(122.0)) == ["light"]


def test_caps_of_all_templates_hold_and_what_runs_nowhere_else_comes_first(
    bench: MakeBench,
) -> None:
    top = body(task("a"), task("b"), *(task(f"t{n}", "x") for n in range(9)), r=out("a"))
    needs = {"a": Resources(cores=1, ram_bytes=20 * GB), "b": Resources(cores=2), "x": SMALL}
    kinds = (template("light", 2), template("heavy", 8, slots=1))
    look = Look(bench(top, needs=needs, group=False), *kinds, max_running=3, max_queued=2)
    look.join("light-1")
    assert requested(look.at(100.0)) == ["heavy", "light"], "two may be queued"
    look.join("light-2")
    assert requested(look.at(120.0)) == ["heavy"], "three may be there"
    look.request("heavy-1", "heavy")
    assert requested(look.at(140.0)) == []


def capped(bench: MakeBench, **rules: float) -> Look:
    """Return a site that may have one pilot: it has a small one, and large tasks wait too."""
    top = body(*(task(f"big{n}", "b") for n in (1, 2)), task("t0", "x"), r=out("t0"))
    needs = {"b": Resources(cores=8), "x": SMALL}
    kinds = (template("light", 2), template("heavy", 8, boot_s=300.0))
    look = Look(bench(top, needs=needs, group=False), *kinds, max_running=1, **rules)
    look.join("light-1", at_s=50.0)
    return look


def test_an_idle_pilot_goes_when_another_may_not_come_beside_it(bench: MakeBench) -> None:
    look = capped(bench, idle_s=inf)
    look.run.succeed("t0")
    assert look.at(100.0) == []
    assert look.at(150.0) == []
    reason = "no more than 1 may be there; none does for what waits"
    assert retired(look.at(160.0)) == {"light-1": reason}
    look.fleet.apply(PilotDraining(pilot=PilotId("light-1"), reason=reason, at_s=160.0))
    assert look.at(230.0) == []
    look.fleet.apply(PilotLeft(pilot=PilotId("light-1"), reason=reason, at_s=240.0))
    assert requested(look.at(240.0)) == ["heavy"]


def test_a_busy_pilot_goes_when_it_had_its_turn(bench: MakeBench) -> None:
    look = capped(bench)
    look.run.order("t0", pilot="light-1")
    assert look.at(100.0) == []
    assert look.at(340.0) == [], "what is needed takes five minutes to come"
    assert list(retired(look.at(350.0))) == ["light-1"]


def test_no_pilot_goes_for_what_would_not_come_or_is_away_for_a_moment(bench: MakeBench) -> None:
    look = capped(bench)
    look.run.succeed("t0")
    look.at(100.0)
    look.fleet.templates = {**look.fleet.templates, "heavy": template("heavy", 8, max_running=0)}
    assert look.at(170.0) == []
    look.fleet.templates = {**look.fleet.templates, "heavy": template("heavy", 8)}
    assert look.at(180.0) == []
    look.join("heavy-1", "heavy", at_s=181.0)
    look.at(190.0)
    look.fleet.apply(PilotAway(pilot=PilotId("heavy-1"), reason="no word", at_s=240.0))
    assert look.at(241.0) == []


def test_so_many_requests_are_made_at_most_in_a_while(bench: MakeBench) -> None:
    look = Look(singles(bench, 99), template("light", 2, max_running=9, max_queued=9), requests=2)
    assert len(requested(look.at(100.0))) == 2
    look.request("light-1", at_s=100.0)
    look.request("light-2", at_s=100.0)
    assert requested(look.at(105.0)) == []
    assert len(requested(look.at(116.0))) == 2


def test_pilots_that_are_gone_again_count_as_requested(bench: MakeBench) -> None:
    look = Look(singles(bench, 99), template("light", 2, max_running=9, max_queued=9), requests=2)
    assert len(requested(look.at(100.0))) == 2
    for name in ("light-1", "light-2"):
        look.request(name, at_s=100.0)
        look.join(name, at_s=100.5, until_s=9000.0)
        look.fleet.apply(PilotLeft(pilot=PilotId(name), reason="preempted", at_s=100.8))
    assert requested(look.at(101.0)) == []
    assert len(requested(look.at(111.0))) == 2


def test_nothing_is_looked_at_again_too_soon(bench: MakeBench) -> None:
    look = Look(singles(bench, 1), template("light", 2))
    assert len(look.at(100.0)) == 1
    assert look.at(100.5) == []
    look.request("light-1")
    look.fleet.apply(PilotLeft(pilot=PilotId("light-1"), reason="refused", at_s=100.0))
    assert look.at(100.9) == []
    assert len(look.at(101.0)) == 1
    assert look.at(110.9) == []


def test_a_pilot_that_does_not_reach_the_runner_is_given_up(bench: MakeBench) -> None:
    look = Look(singles(bench, 1), template("light", 2, boot_s=30.0), join_s=300.0)
    look.request("light-1")
    look.fleet.apply(PilotStarting(pilot=PilotId("light-1"), host="n1", at_s=100.0))
    assert retired(look.at(420.0)) == {}
    assert "ran on n1 for 6 min and did not reach" in retired(look.at(430.0))["light-1"]
    look.fleet.apply(FleetOpened(journal_version=1, at_s=440.0))  # nobody was there to be reached
    assert retired(look.at(760.0)) == {}
    assert list(retired(look.at(770.0))) == ["light-1"]


def test_nothing_is_requested_where_there_are_no_templates(bench: MakeBench) -> None:
    assert Look(singles(bench, 1)).at(100.0) == []


def test_no_pilot_is_requested_for_little_unless_it_would_run_nowhere_else(
    bench: MakeBench,
) -> None:
    heavy = template("heavy", 16)
    look = Look(singles(bench, 18), heavy)
    assert requested(look.at(100.0)) == ["heavy"]
    look.request("heavy-1", "heavy")
    assert requested(look.at(120.0)) == []  # two tasks more are too little for another one
    assert look.fleet.little_used == {"heavy": 0.125}
    look.run.succeed("t0")
    look.run.succeed("t1")
    assert requested(look.at(140.0)) == []
    assert look.fleet.little_used == {}


def test_what_pilots_will_have_done_before_others_join_asks_for_nothing(bench: MakeBench) -> None:
    look = Look(singles(bench, 100), template("light", 2, boot_s=60.0))
    look.join("light-1")
    for number in range(5):
        look.run.succeed(f"t{number}", wall_s=0.1)
    look.run.order("t5", pilot="light-1")
    look.run.order("t6", pilot="light-1")
    assert requested(look.at(100.0)) != []  # the declared walltime still weighs
    for number in range(7, 60):
        look.run.succeed(f"t{number}", wall_s=0.1)
    assert requested(look.at(120.0)) == []


def test_tasks_that_need_no_core_are_provided_for_too(bench: MakeBench) -> None:
    look = Look(singles(bench, 9, Resources(cores=0, walltime_s=30.0)), template("light", 2))
    look.join("light-1")
    look.run.order("t0", pilot="light-1")
    assert requested(look.at(100.0)) == []


def test_tasks_of_unknown_duration_are_provided_for_too(bench: MakeBench) -> None:
    look = Look(singles(bench, 9, Resources(walltime_s=0)), template("light", 2))
    look.join("light-1")
    for name in ("t0", "t1"):
        look.run.order(name, pilot="light-1")
    assert requested(look.at(100.0)) == ["light", "light"]


def test_a_pilot_that_is_about_to_end_gets_a_successor(bench: MakeBench) -> None:
    look = Look(singles(bench, 3), template("light", 2, boot_s=600.0))
    look.join("light-1", until_s=100.0 + HOUR + 500.0)
    look.run.order("t0", pilot="light-1")
    look.run.order("t1", pilot="light-1")
    assert requested(look.at(100.0)) == ["light"]


def test_what_pilots_were_too_late_for_is_tried_again_after_a_while(bench: MakeBench) -> None:
    needs = Resources(cores=1, walltime_s=3 * HOUR)
    look = Look(singles(bench, 2, needs), template("light", 2), pause_s=900.0)
    assert requested(look.at(10.0)) == ["light"]
    look.request("light-1", at_s=10.0)
    look.join("light-1", at_s=100.0, until_s=100.0 + 2 * HOUR)
    assert decide([look.run.run], look.fleet, {}, 100.0) == [], "it is too short for them"
    reason = "it has too little time left for what waits"
    assert look.at(111.0) == []
    assert retired(look.at(172.0)) == {"light-1": reason}
    look.fleet.apply(PilotLeft(pilot=PilotId("light-1"), reason=reason, at_s=180.0))
    assert decide([look.run.run], look.fleet, {}, 180.0) == [], "none is refused"
    assert requested(look.at(999.0)) == []
    assert requested(look.at(1009.0)) == ["light"]
    look.request("light-2", at_s=1009.0)
    for now_s in (1020.0, 1100.0):
        assert look.at(now_s) == [], "it may come in time"
    look.join("light-2", at_s=1101.0, until_s=1101.0 + 3.9 * HOUR)
    assert len(decide([look.run.run], look.fleet, {}, 1101.0)) == 2


def test_where_pilots_always_come_late_one_is_tried_from_time_to_time(bench: MakeBench) -> None:
    needs = Resources(cores=1, walltime_s=3 * HOUR)
    light = template("light", 2, max_running=99, max_queued=99)
    look = Look(singles(bench, 60, needs), light)
    tried: list[tuple[int, int]] = []
    joining: dict[str, float] = {}
    for now_s in range(10, 12_000, 10):
        for name in [name for name, at_s in joining.items() if now_s >= at_s]:
            del joining[name]
            look.join(name, at_s=now_s, until_s=now_s + 2 * HOUR)
        effects = look.at(now_s)
        for name, reason in retired(effects).items():
            look.fleet.apply(PilotLeft(pilot=PilotId(name), reason=reason, at_s=now_s))
        if requested(effects):
            tried.append((now_s, len(requested(effects))))
        for number in range(len(requested(effects))):
            joining[f"light-{now_s}-{number}"] = now_s + 90.0
            look.request(f"light-{now_s}-{number}", at_s=now_s)
    assert tried[:2] == [(10, 20), (20, 10)], "before the first has joined"
    assert tried[2:] == [(710, 1), (2000, 1), (4490, 1), (9380, 1)]
    assert decide([look.run.run], look.fleet, {}, 12_000.0) == [], "none is refused"


def test_while_one_is_tried_there_are_as_many_as_short_tasks_need(bench: MakeBench) -> None:
    top = body(*(task(f"t{n}", "x" if n < 4 else "long") for n in range(44)), r=out("t0"))
    needs = {"x": SMALL, "long": Resources(cores=1, walltime_s=3 * HOUR)}
    light = template("light", 2, max_running=99, max_queued=99)
    look = Look(bench(top, needs=needs, group=False), light)
    look.request("light-1", at_s=0.0)
    look.join("light-1", at_s=60.0, until_s=60.0 + 2 * HOUR)
    look.fleet.apply(PilotLeft(pilot=PilotId("light-1"), reason="preempted", at_s=70.0))
    assert requested(look.at(100.0)) == ["light"] * 2
    assert requested(look.at(700.0)) == ["light"] * 3
    for number in (2, 3, 4):
        look.request(f"light-{number}", at_s=700.0)
    assert requested(look.at(720.0)) == []


def test_no_pilot_goes_for_one_that_would_come_late(bench: MakeBench) -> None:
    needs = {"b": Resources(cores=2, walltime_s=3 * HOUR), "x": SMALL}
    top = body(task("big", "b"), *(task(f"t{n}", "x") for n in range(3)), r=out("big"))
    look = Look(bench(top, needs=needs, group=False), template("light", 2), max_running=1)
    look.request("light-1", at_s=0.0)
    look.join("light-1", at_s=60.0, until_s=60.0 + 2 * HOUR)
    look.run.order("t0", pilot="light-1")
    for now_s in (700.0, 770.0, 900.0):
        assert look.at(now_s) == []


def test_what_fits_a_template_to_the_second_is_provided_for(bench: MakeBench) -> None:
    light = template("light", 2)
    for kappa in (1.05, 1.1, 1.15, 1.2, 1.3, 1.4):
        walltime_s = (light.left_s - 60.0) / kappa
        run = singles(bench, 1, Resources(cores=1, walltime_s=walltime_s))
        assert requested(Look(run, light, kappa=kappa).at(100.0)) == ["light"]


def test_a_task_that_can_follow_its_maker_asks_for_nothing(bench: MakeBench) -> None:
    top = body(task("a"), task("b", x=out("a")), task("c", x=out("a")), r=out("b"))
    run = bench(top, needs=dict.fromkeys("abc", Resources(cores=2, walltime_s=600.0)))
    look = Look(run, template("light", 2, boot_s=599.0))
    look.join("light-1", until_s=9000.0)
    run.order("a", pilot="light-1")
    assert requested(look.at(120.0)) == ["light"]  # for c: b follows a
    look.fleet.apply(PilotLeft(pilot=PilotId("light-1"), reason="over", at_s=1.0))
    assert requested(look.at(130.0)) == ["light", "light"]


def test_a_task_that_needs_more_than_its_maker_does_not_follow_it(bench: MakeBench) -> None:
    top = body(task("a"), task("b", x=out("a")), r=out("b"))
    needs = {"a": Resources(cores=1, walltime_s=50.0), "b": Resources(cores=2, walltime_s=50.0)}
    look = Look(bench(top, needs=needs), template("light", 2, boot_s=600.0))
    look.join("light-1", until_s=300.0)
    look.run.order("a", pilot="light-1")
    assert requested(look.at(120.0)) == ["light"]


def test_of_a_task_with_very_many_consumers_none_is_expected_soon(bench: MakeBench) -> None:
    users = [task(f"u{number}", "u", x=out("a")) for number in range(101)]
    run = bench(body(task("a"), *users, r=out("a")), needs={"a": Resources(walltime_s=50.0)})
    look = Look(run, template("light", 2))
    look.join("light-1")
    run.order("a", pilot="light-1")
    assert requested(look.at(120.0)) == []


def test_for_a_split_that_will_be_made_no_pilot_is_requested(bench: MakeBench) -> None:
    inner = body(task("w", i=arg("item")), inputs=("item",), r=out("w"))
    over = split("s", inner, over="item", item=out("make", "items"))
    needs = {"make": Resources(walltime_s=50.0)}
    look = Look(bench(body(task("make"), over, r=out("s", "r")), needs=needs), template("light", 2))
    look.join("light-1")
    look.run.order("make", pilot="light-1")
    assert requested(look.at(120.0)) == []


def test_queued_pilots_that_nobody_needs_are_cancelled_after_a_while(bench: MakeBench) -> None:
    look = Look(singles(bench, 3), template("light", 2))
    for number in (1, 2, 3):
        look.request(f"light-{number}")
    look.fleet.apply(PilotStarting(pilot=PilotId("light-1"), at_s=0.0))
    look.fleet.apply(PilotQueued(pilot=PilotId("light-2"), at_s=0.0))
    assert retired(look.at(100.0)) == {}
    assert retired(look.at(159.0)) == {}
    assert retired(look.at(170.0)) == {"light-3": "nothing waits for it any more"}


def test_pilots_without_work_end_and_those_with_too_little_time_earlier(bench: MakeBench) -> None:
    look = Look(singles(bench, 2), template("light", 2), idle_s=300.0)
    look.join("light-1", until_s=1000.0)
    look.join("light-2", until_s=9000.0)
    look.join("own", until_s=500.0)
    look.fleet.apply(
        PilotJoined(pilot=PilotId("plain"), offer=SMALL, slots=0, until_s=300.0, at_s=0.0)
    )
    assert retired(look.at(100.0)) == {}
    assert retired(look.at(165.0)) == dict.fromkeys(
        ("light-1", "own"), "it has too little time left for what waits"
    )
    for name in ("t0", "t1"):
        look.run.order(name, pilot="light-1")
    look.at(180.0)
    assert retired(look.at(420.0)) == {
        "light-2": "it had nothing to do for 300 s",
        "own": "it had nothing to do for 300 s",
    }


def test_pilots_on_a_quarantined_host_end(bench: MakeBench) -> None:
    look = Look(singles(bench, 1), template("light", 2))
    look.join("light-1", host="n1")
    look.fleet.apply(HostQuarantined(host="n1", reason="disk full", until_s=500.0, at_s=1.0))
    assert retired(look.at(100.0)) == {"light-1": "n1 is quarantined: disk full"}
    assert decide([look.run.run], look.fleet, {}, 499.0) == []
    assert len(decide([look.run.run], look.fleet, {}, 500.0)) == 1


@pytest.mark.parametrize("kind", ["light", "gone"])
def test_pilots_of_templates_that_are_no_more_are_of_no_use_for_the_future(
    bench: MakeBench, kind: str
) -> None:
    look = Look(singles(bench, 2), template("light", 2))
    look.request("x-1", kind)
    assert requested(look.at(100.0)) == ([] if kind == "light" else ["light"])
