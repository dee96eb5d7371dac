"""Which tasks go where, together with which others, and in which order."""

from collections.abc import Callable
from typing import Any

import pytest

from euclid_dask.core.effects import CancelAttempt, RefuseTask, StartBundle
from euclid_dask.core.events import CancelRequested, PilotAway, PilotLeft
from euclid_dask.core.flow import Body
from euclid_dask.core.ids import PilotId, RunId, TaskId
from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.resources import GB, Resources
from euclid_dask.planner import decide, placing
from euclid_dask.planner.identity import task_identity
from euclid_dask.sim.flows import arg, body, out, split, task

MakeBench = Callable[..., Any]


def singles(*names: str, executable: str | None = None) -> Body:
    """Return a body of tasks that wait for nothing."""
    return body(*(task(name, executable or name) for name in names), r=out(names[0]))


def chain_abc() -> Body:
    return body(task("a"), task("b", x=out("a")), task("c", x=out("b")), r=out("c"))


def test_tasks_start_first_come_first_served(bench: MakeBench) -> None:
    run = bench(singles("a", "b", "c"))
    run.pilot(cores=2)
    assert run.bundles() == [("a",), ("b",)]


def test_the_longest_way_to_the_end_goes_first_by_critical_path(bench: MakeBench) -> None:
    top = body(task("short"), task("a"), task("b", x=out("a")), r=out("b"))
    run = bench(top, policy="critical-path", fuse=False)
    run.pilot(cores=1)
    assert run.bundles() == [("a",)]


def test_a_pilot_is_filled_by_cores(bench: MakeBench) -> None:
    two = Resources(cores=2, ram_bytes=GB)
    run = bench(singles("a", "b", "c"), needs={"a": two, "b": two, "c": two})
    run.pilot(cores=5)
    assert run.bundles() == [("a",), ("b",)]


def test_a_pilot_is_filled_by_ram(bench: MakeBench) -> None:
    run = bench(singles("a", "b", "c"))
    run.pilot(ram_bytes=2 * GB)
    assert len(run.bundles()) == 2


def test_a_pilot_is_filled_by_slots_when_tasks_need_no_core(bench: MakeBench) -> None:
    none = Resources(cores=0, ram_bytes=0)
    run = bench(singles("a", "b", "c"), needs=dict.fromkeys("abc", none))
    run.pilot(slots=2)
    assert len(run.bundles()) == 2


def test_what_runs_is_not_free(bench: MakeBench) -> None:
    run = bench(singles("a", "b", "c"))
    run.pilot(cores=2)
    run.order("a")
    assert run.bundles() == [("b",)]


def test_a_smaller_task_starts_while_a_larger_one_waits(bench: MakeBench) -> None:
    run = bench(singles("big", "small"), needs={"big": Resources(cores=4)})
    run.pilot(cores=4)
    run.pilot(name="q", cores=1)
    run.order("small", pilot="p")
    run = bench(singles("first", "big", "small"), needs={"big": Resources(cores=4)})
    run.pilot(cores=4)
    assert run.bundles() == [("first",), ("small",)]


def test_the_fullest_pilot_that_has_room_is_taken(bench: MakeBench) -> None:
    run = bench(singles("a", "b"))
    run.pilot("large", cores=8)
    run.pilot("little", cores=1)
    pilots = [effect.pilot for effect in run.decide() if isinstance(effect, StartBundle)]
    assert pilots == ["little", "large"]


def test_runs_share_a_fleet_without_overbooking_it(bench: MakeBench) -> None:
    one, two = bench(singles("a", "b"), run="one"), bench(singles("c", "d"), run="two")
    one.pilot(cores=3)
    effects = decide([one.run, two.run], one.fleet, {}, 100.0)
    assert len(effects) == 3
    one.order("a")
    one.order("b")
    effects = decide([one.run, two.run], one.fleet, {}, 100.0)
    assert [effect.tasks for effect in effects] == [((TaskId("c"), 1),)]


def test_what_a_cancelled_run_still_holds_is_not_free(bench: MakeBench) -> None:
    one, two = bench(singles("a"), run="one"), bench(singles("b"), run="two")
    one.pilot(cores=1)
    one.order("a")
    one.apply(CancelRequested(at_s=1.0, reason="Ctrl-C"))
    effects = decide([one.run, two.run], one.fleet, {}, 100.0)
    assert effects == [
        CancelAttempt(run=RunId("one"), task=TaskId("a"), attempt=1, only_waiting=True)
    ]


def test_a_task_that_fits_no_pilot_is_refused(bench: MakeBench) -> None:
    run = bench(singles("a", "b"), needs={"a": Resources(cores=5, ram_bytes=2 * GB)})
    run.pilot(cores=4, ram_bytes=8 * GB)
    refusal = run.decide()[0]
    assert refusal == RefuseTask(
        run=RunId("r"),
        task=TaskId("a"),
        reason="needs 5 cores and 2 GB of RAM; the largest pilot has 4 cores and 8 GB",
    )


@pytest.mark.parametrize("pilots", [0, 1])
def test_nothing_is_refused_while_larger_pilots_may_join(bench: MakeBench, pilots: int) -> None:
    run = bench(singles("a"), needs={"a": Resources(cores=5)})
    if pilots:
        run.pilot(cores=4)
        run.fleet.complete = False
    assert run.decide() == []


def test_a_pilot_that_left_gets_nothing(bench: MakeBench) -> None:
    run = bench(singles("a"))
    run.pilot()
    run.fleet.apply(PilotLeft(pilot=PilotId("p"), reason="over", at_s=1.0))
    assert run.decide() == []


def test_a_pilot_that_is_away_gets_nothing_new_and_what_runs_there_counts(
    bench: MakeBench,
) -> None:
    run = bench(singles("a", "b", "c"))
    run.pilot(cores=2)
    run.order("a")
    run.fleet.apply(PilotAway(pilot=PilotId("p"), reason="no heartbeat", at_s=1.0))
    assert run.bundles() == []
    run.pilot(cores=2)  # it is back
    assert run.bundles() == [("b",)]


# ---- fusing and grouping


def test_a_linear_chain_goes_together(bench: MakeBench) -> None:
    run = bench(chain_abc())
    run.pilot()
    assert run.bundles() == [("a", "b", "c")]


def test_fusing_can_be_turned_off(bench: MakeBench) -> None:
    run = bench(chain_abc(), fuse=False)
    run.pilot()
    assert run.bundles() == [("a",)]


def test_a_chain_ends_where_more_is_needed(bench: MakeBench) -> None:
    run = bench(chain_abc(), needs={"b": Resources(cores=2)})
    run.pilot()
    assert run.bundles() == [("a",)]


def test_a_chain_ends_where_two_tasks_could_go_on(bench: MakeBench) -> None:
    top = body(task("a"), task("b", x=out("a")), task("c", x=out("a")), r=out("b"))
    run = bench(top)
    run.pilot()
    assert run.bundles() == [("a",)]


def test_a_chain_ends_at_a_task_that_waits_for_others_too(bench: MakeBench) -> None:
    top = body(task("a"), task("b"), task("c", x=out("a"), y=out("b")), r=out("c"))
    run = bench(top)
    run.pilot()
    assert run.bundles() == [("a",), ("b",)]


def test_a_chain_goes_on_over_a_task_that_uses_all_of_it(bench: MakeBench) -> None:
    top = body(task("a"), task("b", x=out("a")), task("c", x=out("a"), y=out("b")), r=out("c"))
    run = bench(top)
    run.pilot()
    assert run.bundles() == [("a", "b", "c")]


def test_a_chain_ends_at_work_that_is_known(bench: MakeBench) -> None:
    run = bench(chain_abc())
    run.pilot()
    known = task_identity(run.run.tasks["b"], {})
    (effect,) = run.decide(known)
    assert effect.tasks == ((TaskId("a"), 1),)


def test_a_chain_ends_at_work_of_which_many_wait(bench: MakeBench) -> None:
    users = [task(f"u{number}", x=out("a")) for number in range(9)]
    run = bench(body(task("a"), *users, r=out("a")))
    run.pilot()
    assert run.bundles() == [("a",)]


def test_a_chain_ends_with_its_pilot(bench: MakeBench) -> None:
    run = bench(chain_abc())
    run.pilot(until_s=100.0 + 2 * 3600.0 + 60.0)
    assert run.bundles() == [("a", "b")]


def test_a_task_that_may_outlive_a_pilot_does_not_go_there(bench: MakeBench) -> None:
    run = bench(singles("a"))
    run.pilot(until_s=100.0 + 3600.0 + 59.0)
    assert run.bundles() == []


def test_like_tasks_that_are_known_to_be_short_go_together(bench: MakeBench) -> None:
    names = [f"t{number:02}" for number in range(40)]
    run = bench(singles(*names, executable="x"))
    run.succeed("t00", wall_s=0.01)
    run.pilot(cores=1, slots=1)
    (bundle,) = run.bundles()
    assert bundle == tuple(names[1:14])  # a third of what is ready for the one slot


def test_a_group_is_made_for_half_a_second(bench: MakeBench) -> None:
    names = [f"t{number:03}" for number in range(200)]
    run = bench(singles(*names, executable="x"))
    run.succeed("t000", wall_s=0.05)
    run.pilot(cores=1, slots=1)
    (bundle,) = run.bundles()
    assert len(bundle) == 10


def test_a_group_is_no_smaller_than_a_hop_is_worth(bench: MakeBench) -> None:
    names = [f"t{number:02}" for number in range(9)]
    run = bench(singles(*names, executable="x"))
    run.succeed("t00", wall_s=0.004)
    run.pilot(cores=2, slots=8)
    assert [len(bundle) for bundle in run.bundles()] == [4, 4]


def test_short_tasks_are_shared_among_the_places_that_they_find(bench: MakeBench) -> None:
    names = [f"t{number:02}" for number in range(61)]
    run = bench(singles(*names, executable="x"))
    run.succeed("t00", wall_s=0.01)
    run.pilot(cores=2, slots=8)
    assert [len(bundle) for bundle in run.bundles()] == [10, 10]


@pytest.mark.parametrize(("places", "together"), [(10, 1), (90, 1), (110, 2)])
def test_longer_tasks_are_grouped_where_more_would_end_than_a_runner_can_follow(
    bench: MakeBench, places: int, together: int
) -> None:
    names = [f"t{number:03}" for number in range(1 + 6 * places)]
    run = bench(singles(*names, executable="x"))
    run.succeed("t000", wall_s=0.1)
    run.pilot(cores=places, slots=places, ram_bytes=places * GB)
    assert [len(bundle) for bundle in run.bundles()] == places * [together]


def test_no_group_is_larger_than_two_hundred(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "HOPS", 1)
    run = bench(singles(*(f"t{number:03}" for number in range(701)), executable="x"))
    run.succeed("t000", wall_s=0.001)
    run.pilot(cores=1, slots=1)
    assert [len(bundle) for bundle in run.bundles()] == [200]


def test_a_group_is_of_one_executable(bench: MakeBench) -> None:
    nodes = [task(f"t{number:02}", "x") for number in range(8)]
    run = bench(body(*nodes, task("other"), *[task(f"u{n}", "x") for n in range(20)], r=out("t00")))
    run.succeed("t00", wall_s=0.01)
    run.pilot(cores=1, slots=1)
    (bundle,) = run.bundles()
    assert bundle == (*(f"t{number:02}" for number in range(1, 8)), "u0", "u1")


def test_grouping_can_be_turned_off(bench: MakeBench) -> None:
    run = bench(singles("a", "b", "c", "d", executable="x"), group=False)
    run.succeed("a", wall_s=0.01)
    run.pilot(cores=1, slots=1)
    assert run.bundles() == [("b",)]


def test_a_bundle_holds_the_most_that_any_of_its_tasks_needs(bench: MakeBench) -> None:
    run = bench(
        chain_abc(), needs={"a": Resources(cores=2, ram_bytes=GB, disk_bytes=5), "b": Resources()}
    )
    run.order("a", "b", "c")
    used = run.run.usage[PilotId("p")]
    assert (used.cores, used.ram_bytes, used.disk_bytes, used.slots) == (2, GB, 5, 1)


def test_disk_counts_only_where_a_pilot_says_how_much_it_has(bench: MakeBench) -> None:
    run = bench(singles("a"), needs={"a": Resources(disk_bytes=10)})
    run.pilot()
    assert run.bundles() == [("a",)]


def test_a_split_behind_a_task_is_not_fused(bench: MakeBench) -> None:
    inner = body(task("w", i=arg("item")), inputs=("item",), r=out("w"))
    top = body(
        task("make"), split("s", inner, over="item", item=out("make", "items")), r=out("make")
    )
    run = bench(top)
    run.pilot()
    assert run.bundles() == [("make",)]


# ---- time, order, reservations


def test_a_task_of_unknown_duration_goes_where_most_time_is_left(bench: MakeBench) -> None:
    unknown = Resources(cores=1, walltime_s=0)
    top = body(task("a"), task("b", x=out("a")), r=out("b"))
    run = bench(top, needs=dict.fromkeys("ab", unknown))
    run.pilot("short", until_s=100.0 + 300.0)
    run.pilot("long", until_s=100.0 + 900.0)
    (effect,) = run.decide()
    assert (effect.pilot, len(effect.tasks)) == ("long", 2)


def test_of_pilots_with_equal_room_that_which_ends_first_is_taken(bench: MakeBench) -> None:
    run = bench(singles("a"), needs={"a": Resources(walltime_s=600.0)})
    run.pilot("long", until_s=100.0 + 9000.0)
    run.pilot("short", until_s=100.0 + 900.0)
    run.pilot("shortest", until_s=100.0 + 300.0)
    (effect,) = run.decide()
    assert effect.pilot == "short"


def test_a_task_that_waits_too_long_goes_before_all_others(bench: MakeBench) -> None:
    top = body(task("old"), task("new", "w"), task("n", "w", x=out("new")), r=out("n"))
    needs = {"w": Resources(walltime_s=7200.0)}
    run = bench(top, needs=needs, policy="critical-path", fuse=False)
    run.pilot(cores=1)
    assert run.bundles() == [("new",)]
    run.now_s = 6 * 3600.0 + 1.0
    run.order("new")
    run.succeed("new")
    assert run.bundles() == [("old",)]


def test_overdue_tasks_of_one_shape_go_first_and_once(bench: MakeBench) -> None:
    top = body(task("z", "w"), task("a", "w", x=out("z")), task("b", "w"), r=out("a"))
    run = bench(top, policy="critical-path", fuse=False, group=False)
    run.pilot(cores=8)
    run.succeed("z")
    run.now_s = 6 * 3600.0 + 50.0
    assert run.bundles() == [("b",), ("a",)]


def test_a_pilot_is_kept_for_a_task_before_others_overtake_it(bench: MakeBench) -> None:
    needs = {"big": Resources(cores=4), "long": Resources(walltime_s=7200.0)}
    run = bench(singles("first", "big", "long"), needs=needs)
    run.pilot(cores=4)
    run.order("first")
    assert run.bundles() == []
    (kept,) = run.fleet.reservations.values()
    assert (kept.task, kept.pilot, kept.start_s) == ("big", "p", 100.0 + 3600.0)
    run.succeed("first")
    assert run.bundles() == [("big",)]
    assert run.fleet.reservations == {}


def test_a_task_that_fits_beside_the_one_a_pilot_is_kept_for_may_go_there(
    bench: MakeBench,
) -> None:
    needs = {
        "ending": Resources(cores=2),
        "lasting": Resources(cores=1, walltime_s=7200.0),
        "big": Resources(cores=5),
        "long": Resources(cores=1, walltime_s=7200.0),
    }
    names = ("ending", "lasting", "big", "long", "x")
    run = bench(singles(*names), needs=needs | {"x": needs["long"]})
    run.pilot(cores=7)
    run.order("ending")
    run.order("lasting")
    assert run.bundles() == [("long",)]  # 5 + 1 + 1; for x there is no room beside them


@pytest.mark.parametrize(("left_s", "together"), [(1.0, 1), (2.0, 2), (60.0, 3)])
def test_what_passes_the_task_that_a_pilot_is_kept_for_has_ended_when_that_starts(
    bench: MakeBench, left_s: float, together: int
) -> None:
    names = [f"t{number:02}" for number in range(40)]
    nodes = [task(name) for name in ("first", "big")] + [task(name, "x") for name in names]
    needs = {
        "first": Resources(walltime_s=left_s),
        "big": Resources(cores=4),
        "x": Resources(walltime_s=1.0),
    }
    run = bench(body(*nodes, r=out("big")), needs=needs)
    run.succeed("t00", wall_s=0.01)
    run.pilot(cores=4)
    run.order("first")
    assert [len(bundle) for bundle in run.bundles()] == 3 * [together]
    assert [kept.task for kept in run.fleet.reservations.values()] == ["big"]


def test_a_bundle_that_was_just_placed_holds_its_pilot_until_all_of_it_has_ended(
    bench: MakeBench,
) -> None:
    names = [f"t{number:02}" for number in range(30)]
    nodes = [task("first"), *(task(name, "x") for name in names), task("small")]
    needs = {"first": Resources(walltime_s=5.0), "x": Resources(cores=2, walltime_s=3.0)}
    run = bench(body(*nodes, r=out("small")), needs=needs)
    run.succeed("t00", wall_s=0.01)
    for pilot in "pqr":
        run.pilot(pilot, cores=1 if pilot == "r" else 2)
    run.order("first", pilot="q")
    effects = run.decide()
    assert [(one.pilot, len(one.tasks)) for one in effects] == [("p", 5), ("r", 1)]
    (kept,) = run.fleet.reservations.values()  # on p it could start at 115, not at 103
    assert (kept.pilot, kept.start_s) == ("q", 105.0)


@pytest.mark.parametrize(("hours", "refused"), [(9.0, ["long"]), (7.0, [])])
def test_a_task_that_declares_more_time_than_templates_have_is_refused_with_a_pilot_too(
    bench: MakeBench, hours: float, refused: list[str]
) -> None:
    run = bench(singles("long", "short"), needs={"long": Resources(walltime_s=hours * 3600.0)})
    offer = Resources(cores=4, ram_bytes=100 * GB, walltime_s=8 * 3600.0)
    light = PilotTemplate(name="light", offer=offer, slots=8, max_running=1)
    run.fleet.templates = {"light": light}
    run.pilot(until_s=100.0 + 8 * 3600.0)
    run.succeed("short")
    effects = run.decide()
    assert [one.task for one in effects if isinstance(one, RefuseTask)] == refused
    assert len(effects) == 1


def test_a_task_that_declares_too_much_time_starts_where_others_like_it_took_less(
    bench: MakeBench,
) -> None:
    names = [f"t{number:02}" for number in range(8)]
    run = bench(singles(*names, executable="x"), needs={"x": Resources(walltime_s=9 * 3600.0)})
    offer = Resources(cores=1, ram_bytes=100 * GB, walltime_s=8 * 3600.0)
    run.fleet.templates = {
        "light": PilotTemplate(name="light", offer=offer, slots=8, max_running=1)
    }
    run.pilot(cores=1, until_s=100.0 + 8 * 3600.0)
    for name in names[:7]:
        run.succeed(name, wall_s=60.0)
    assert run.bundles() == [("t07",)]


def test_a_task_that_is_overtaken_takes_another_pilot_if_that_has_room_first(
    bench: MakeBench,
) -> None:
    run = bench(singles("first", "big", "long"), needs={"big": Resources(cores=4)})
    run.pilot(cores=4)
    run.order("first")
    assert run.bundles() == [("long",)]
    run.pilot("q", cores=4)
    assert [e.pilot for e in run.decide() if e.tasks[0][0] == "big"] == ["q"]
    assert run.fleet.reservations == {}


def test_no_pilot_is_kept_that_has_too_little_time_left(bench: MakeBench) -> None:
    needs = {"big": Resources(cores=4), "long": Resources(walltime_s=7200.0)}
    run = bench(singles("first", "big", "long"), needs=needs)
    run.pilot(cores=4, until_s=100.0 + 9000.0)
    run.order("first")
    assert run.bundles() == []
    assert len(run.fleet.reservations) == 1
    run.now_s += 6000.0
    run.pilot("q", cores=1)
    assert run.bundles() == [("long",)]
    assert run.fleet.reservations == {}


def test_no_pilot_is_kept_that_has_left(bench: MakeBench) -> None:
    needs = {"big": Resources(cores=4), "long": Resources(walltime_s=7200.0)}
    run = bench(singles("first", "big", "long"), needs=needs)
    run.pilot(cores=4)
    run.order("first")
    assert run.bundles() == []
    run.fleet.apply(PilotLeft(pilot=PilotId("p"), reason="over", at_s=1.0))
    run.fleet.complete = False
    assert run.bundles() == []
    assert run.fleet.reservations == {}


def test_no_pilot_is_kept_for_a_task_that_has_time_on_none(bench: MakeBench) -> None:
    needs = {"big": Resources(cores=4, walltime_s=7200.0)}
    run = bench(singles("first", "big", "small"), needs=needs)
    run.pilot(cores=4, until_s=100.0 + 8000.0)
    run.order("first")
    assert run.bundles() == [("small",)]
    assert run.fleet.reservations == {}


def test_one_pilot_in_four_is_kept_at_most(bench: MakeBench) -> None:
    needs = {name: Resources(cores=4, walltime_s=60.0 + n) for n, name in enumerate("abc")}
    firsts = [f"f{number}" for number in range(5)]
    run = bench(singles(*firsts, *"abc", "small"), needs=needs)
    for name, pilot in zip(firsts, "pqrst", strict=True):
        run.pilot(pilot, cores=4)
        run.order(name, pilot=pilot)
    assert run.bundles() == [("small",)]
    assert [kept.task for kept in run.fleet.reservations.values()] == ["a", "b"]


def test_short_tasks_without_a_declared_walltime_go_together_too(bench: MakeBench) -> None:
    names = [f"t{number:02}" for number in range(40)]
    run = bench(singles(*names, executable="x"), needs={"x": Resources(walltime_s=0)})
    run.succeed("t00", wall_s=0.01)
    run.pilot(cores=1, slots=1)
    (bundle,) = run.bundles()
    assert len(bundle) == 13


def test_a_group_ends_before_its_pilot(bench: MakeBench) -> None:
    names = [f"t{number:03}" for number in range(900)]
    run = bench(singles(*names, executable="x"), needs={"x": Resources(walltime_s=0.02)})
    for name in names[:9]:
        run.succeed(name, wall_s=0.01)
    run.pilot(cores=1, slots=1, until_s=100.1)
    (bundle,) = run.bundles()
    assert len(bundle) == 7


def test_durations_are_learned_over_runs_and_by_version(bench: MakeBench) -> None:
    one = bench(singles("a", "b", executable="x"), run="one", versions={"x": "2.0"})
    two = bench(singles("c", executable="x"), run="two", versions={"x": "2.0"})
    durations: dict[str, Any] = {}
    one.succeed("a", wall_s=3.0)
    for run in (one, two):
        run.run.share(durations)
    two.succeed("c", wall_s=5.0)
    assert (durations["x 2.0"].count, durations["x 2.0"].mean_s) == (2, 4.0)
