"""Placing and provisioning in virtual time, looked at by a checker that knows only the log."""

from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from euclid_dask.core.events import (
    FleetOpened,
    PilotDraining,
    PilotJoined,
    PilotLeft,
    PilotRequested,
    RunOptions,
)
from euclid_dask.core.flow import Flow
from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.rules import Rules
from euclid_dask.core.states import RunState, TaskState
from euclid_dask.planner import Run
from euclid_dask.runner.journal import read_pilots
from euclid_dask.runner.pilots import PilotDesk, new_pilot_id
from euclid_dask.sim import (
    Queue,
    SimulatedSupply,
    Workload,
    World,
    begin,
    make_desk,
    make_runner,
    measure,
    simulate,
)
from euclid_dask.sim.flows import body, flow, out, task

HOUR = 3600.0
FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where a journal is on disk at once: a busy disk takes seconds for each."""


def template(name: str, cores: float, **fields: Any) -> PilotTemplate:
    offer = Resources(cores=cores, ram_bytes=int(4 * GB * cores), walltime_s=4 * HOUR)
    given = {"offer": offer, "slots": int(4 * cores), "max_running": 3, "max_queued": 2}
    return PilotTemplate(**{"name": name} | given | fields)


def independent(needs: dict[str, Resources], count: int) -> Flow:
    names = [f"{executable}{number}" for executable in needs for number in range(count)]
    nodes = [task(name, name.rstrip("0123456789")) for name in names]
    return flow(body(*nodes, r=out(names[0])), needs)


def check(world: World, run: Run, journal: Path, walls: dict[str, float]) -> None:
    """Look at all that was started: order of the dataflow, room, deadlines, once each."""
    joined = {e.pilot: e for e in read_pilots(journal) if isinstance(e, PilotJoined)}
    ended = {(run_id, task_id): s for (run_id, task_id, _), s in world.ended_s.items()}
    done = Counter(
        task_id for (_, task_id, _), receipt in world.receipts.items() if receipt.failure is None
    )
    assert set(done) == set(run.tasks)
    assert set(done.values()) == {1}
    changes: dict[str, list[tuple[float, int, Resources]]] = {}
    for one in world.log:
        planned = run.tasks[one.task]
        for maker in planned.producers():
            assert ended[one.run, maker.id] <= one.at_s
        offer = joined[one.pilot]
        end_s = world.ended_s[one.run, one.task, one.attempt]
        changes.setdefault(one.pilot, []).append((one.at_s, 1, planned.spec.needs))
        changes[one.pilot].append((end_s, -1, planned.spec.needs))
        if offer.until_s is not None:
            assert one.at_s + walls[one.executable] <= offer.until_s + 1e-6
    for pilot, events in changes.items():
        cores = ram = 0.0
        for _, sign, needs in sorted(events, key=lambda event: event[:2]):
            cores, ram = cores + sign * needs.cores, ram + sign * needs.ram_bytes
            assert cores <= joined[pilot].offer.cores + 1e-9
            assert ram <= joined[pilot].offer.ram_bytes


# ---- any workload, any templates, any queue


@st.composite
def workloads(draw: Any) -> tuple[Flow, dict[str, float]]:
    needs, walls = {}, {}
    for number in range(draw(st.integers(1, 4))):
        wall_s = draw(st.sampled_from([5.0, 60.0, 600.0, 5000.0]))
        needs[f"e{'abcd'[number]}"] = Resources(
            cores=draw(st.sampled_from([0.5, 1, 2, 7])),
            ram_bytes=draw(st.sampled_from([1, 3, 12])) * GB,
            walltime_s=wall_s * 1.5,
        )
        walls[f"e{'abcd'[number]}"] = wall_s
    nodes = []
    for number in range(draw(st.integers(1, 25))):
        makers = draw(st.lists(st.integers(0, number - 1), max_size=3)) if number else []
        inputs = {f"x{maker}": out(f"t{maker}") for maker in makers}
        nodes.append(task(f"t{number}", draw(st.sampled_from(sorted(needs))), **inputs))
    return flow(body(*nodes, r=out("t0")), needs), walls


@settings(max_examples=60, deadline=None)
@given(
    workloads(),
    st.integers(0, 5),
    st.sampled_from([0.0, 300.0]),
    st.sampled_from([None, 2 * HOUR]),
    st.sampled_from(["fifo", "critical-path"]),
)
def test_whatever_comes_every_task_is_done_once_and_nothing_is_overbooked(
    made: tuple[Flow, dict[str, float]], seed: int, wait_s: float, lost_s: float | None, policy: str
) -> None:
    pipeline, walls = made
    queue = Queue(wait_s=lambda draw: draw.uniform(0, wait_s), lost_s=lost_s, seed=seed)
    templates = {t.name: t for t in (template("light", 2), template("heavy", 8, max_running=2))}
    world = World(Workload(durations=walls))
    with TemporaryDirectory(dir=FAST) as folder:
        supply = SimulatedSupply(world, templates, queue)
        desk = make_desk(world, supply, Path(folder))
        options = RunOptions(policy=policy, lost_retries=50)
        active = begin(world, pipeline, Path(folder) / "w", options=options)
        simulate(world, active, pilots=desk)
        assert active.run.state is RunState.DONE
        for name, highest in supply.highest.items():
            assert highest <= templates[name].max_running
        ran = walls if lost_s is None else dict.fromkeys(walls, 0.0)
        check(world, active.run, Path(folder) / "pilots.jsonl", ran)


# ---- what was promised


def test_a_long_task_is_not_started_in_the_last_hour_of_a_pilot_but_a_short_one_is(
    tmp_path: Path,
) -> None:
    needs = {
        "long": Resources(cores=1, walltime_s=4 * HOUR),
        "short": Resources(cores=1, walltime_s=600.0),
    }
    world = World(Workload(durations={"long": 3 * HOUR, "short": 500.0}))
    begin_s = world.agenda.now_s()
    world.add_pilot("ends", Resources(cores=4, ram_bytes=8 * GB), until_s=begin_s + HOUR)
    world.add_pilot("late", Resources(cores=1, ram_bytes=8 * GB), after_s=2 * HOUR)
    active = begin(world, independent(needs, 2), tmp_path)
    simulate(world, active)
    where = {one.task: one.pilot for one in world.log}
    assert where == {"long0": "late", "long1": "late", "short0": "ends", "short1": "ends"}
    assert world.log[0].at_s == world.log[1].at_s == begin_s


def test_a_large_task_starts_within_its_reservation_although_small_ones_keep_coming(
    tmp_path: Path,
) -> None:
    small = Resources(cores=1, walltime_s=100.0)
    needs = {"first": small, "big": Resources(cores=8, walltime_s=100.0), "small": small}
    nodes = [task(f"f{n}", "first") for n in range(12)]
    nodes += [task("big"), *(task(f"s{n}", "small") for n in range(500))]
    world = World(Workload(durations={"first": lambda draw: draw.uniform(20, 100), "small": 90.0}))
    for name in ("p", "q"):
        world.add_pilot(name, Resources(cores=8, ram_bytes=999 * GB))
    active = begin(world, flow(body(*nodes, r=out("f0")), needs), tmp_path)
    simulate(world, active)
    begin_s = world.log[0].at_s
    (start_s,) = [one.at_s - begin_s for one in world.log if one.task == "big"]
    assert start_s <= 100.0


def test_the_mix_of_the_dask_probe_is_packed_within_a_quarter_of_the_lower_bound(
    tmp_path: Path,
) -> None:
    draw = Random(3)
    shapes = {
        f"c{cores}m{ram}": Resources(cores=cores, ram_bytes=ram * GB, walltime_s=30.0)
        for cores in (1, 2, 4, 8)
        for ram in (1, 2, 4, 8)
        if (cores, ram) != (1, 8)
    }
    names = draw.choices(
        sorted(shapes), weights=[8 / shapes[s].cores for s in sorted(shapes)], k=400
    )
    nodes = [task(f"t{number}", name) for number, name in enumerate(names)]
    walls = {f"t{number}": draw.uniform(0.2, 2.0) for number in range(400)}

    world = World(lambda run, order: Workload(usual_s=walls[order.task])(run, order))
    sizes = [(2, 4)] * 4 + [(8, 16)] * 2 + [(16, 32)]
    for number, (cores, ram) in enumerate(sizes):
        world.add_pilot(f"p{number}", Resources(cores=cores, ram_bytes=ram * GB))
    active = begin(world, flow(body(*nodes, r=out("t0")), shapes), tmp_path)
    simulate(world, active)
    work = sum(walls[f"t{n}"] * shapes[name].cores for n, name in enumerate(names))
    memory = sum(walls[f"t{n}"] * shapes[name].ram_bytes for n, name in enumerate(names))
    bound_s = max(
        work / sum(cores for cores, _ in sizes), memory / sum(ram * GB for _, ram in sizes)
    )
    assert bound_s <= measure(world).makespan_s <= 1.25 * bound_s


# ---- pilots come and go


def spare(world: World, desk: PilotDesk, active: Any, hours: float) -> None:
    """Have a runner go on for hours after its runs have ended."""
    runner = make_runner(world, [active], pilots=desk)
    runner.executor.open(runner.inbox)
    desk.open(runner.inbox)
    runner.turn([])
    end_s = world.agenda.now_s() + hours * HOUR
    while world.agenda.now_s() < end_s:
        runner.turn(runner.inbox.take(None))


def test_pilots_are_used_in_full_within_their_caps_and_idle_out_to_none(tmp_path: Path) -> None:
    templates = {t.name: t for t in (template("light", 2, max_running=5), template("heavy", 8))}
    world = World(Workload(usual_s=600.0))
    supply = SimulatedSupply(world, templates, Queue(wait_s=lambda draw: draw.uniform(10, 300)))
    desk = make_desk(world, supply, tmp_path)
    needs = {"x": Resources(cores=1, walltime_s=1200.0), "y": Resources(cores=8, walltime_s=1200.0)}
    active = begin(world, independent(needs, 150), tmp_path / "w")
    spare(world, desk, active, 16.0)
    assert active.run.state is RunState.DONE
    assert supply.highest == {"light": 5, "heavy": 3}
    assert (supply.alive("light"), supply.alive("heavy"), desk.fleet.pilots) == (0, 0, {})
    work_s = sum(one.cores * 600.0 for one in world.log)
    assert work_s / (34 * measure(world).makespan_s) > 0.7
    active.close()


def test_pilots_that_nobody_needs_any_more_are_cancelled(tmp_path: Path) -> None:
    templates = {"light": template("light", 1, max_running=4, max_queued=4)}
    world = World(Workload(usual_s=100.0))
    waits = iter([5.0, 5000.0, 5000.0, 5000.0])
    supply = SimulatedSupply(world, templates, Queue(wait_s=lambda _: next(waits)))
    desk = make_desk(world, supply, tmp_path)
    active = begin(world, independent({"x": Resources(walltime_s=1000.0)}, 5), tmp_path / "w")
    spare(world, desk, active, 1.0)
    text = (tmp_path / "pilots.jsonl").read_text()
    assert text.count("nothing waits for it any more") == 3
    assert (supply.requested, supply.alive("light")) == (4, 0)
    active.close()


def test_an_idle_pilot_that_holds_nothing_that_waits_makes_room_for_one_in_the_queue(
    tmp_path: Path,
) -> None:
    templates = {t.name: t for t in (template("light", 1), template("heavy", 8))}
    world = World(Workload(usual_s=10.0))
    waits = {8: 2000.0, 1: 5.0}
    needs = {"x": Resources(cores=1, walltime_s=60.0), "y": Resources(cores=8, walltime_s=60.0)}
    order = iter(sorted(waits, reverse=True))  # the largest is requested first
    supply = SimulatedSupply(world, templates, Queue(wait_s=lambda _: waits[next(order)]))
    desk = make_desk(world, supply, tmp_path, Rules(idle_s=1500.0, hysteresis_s=60.0))
    active = begin(world, independent(needs, 1), tmp_path / "w")
    simulate(world, active, pilots=desk)
    assert active.run.state is RunState.DONE
    [ended] = [e for e in read_pilots(tmp_path / "pilots.jsonl") if isinstance(e, PilotDraining)]
    [light] = [one for one in world.log if one.cores == 1]
    assert ended.pilot.startswith("light")
    assert ended.at_s - light.at_s < 100.0


def test_a_successor_is_requested_before_the_last_pilot_ends(tmp_path: Path) -> None:
    templates = {"light": template("light", 1, max_running=2)}
    world = World(Workload(usual_s=HOUR))
    supply = SimulatedSupply(world, templates, Queue(wait_s=lambda _: 600.0))
    desk = make_desk(world, supply, tmp_path)
    chain = [task("t0", "x"), *(task(f"t{n}", "x", x=out(f"t{n - 1}")) for n in range(1, 5))]
    pipeline = flow(body(*chain, r=out("t4")), {"x": Resources(walltime_s=1.02 * HOUR)})
    active = begin(world, pipeline, tmp_path / "w", options=RunOptions(fuse=False))
    simulate(world, active, pilots=desk)
    gaps = [b.at_s - a.at_s - HOUR for a, b in zip(world.log, world.log[1:], strict=False)]
    assert len({one.pilot for one in world.log}) == 2
    assert max(gaps) < 120.0


def test_templates_whose_pilots_never_start_are_paused(tmp_path: Path) -> None:
    templates = {"light": template("light", 1)}
    world = World(Workload(usual_s=100.0))
    supply = SimulatedSupply(world, templates, Queue(failing=1.0))
    rules = Rules(pause_s=1200.0)
    desk = make_desk(world, supply, tmp_path, rules)
    active = begin(world, independent({"x": Resources(walltime_s=1000.0)}, 2), tmp_path / "w")
    spare(world, desk, active, 1.0)
    assert 4 <= supply.requested <= 8
    assert active.run.count(TaskState.READY) == 2
    active.close()


def test_an_unreachable_pilot_takes_nothing_new_and_loses_nothing(tmp_path: Path) -> None:
    world = World(Workload(usual_s=100.0))
    world.add_pilot("p", Resources(cores=1, ram_bytes=9 * GB))
    world.agenda.at(world.agenda.now_s() + 50, lambda: world.send_away("p", 500.0))
    active = begin(world, independent({"x": Resources()}, 3), tmp_path)
    simulate(world, active)
    begin_s = world.log[0].at_s
    assert [one.at_s - begin_s for one in world.log] == [0.0, 550.0, 650.0]


def test_a_pilot_that_ends_while_it_is_away_is_not_asked_again(tmp_path: Path) -> None:
    world = World(Workload(usual_s=100.0))
    world.add_pilot("p", Resources(cores=1, ram_bytes=9 * GB))
    world.add_pilot("q", Resources(cores=1, ram_bytes=9 * GB), after_s=1000.0)
    begin_s = world.agenda.now_s()
    world.agenda.at(begin_s + 50, lambda: world.send_away("p", 500.0))
    world.agenda.at(begin_s + 400, lambda: world.remove_pilot("p"))
    active = begin(world, independent({"x": Resources()}, 2), tmp_path)
    simulate(world, active)
    assert [(one.pilot, one.at_s - begin_s) for one in world.log] == [("p", 0.0), ("q", 1000.0)]


# ---- the desk


def test_a_desk_takes_up_the_pilots_of_an_earlier_one(tmp_path: Path) -> None:
    templates = {"light": template("light", 1)}
    world = World(Workload())
    supply = SimulatedSupply(world, templates, Queue(wait_s=lambda _: 100.0))
    desk = make_desk(world, supply, tmp_path)
    active = begin(world, independent({"x": Resources()}, 1), tmp_path / "w")
    runner = make_runner(world, [active], pilots=desk)
    desk.open(runner.inbox)
    runner.turn([])
    (pilot,) = desk.fleet.pilots
    stray = PilotRequested(pilot=new_pilot_id("light"), template="light", at_s=0.0)
    desk.record(stray)
    desk.close(end_pilots=False)
    again = make_desk(world, supply, tmp_path)
    assert set(again.fleet.pilots) == {pilot, stray.pilot}
    runner = make_runner(world, [active], pilots=again)
    runner.run_until_ended()
    assert active.run.state is RunState.DONE
    events = list(read_pilots(tmp_path / "pilots.jsonl"))
    assert sum(isinstance(event, FleetOpened) for event in events) == 2
    left = [e for e in events if isinstance(e, PilotLeft) and e.pilot == stray.pilot]
    assert [event.reason for event in left] == ["there is no such job"]
    active.close()
