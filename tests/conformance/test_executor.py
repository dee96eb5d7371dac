"""What every executor must do, with real processes."""

from collections.abc import Callable
from typing import Any

from euclid_dask.core.attempts import FailureKind, Receipt
from euclid_dask.core.ids import PilotId, TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import AttemptEnded, AttemptStarted, BundleOrder
from euclid_dask.worker.records import write_receipt


def _started(task: str) -> Callable[[Any], bool]:
    return lambda news: isinstance(news, AttemptStarted) and news.task == task


def _ended(task: str) -> Callable[[Any], bool]:
    return lambda news: isinstance(news, AttemptEnded) and news.receipt.task == task


def test_a_pilot_joins_with_cores_and_slots(opened: Any) -> None:
    joined = opened.pilots[0]
    assert joined.offer.cores in (2, 4)
    assert joined.slots == 4


def test_every_attempt_of_every_bundle_is_answered_once(opened: Any) -> None:
    bundles = [
        opened.bundle(*(opened.order(f"t{number}.{step}", "true") for step in range(3)))
        for number in range(12)
    ]
    opened.start(*bundles)
    tasks = [order.task for bundle in bundles for order in bundle.orders]
    assert opened.box.until_answered(*tasks) == {task: ["done"] for task in tasks}


def test_attempts_of_a_bundle_run_one_after_the_other(opened: Any) -> None:
    first = opened.order("first", "echo first >> order; sleep 0.2; echo end >> order")
    opened.start(opened.bundle(first, opened.order("second", "echo second >> order")))
    opened.box.until_answered("first", "second")
    assert (opened.workdir / "order").read_text().split() == ["first", "end", "second"]


def test_an_attempt_that_ended_is_reported_while_its_bundle_runs(opened: Any) -> None:
    waits = "while [ ! -e go ]; do sleep 0.02; done"
    opened.start(opened.bundle(opened.order("quick", "true"), opened.order("waits", waits)))
    opened.box.until(_ended("quick"))
    opened.box.until(_started("waits"))
    assert "waits" not in opened.box.answers()
    (opened.workdir / "go").touch()
    assert opened.box.until_answered("waits")["waits"] == ["done"]


def test_bundles_of_one_start_run_at_the_same_time(opened: Any) -> None:
    meet = "touch {0}; while [ ! -e {1} ]; do sleep 0.02; done"
    opened.start(
        opened.bundle(opened.order("left", meet.format("a", "b"))),
        opened.bundle(opened.order("right", meet.format("b", "a"))),
    )
    assert opened.box.until_answered("left", "right") == {"left": ["done"], "right": ["done"]}


def test_a_long_bundle_does_not_hold_up_a_later_one(opened: Any) -> None:
    opened.start(opened.bundle(opened.order("long", "sleep 600")))
    opened.box.until(_started("long"))
    opened.start(opened.bundle(opened.order("short", "true")))
    assert opened.box.until_answered("short") == {"short": ["done"]}


def test_a_failure_returns_the_rest_of_the_bundle_unstarted(opened: Any) -> None:
    orders = (
        opened.order("good", "true"),
        opened.order("bad", "exit 3"),
        opened.order("rest", "touch ran"),
    )
    opened.start(opened.bundle(*orders))
    answers = opened.box.until_answered("rest")
    assert answers == {"good": ["done"], "bad": ["exit"], "rest": ["returned"]}
    assert not (opened.workdir / "ran").exists()


def test_a_receipt_names_outputs_command_and_host(opened: Any) -> None:
    opened.start(opened.bundle(opened.order("make", "echo x > make/out.txt", outputs=("out",))))
    news = opened.box.until(_ended("make"))
    assert news.receipt.outputs["out"].size == 2
    assert f"--workdir={opened.workdir}" in news.receipt.command
    assert news.receipt.host


def test_cancel_kills_the_process_tree(
    opened: Any, find_living: Callable[[str], list[int]]
) -> None:
    script = "sleep 61 & setsid sleep 62 & sleep 63"
    opened.start(opened.bundle(opened.order("long", script)))
    opened.box.until(_started("long"))
    opened.cancel("long")
    assert opened.box.until_answered("long") == {"long": ["cancelled"]}
    assert [pid for number in (61, 62, 63) for pid in find_living(f"sleep\0{number}")] == []


def test_cancel_frees_the_slot(opened: Any) -> None:
    slots = opened.pilots[0].slots
    names = [f"long{number}" for number in range(slots)]
    opened.start(*(opened.bundle(opened.order(name, "sleep 600")) for name in names))
    for name in names:
        opened.box.until(_started(name))
    opened.cancel(*names)
    opened.box.until_answered(*names)
    opened.start(*(opened.bundle(opened.order(f"next{number}", "true")) for number in range(slots)))
    opened.box.until_answered(*(f"next{number}" for number in range(slots)))


def test_cancel_ends_an_executable_that_ignores_sigterm(opened: Any) -> None:
    script = "trap '' TERM; touch ready; while true; do sleep 0.1; done"
    opened.start(opened.bundle(opened.order("stubborn", script)))
    opened.box.until(_started("stubborn"))
    opened.cancel("stubborn")
    assert opened.box.until_answered("stubborn") == {"stubborn": ["cancelled"]}


def test_a_cancelled_attempt_of_a_running_bundle_is_never_started(opened: Any) -> None:
    waits = "while [ ! -e go ]; do sleep 0.02; done"
    orders = (
        opened.order("waits", waits),
        opened.order("doomed", "touch ran"),
        opened.order("rest", "touch ran"),
    )
    opened.start(opened.bundle(*orders), opened.bundle(opened.order("witness", "sleep 600")))
    opened.box.until(_started("waits"))
    opened.box.until(_started("witness"))
    opened.cancel("doomed", "witness")
    opened.box.until_answered("witness")
    (opened.workdir / "go").touch()
    answers = opened.box.until_answered("rest")
    del answers["witness"]
    assert answers == {"waits": ["done"], "doomed": ["cancelled"], "rest": ["returned"]}
    assert not (opened.workdir / "ran").exists()


def test_cancelling_what_has_ended_does_nothing(opened: Any) -> None:
    opened.start(opened.bundle(opened.order("quick", "true")))
    opened.box.until_answered("quick")
    opened.cancel("quick")
    opened.start(opened.bundle(opened.order("next", "true")))
    assert opened.box.until_answered("next") == {"quick": ["done"], "next": ["done"]}


def test_a_bundle_for_an_unknown_pilot_is_lost(opened: Any) -> None:
    bundle = opened.bundle(opened.order("one", "true"), opened.order("two", "true"))
    astray = BundleOrder(pilot=PilotId("nobody"), place=bundle.place, orders=bundle.orders)
    opened.start(astray)
    assert opened.box.until_answered("one", "two") == {"one": ["lost"], "two": ["lost"]}


def test_an_attempt_that_left_a_receipt_is_not_run_again(opened: Any) -> None:
    write_receipt(opened.place, Receipt(task=TaskId("old"), attempt=1, host="elsewhere"))
    opened.start(opened.bundle(opened.order("old", "touch ran")))
    assert opened.box.until(_ended("old")).receipt.host == "elsewhere"
    assert not (opened.workdir / "ran").exists()


def test_an_executable_sees_its_threads_and_its_name(opened: Any) -> None:
    opened.start(opened.bundle(opened.order("env", "env", needs=Resources(cores=2))))
    opened.box.until_answered("env")
    lines = opened.stdout("env").splitlines()
    variables = dict(line.split("=", 1) for line in lines if "=" in line)
    assert {variables[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NTHREADS")} == {"2"}
    assert variables["EUCLID_DASK_TASK"] == "env"
    assert variables["EUCLID_DASK_RUN"] == opened.place.run


def test_more_ram_than_asked_for_is_fatal_though_a_child_uses_it(opened: Any) -> None:
    eat = "python3 -c 'import time; x = bytearray(200_000_000); time.sleep(600)' & wait"
    needs = Resources(cores=1, ram_bytes=100_000_000)
    opened.start(opened.bundle(opened.order("greedy", eat, needs=needs)))
    news = opened.box.until(_ended("greedy"))
    assert news.receipt.failure.kind is FailureKind.MEMORY
    assert news.receipt.profile.peak_ram_bytes > 100_000_000


def test_close_kills_what_runs_and_answers_for_it(
    opened: Any, find_living: Callable[[str], list[int]]
) -> None:
    bundle = opened.bundle(opened.order("long", "sleep 64 & sleep 64"), opened.order("rest", ":"))
    opened.start(bundle)
    opened.box.until(_started("long"))
    opened.close()
    assert set(opened.box.until_answered("long", "rest")) == {"long", "rest"}
    assert opened.box.answers()["long"] == ["lost"]
    assert find_living("sleep\x0064") == []


def test_close_twice_is_the_same_as_once(opened: Any) -> None:
    opened.close()
    opened.close()


def test_what_is_started_after_close_is_lost(opened: Any) -> None:
    opened.close()
    opened.start(opened.bundle(opened.order("late", "true")))
    assert opened.box.until_answered("late") == {"late": ["lost"]}


def test_keeping_attempts_from_starting_leaves_those_that_run_alone(opened: Any) -> None:
    waits = opened.order("waits", "while [ ! -e go ]; do sleep 0.02; done")
    opened.start(opened.bundle(waits, opened.order("behind", "touch ran")))
    opened.box.until(_started("waits"))
    witnesses = [f"witness{number}" for number in range(300)]
    opened.start(opened.bundle(*(opened.order(witness, "sleep 0.2") for witness in witnesses)))
    opened.cancel("waits", "behind", *witnesses, only_waiting=True)
    opened.box.until_answered(*witnesses)
    assert opened.box.answers()[witnesses[-1]] == ["cancelled"]
    (opened.workdir / "go").touch()
    answers = opened.box.until_answered("waits", "behind")
    assert (answers["waits"], answers["behind"]) == (["done"], ["cancelled"])
    assert not (opened.workdir / "ran").exists()
