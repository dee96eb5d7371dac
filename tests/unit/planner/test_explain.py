"""Why a task does not run: every reason of the policy, in words."""

from collections.abc import Callable
from typing import Any

import pytest

from euclid_dask.core.events import (
    CancelRequested,
    HostQuarantined,
    PilotDraining,
    PilotJoined,
    PilotLeft,
    PilotQueued,
    PilotRequested,
)
from euclid_dask.core.ids import PilotId
from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.rules import Rules
from euclid_dask.planner import Fleet, Provisioning
from euclid_dask.planner.estimates import Duration
from euclid_dask.planner.explain import Why, explain
from euclid_dask.sim.flows import arg, body, out, split, task

MakeBench = Callable[..., Any]
NEEDS = Resources(cores=2, ram_bytes=4 * GB, disk_bytes=GB, walltime_s=3600.0)


def template(name: str = "light", **fields: Any) -> PilotTemplate:
    offer = Resources(cores=4, ram_bytes=8 * GB, walltime_s=8 * 3600.0)
    return PilotTemplate(
        **{"name": name, "offer": offer, "slots": 8, "max_running": 2, "max_queued": 2} | fields
    )


@pytest.fixture
def run(bench: MakeBench) -> Any:
    made = bench(
        body(task("a"), task("b"), task("c", x=out("a"), y=out("b")), r=out("c")),
        needs={"a": NEEDS, "b": NEEDS},
    )
    made.fleet = Fleet(templates={"light": template()})
    return made


def why(run: Any, name: str = "a", others: tuple[Any, ...] = ()) -> dict[Why, str]:
    runs = [run.run, *(other.run for other in others)]
    found = explain(run.run, run.run.tasks[name], runs, run.fleet, run.now_s)
    return {reason.why: reason.text for reason in found}


def join(run: Any, name: str = "p", **fields: Any) -> None:
    offer = Resources(cores=4, ram_bytes=8 * GB, disk_bytes=2 * GB)
    joined = PilotJoined(
        **{"pilot": PilotId(name), "offer": offer, "slots": 3, "at_s": 50.0} | fields
    )
    run.fleet.apply(joined)


def test_a_task_waits_for_what_makes_its_inputs(run: Any) -> None:
    join(run)
    run.order("b")
    assert why(run, "c") == {Why.INPUT: "waits for a (ready), b (ordered)"}


def test_a_join_waits_for_its_split(bench: MakeBench) -> None:
    inner = body(task("w", i=arg("item")), inputs=("item",), r=out("w"))
    run = bench(
        body(task("make"), split("s", inner, over="item", item=out("make", "items")),
             task("g", x=out("s", "r")), r=out("g"))
    )  # fmt: skip
    assert why(run, "g") == {Why.INPUT: "waits for s (waiting)"}


def test_only_tasks_that_wait_are_explained(run: Any) -> None:
    run.order("a")
    assert why(run, "a") == {}


def test_a_cancelled_run_starts_nothing(run: Any) -> None:
    run.apply(CancelRequested(at_s=1.0, reason="Ctrl-C"))
    assert why(run) == {Why.RUN: "the run is cancelling: nothing starts any more"}


def test_a_task_that_fits_nothing_is_told_with_the_smallest_fix(run: Any) -> None:
    run.fleet = Fleet(
        templates={"light": template(offer=Resources(cores=1, ram_bytes=8 * GB, walltime_s=0))}
    )
    assert why(run) == {
        Why.MISFIT: "needs 2 cores, 4 GB of RAM, 1 GB of disk, 1 h; no template holds it. "
        "Give 'light' cores 2 (now 1), or ask for at most cores 1"
    }


def test_no_pilot_is_there(run: Any) -> None:
    found = why(run)
    assert found == {
        Why.NO_PILOT: "no pilot is there that holds 2 cores, 4 GB of RAM, 1 GB of disk, 1 h"
    }


def test_no_free_cores(run: Any) -> None:
    join(run, offer=Resources(cores=3, ram_bytes=80 * GB))
    run.order("b")
    assert why(run)[Why.CORES] == "p has 1 free cores of 3"


def test_no_free_ram(run: Any) -> None:
    join(run, offer=Resources(cores=8, ram_bytes=6 * GB))
    run.order("b")
    assert why(run)[Why.RAM] == "p has 2 GB of RAM free of 6"


def test_no_free_disk(run: Any) -> None:
    join(run, offer=Resources(cores=8, ram_bytes=80 * GB, disk_bytes=3 * GB // 2))
    run.order("b")
    assert why(run)[Why.DISK] == "p has 0.5 GB of disk free of 1.5"


def test_no_free_slot(run: Any) -> None:
    join(run, slots=1)
    run.order("b")
    assert why(run)[Why.SLOTS] == "p runs 1 bundles, as many as it may"


def test_too_little_time_left(run: Any) -> None:
    join(run, until_s=run.now_s + 1800.0)
    assert why(run)[Why.TIME] == "p ends in 30 min, the task needs 61 min"


def test_kept_for_another(bench: MakeBench) -> None:
    run = bench(
        body(task("one"), task("big"), task("long"), r=out("one")),
        needs={
            "one": Resources(cores=1, walltime_s=60.0),
            "big": Resources(cores=4, walltime_s=60.0),
            "long": Resources(cores=1, walltime_s=7200.0),
        },
    )
    run.pilot()
    run.order("one")
    assert run.bundles() == []
    assert why(run, "long") == {Why.RESERVED: "p is kept for big, to start in 60 s"}
    assert why(run, "big") == {Why.CORES: "p has 3 free cores of 4"}
    run.pilot("q")
    assert why(run, "long") == {Why.SOON: "q has room: it starts there in the next turn"}


def test_a_quarantined_host_takes_nothing(run: Any) -> None:
    join(run, host="n1")
    run.fleet.apply(HostQuarantined(host="n1", reason="disk full", until_s=900.0, at_s=60.0))
    assert why(run)[Why.QUARANTINED] == "p is on n1, which is quarantined: disk full"


def test_a_host_where_it_was_lost_before_is_avoided(run: Any) -> None:
    join(run, host="n1")
    join(run, "q", host="n2", slots=1)
    run.order("b", pilot="q")
    run.run.tasks["a"].avoids = ("n1",)
    assert why(run) == {
        Why.AVOIDED: "p is on n1, where an attempt before was lost",
        Why.SLOTS: "q runs 1 bundles, as many as it may",
    }


def test_a_draining_pilot_takes_nothing(run: Any) -> None:
    join(run)
    run.fleet.apply(PilotDraining(pilot=PilotId("p"), reason="idle", at_s=60.0))
    assert why(run)[Why.NOT_UP] == "p is draining: idle"


def test_pilots_in_the_queue_are_told_with_its_reason_and_caps_too(run: Any) -> None:
    for name in ("light-1", "light-2"):
        run.fleet.apply(PilotRequested(pilot=PilotId(name), template="light", at_s=70.0))
    run.fleet.apply(PilotQueued(pilot=PilotId("light-1"), reason="Priority", at_s=80.0))
    run.fleet.templates = {"light": template(max_running=9)}
    found = why(run)
    assert (
        found[Why.QUEUED] == "light-1 is queued for 20 s (Priority), light-2 is requested for 30 s"
    )
    assert found[Why.CAP] == "template 'light' has 2 pilots queued (max_queued)"
    run.fleet.templates = {"light": template()}
    assert why(run)[Why.CAP] == "template 'light' has all of its 2 pilots (max_running)"


def test_the_limits_of_all_templates_are_told(run: Any) -> None:
    run.fleet.templates = {"light": template(max_running=9, max_queued=9)}
    run.fleet.apply(PilotRequested(pilot=PilotId("light-1"), template="light", at_s=70.0))
    run.fleet.rules = Rules(max_running=2, max_queued=1)
    assert why(run)[Why.CAP] == "no more than 1 pilots may be queued (limits.max_queued)"
    run.fleet.rules = Rules(max_running=1, max_queued=1)
    assert why(run)[Why.CAP] == "no more than 1 pilots may be there (limits.max_running)"


def test_that_more_pilots_are_requested_in_a_few_seconds_is_told(run: Any) -> None:
    run.fleet.templates = {"light": template(max_running=9, max_queued=9)}
    run.fleet.rules = Rules(requests=2)
    for name in ("light-1", "light-2"):
        run.fleet.apply(PilotRequested(pilot=PilotId(name), template="light", at_s=95.0))
    assert why(run)[Why.RATE] == "no more than 2 pilots are requested within 10 s"
    run.now_s = 105.0
    assert Why.RATE not in why(run)


def test_that_what_waits_is_not_worth_one_more_pilot_is_told(run: Any) -> None:
    offer = Resources(cores=16, ram_bytes=80 * GB, walltime_s=0)
    run.fleet.templates = {"light": template(offer=offer)}
    join(run, "light-1", offer=Resources(cores=2, ram_bytes=80 * GB, disk_bytes=GB))
    run.order("b", pilot="light-1")
    Provisioning().decide([run.run], run.fleet, run.now_s)
    assert why(run)[Why.LITTLE_USE] == (
        "what waits would use 12% of one more pilot of template 'light', "
        "and one is requested for 25% or more"
    )


def test_a_template_that_is_off(run: Any) -> None:
    run.fleet.templates = {"light": template(max_running=0), "heavy": template("heavy")}
    tiny = template("tiny", offer=Resources(cores=1))
    run.fleet.templates = {**run.fleet.templates, "tiny": tiny}
    assert why(run)[Why.OFF] == "template 'light' is off (its max_running is 0)"


def test_a_template_whose_pilots_do_not_start_is_paused(run: Any) -> None:
    for number in range(3):
        name = PilotId(f"light-{number}")
        run.fleet.apply(PilotRequested(pilot=name, template="light", at_s=70.0))
        run.fleet.apply(PilotLeft(pilot=name, reason="no such queue", at_s=80.0))
    assert why(run)[Why.PAUSED] == (
        "template 'light' is paused for 10 min: 3 pilots did not start, "
        "the last one said: no such queue"
    )


def test_pilots_that_come_too_late_are_told_with_their_numbers(run: Any) -> None:
    run.fleet.apply(PilotRequested(pilot=PilotId("light-1"), template="light", at_s=0.0))
    join(run, "light-1", until_s=50.0 + 1800.0)
    run.fleet.apply(PilotLeft(pilot=PilotId("light-1"), reason="idle", at_s=90.0))
    assert why(run)[Why.LATE] == (
        "pilots of template 'light' had 30 min left when they joined, "
        "the task needs 61 min; another one is tried in 9 min"
    )
    run.now_s = 650.0
    assert Why.LATE not in why(run)


def test_what_no_pilot_has_time_for_is_not_blamed_on_late_ones(bench: MakeBench) -> None:
    run = bench(body(task("a"), r=out("a")), needs={"a": Resources(cores=1, walltime_s=0)})
    run.fleet = Fleet(templates={"light": template()})
    durations = Duration()
    for _ in range(10):
        durations.add(9 * 3600.0)
    run.run.share({"a": durations})
    assert Why.LATE not in why(run)
    run.fleet.apply(PilotRequested(pilot=PilotId("light-1"), template="light", at_s=0.0))
    run.fleet.apply(PilotLeft(pilot=PilotId("light-1"), reason="no such queue", at_s=10.0))
    assert Why.LATE not in why(run), "none has joined yet"


def test_many_pilots_are_told_in_one_sentence(run: Any) -> None:
    for number in range(5):
        join(run, f"p{number}", until_s=run.now_s + 7200.0)
        run.fleet.apply(PilotDraining(pilot=PilotId(f"p{number}"), reason="idle", at_s=60.0))
    assert why(run)[Why.NOT_UP].endswith("p2 is draining: idle and 2 more")


def test_a_task_that_can_start_is_told_so(run: Any) -> None:
    join(run)
    assert why(run) == {Why.SOON: "p has room: it starts there in the next turn"}


def test_long_times_are_told_in_hours(run: Any) -> None:
    run.fleet.apply(PilotRequested(pilot=PilotId("light-1"), template="light", at_s=-9000.0))
    assert why(run)[Why.QUEUED] == "light-1 is requested for 2.5 h"
