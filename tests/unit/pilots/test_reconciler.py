"""Pilots against the jobs of a batch system in memory: what is told, and that no job is forgotten.

The last test has the runner, the batch system and its answers fail at random.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fake_batch import Crash, FakeBatch
from hypothesis import given, settings
from hypothesis import strategies as st

from euclid_dask.core.errors import BatchError, SiteError
from euclid_dask.core.events import (
    PilotDraining,
    PilotEvent,
    PilotLeft,
    PilotQueued,
    PilotRequested,
    PilotStarting,
    PilotSubmitted,
)
from euclid_dask.core.ids import JobId, PilotId
from euclid_dask.core.pilots import Job, JobState
from euclid_dask.core.values import replace
from euclid_dask.pilots.lease import Leases, give_back, lease_path
from euclid_dask.pilots.names import JobNames
from euclid_dask.pilots.reconciler import Pace, Reconciler

PREFIX = "euclid-dask-t-"
NAMES = JobNames(prefix=PREFIX)
P = PilotId("light-000001")
ENDED = JobState.ENDED


class Bench:
    """A batch system, time that passes when told to, and what was told."""

    def __init__(self, records: Path, names: JobNames = NAMES) -> None:
        self.batch, self.names, self.records = FakeBatch(), names, records
        self.told: list[PilotEvent] = []
        self.time_s = 0.0
        self.restart({})

    def restart(self, believed: Mapping[PilotId, JobId]) -> None:
        self.reconciler = Reconciler(
            self.batch,
            names=self.names,
            script=self.script,
            tell=self.told.append,
            time=lambda: self.time_s,
            pace=Pace(leases=Leases(records=self.records, lasts_s=60.0)),
        )
        self.reconciler.believe(believed)

    def script(self, pilot: PilotId, template: str, avoid: Sequence[str]) -> str:
        if template == "wrong":
            raise SiteError("no such thing", hint="mend it")
        self.avoided = list(avoid)
        return f"be {pilot}"

    def step(self, seconds: float = 0.0) -> float:
        self.time_s += seconds
        return self.reconciler.step()

    def news(self) -> list[tuple[str, ...]]:
        """Return what was told since the last call, in short."""
        told, self.told[:] = list(self.told), []
        return [_short(event) for event in told]

    def submitted(self) -> JobId:
        self.reconciler.request(P, "light")
        self.step()
        self.news()
        return JobId("1")


def _short(event: PilotEvent) -> tuple[str, ...]:
    match event:
        case PilotSubmitted(job=job):
            return ("submitted", job)
        case PilotQueued(reason=reason):
            return ("queued", reason)
        case PilotStarting(host=host):
            return ("starting", host)
        case PilotLeft(reason=reason):
            return ("left", reason)
        case PilotDraining(reason=reason):
            return ("draining", reason)
        case _:
            raise AssertionError(event)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_pilot_is_told_from_its_submit_to_its_end(bench: Bench) -> None:
    bench.reconciler.request(P, "light")
    bench.step()
    assert bench.news() == [("submitted", "1")]
    bench.step(2)
    assert bench.news() == [("queued", "Priority")]
    bench.batch.become(JobState.RUNNING, host="n1")
    bench.step(2)
    assert bench.news() == [("starting", "n1")]
    bench.batch.become(ENDED, "TIMEOUT")
    bench.step(20)
    assert bench.news() == [("left", "its job ended (TIMEOUT)")]


def test_a_pilot_that_ended_between_two_looks_had_a_host(bench: Bench) -> None:
    bench.submitted()
    bench.batch.become(ENDED, "FAILED", host="n1")
    bench.step(2)
    assert bench.news() == [("starting", "n1"), ("left", "its job ended (FAILED)")]


def test_a_script_tells_of_the_hosts_to_avoid(bench: Bench) -> None:
    bench.reconciler.request(P, "light", ["n1"])
    bench.step()
    assert bench.avoided == ["n1"]


def test_what_has_not_changed_is_told_once(bench: Bench) -> None:
    bench.submitted()
    for _ in range(5):
        bench.step(20)
    bench.batch.become(JobState.QUEUED, "Resources")
    bench.step(20)
    assert bench.news() == [("queued", "Priority"), ("queued", "Resources")]


def test_the_end_of_a_failed_job_has_its_last_words(bench: Bench) -> None:
    bench.submitted()
    bench.batch.words[PREFIX + P] = "some noise\neuclid-dask pilot: host n1 is unfit: no disk\n"
    bench.batch.become(ENDED, "FAILED")
    bench.step(2)
    (left,) = [one for one in bench.told if isinstance(one, PilotLeft)]
    assert left.unfit == "n1"
    assert bench.news() == [("left", "its job ended (FAILED); it said: host n1 is unfit: no disk")]


def test_a_held_job_says_so(bench: Bench) -> None:
    bench.submitted()
    bench.batch.become(JobState.HELD, "PartitionTimeLimit")
    bench.step(2)
    assert bench.news() == [("queued", "held: PartitionTimeLimit")]


def test_nothing_is_concluded_of_a_job_in_an_unknown_state(bench: Bench) -> None:
    bench.submitted()
    bench.batch.become(JobState.RUNNING, host="n1")
    bench.step(2)
    bench.news()
    bench.batch.become(JobState.UNKNOWN, "U")
    bench.step(2)
    assert bench.news() == []


def test_a_state_that_is_not_known_is_told_once_as_why_a_pilot_waits(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.submitted()
    bench.batch.become(JobState.UNKNOWN, "U")
    for _ in range(2):
        bench.step(2)
    reason = "its job 1 is in a state that is not known here: U"
    assert bench.news() == [("queued", reason)]
    assert caplog.messages == [f"{P}: {reason}; nothing is concluded from it"]
    bench.batch.become(JobState.RUNNING, host="n1")
    bench.step(2)
    assert bench.news() == [("starting", "n1")]


def test_a_failing_poll_ends_no_pilot(bench: Bench) -> None:
    bench.submitted()
    bench.step(2)
    bench.news()
    bench.batch.faults["jobs"] = ["unreachable"] * 3
    for _ in range(3):
        bench.step(20)
    assert bench.news() == []
    bench.step(20)
    assert bench.news() == []


def test_a_refused_poll_is_an_error_and_is_not_repeated_at_once(bench: Bench) -> None:
    bench.submitted()
    bench.batch.faults["jobs"] = ["refused"]
    with pytest.raises(BatchError):
        bench.step(2)
    calls = len(bench.batch.calls)
    bench.step(1)
    assert len(bench.batch.calls) == calls


def test_a_pilot_that_never_began_leaves_some_time_after_its_job_has_vanished(
    bench: Bench,
) -> None:
    bench.submitted()
    bench.step(2)
    bench.news()
    bench.batch.made.clear()
    bench.step(20)
    bench.step(14)
    assert bench.news() == []
    bench.step(2)
    assert bench.news() == [("left", "the batch system knows no such job")]
    assert not lease_path(bench.records, P).exists()


def test_one_wrong_empty_answer_costs_nothing(bench: Bench) -> None:
    bench.submitted()
    bench.step(2)
    made = dict(bench.batch.made)
    bench.batch.made.clear()
    bench.step(20)
    bench.batch.made.update(made)
    bench.step(20)
    bench.batch.made.clear()
    bench.step(20)
    bench.batch.made.update(made)
    bench.step(20)
    assert bench.news() == [("queued", "Priority")]
    assert lease_path(bench.records, P).exists()


def test_a_job_that_is_not_listed_yet_is_waited_for(bench: Bench) -> None:
    bench.submitted()
    made = dict(bench.batch.made)
    bench.batch.made.clear()
    bench.step(2)
    bench.batch.made.update(made)
    bench.step(2)
    assert bench.news() == [("queued", "Priority")]


def test_jobs_are_submitted_one_at_a_time(bench: Bench) -> None:
    for number in range(3):
        bench.reconciler.request(PilotId(f"p{number}"), "light")
    assert bench.step() == 1.0
    assert bench.batch.calls.count("submit") == 1
    bench.step(0.5)
    assert bench.batch.calls.count("submit") == 1
    bench.step(0.5)
    bench.step(1)
    assert bench.batch.calls.count("submit") == 3


def test_the_queue_is_looked_at_more_often_after_a_submit(bench: Bench) -> None:
    bench.submitted()
    assert bench.step(2) == 2.0
    assert bench.step(40) == 20.0


def test_a_submit_that_could_not_be_asked_for_is_tried_again(bench: Bench) -> None:
    bench.batch.faults["submit"] = ["unreachable"]
    bench.reconciler.request(P, "light")
    bench.step()
    assert bench.news() == [("queued", "not submitted yet: no controller")]
    bench.step(5)
    assert bench.news() == []
    bench.step(20)
    assert bench.news()[0] == ("submitted", "1")


@pytest.mark.parametrize(("template", "reason"), [("light", "invalid partition"), ("wrong", "no")])
def test_a_refused_pilot_leaves_with_the_reason(bench: Bench, template: str, reason: str) -> None:
    bench.batch.faults["submit"] = ["refused"]
    bench.reconciler.request(P, template)
    bench.step()
    [(kind, told)] = bench.news()
    assert kind == "left"
    assert reason in told
    assert "hint: " in told
    assert "\n" not in told


def test_a_submit_without_an_answer_is_looked_up_by_name(bench: Bench) -> None:
    bench.batch.faults["submit"] = ["done"]
    bench.reconciler.request(P, "light")
    bench.step()
    assert bench.news() == []
    bench.step(2)
    assert bench.news() == [("submitted", "1"), ("queued", "Priority")]


def test_a_submit_that_was_not_done_is_given_up_and_not_repeated(bench: Bench) -> None:
    bench.batch.faults["submit"] = ["not done"]
    bench.reconciler.request(P, "light")
    bench.step()
    for _ in range(6):
        bench.step(2)
    assert bench.news() == []
    bench.step(4)
    assert bench.news() == [("left", "the batch system knows no such job")]
    assert bench.batch.calls.count("submit") == 1


def test_a_job_that_appears_after_it_was_given_up_is_cancelled(bench: Bench) -> None:
    bench.batch.faults["submit"] = ["late"]
    bench.reconciler.request(P, "light")
    bench.step()
    bench.step(16)
    assert bench.news()[-1][0] == "left"
    bench.batch.late.pop()()
    bench.step(20)
    assert bench.batch.living() == []
    for _ in range(10):
        bench.step(20)
    assert bench.news()[-1] == ("left", "nobody waited for it")


def test_a_cancelled_pilot_leaves_when_its_job_has_ended(bench: Bench) -> None:
    bench.submitted()
    bench.step(2)
    bench.news()
    bench.batch.faults["cancel"] = ["ignored"]
    bench.reconciler.cancel(P, "nobody needs it")
    bench.step()
    assert bench.news() == []
    bench.step(2)
    bench.step(2)
    assert bench.news() == [("left", "nobody needs it")]
    assert bench.batch.calls.count("cancel") == 2


def test_a_pilot_that_was_not_submitted_is_not_submitted_after_its_cancel(bench: Bench) -> None:
    bench.reconciler.request(P, "light")
    bench.reconciler.cancel(P, "nobody needs it")
    bench.step()
    assert bench.news() == [("left", "nobody needs it")]
    assert "submit" not in bench.batch.calls


def test_a_cancel_that_cannot_be_asked_for_is_asked_again(bench: Bench) -> None:
    bench.submitted()
    bench.batch.faults["cancel"] = ["unreachable"]
    bench.reconciler.cancel(P, "nobody needs it")
    bench.step()
    assert bench.batch.living()
    bench.step(2)
    assert not bench.batch.living()


def test_pilots_of_an_earlier_runner_are_taken_over_or_told_to_have_left(bench: Bench) -> None:
    bench.submitted()
    bench.batch.become(JobState.RUNNING, host="n2")
    gone = lease_path(bench.records, PilotId("gone"))
    gone.touch()
    give_back(gone)
    bench.restart({P: JobId("1"), PilotId("gone"): JobId("7")})
    bench.step()
    assert bench.news() == [("starting", "n2"), ("left", "the batch system knows no such job")]
    assert bench.batch.living() == [PREFIX + P]


def test_a_pilot_whose_submit_a_crash_cut_short_is_found_by_its_name(bench: Bench) -> None:
    bench.batch.faults["submit"] = ["crash after"]
    bench.reconciler.request(P, "light")
    with pytest.raises(Crash):
        bench.step()
    bench.restart({P: JobId("")})
    bench.step()
    assert bench.news() == [("submitted", "1"), ("queued", "Priority")]


def test_pilots_are_found_by_names_that_tell_only_the_end_of_their_ids(tmp_path: Path) -> None:
    bench = Bench(tmp_path, JobNames(prefix="eabcdefgh", terse=True))
    bench.submitted()
    assert bench.batch.living() == ["eabcdefgh000001"]
    bench.restart({P: JobId("")})
    bench.step()
    assert [(type(one), one.pilot) for one in bench.told] == [
        (PilotSubmitted, P),
        (PilotQueued, P),
    ]


def test_jobs_that_nobody_believes_in_are_cancelled(bench: Bench) -> None:
    bench.submitted()
    bench.restart({})
    bench.step()
    assert bench.batch.living() == []


def test_all_are_cancelled_at_the_end_those_of_unknown_outcome_too(bench: Bench) -> None:
    bench.batch.faults["submit"] = ["", "done"]
    for number in range(3):
        bench.reconciler.request(PilotId(f"p{number}"), "light")
    bench.step()
    bench.step(1)
    assert len(bench.batch.living()) == 2
    assert bench.reconciler.cancel_all("the run has ended")
    assert bench.batch.living() == []


# ---- whatever fails


FAULTS = {
    "submit": ["crash before", "crash after", "unreachable", "refused", "done", "not done", "late"],
    "jobs": ["crash", "unreachable", "refused"],
    "cancel": ["crash", "unreachable", "ignored"],
}
NUMBERS = st.integers(0, 9)
ACTIONS = st.one_of(
    st.tuples(st.just("request"), st.sampled_from(["", *FAULTS["submit"]])),
    st.tuples(st.just("cancel"), NUMBERS),
    st.tuples(st.just("change"), NUMBERS, st.sampled_from(JobState)),
    st.tuples(st.just("forget"), NUMBERS),
    st.tuples(st.just("begin"), NUMBERS),
    st.tuples(st.just("arrive")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("read")),
    st.tuples(st.just("step"), st.sampled_from([0.0, 1.0, 2.0, 20.0])),
    *(st.tuples(st.just("fail"), st.just(name), st.sampled_from(FAULTS[name])) for name in FAULTS),
)


class Runner:
    """What a runner believes of pilots, by what it has written down; it is killed at will."""

    def __init__(self, records: Path) -> None:
        self.bench = Bench(records)
        self.requested: list[PilotId] = []
        self.journal: list[PilotEvent] = []

    def request(self, fault: str) -> None:
        pilot = PilotId(f"p{len(self.requested)}")
        self.requested.append(pilot)
        self.journal.append(PilotRequested(pilot=pilot, template="light", at_s=0))
        self.fail("submit", fault)
        self.bench.reconciler.request(pilot, "light")

    def cancel(self, number: int) -> None:
        if number < len(self.requested):
            self.bench.reconciler.cancel(self.requested[number], "unneeded")

    def change(self, number: int, state: JobState) -> None:
        """Have the batch system change the state of a job."""
        job = self._job(number)
        if job is not None and job.state is not ENDED:
            self.bench.batch.become(state, job=job.id)

    def forget(self, number: int) -> None:
        """Have the batch system list a job no more that has ended."""
        job = self._job(number)
        if job is not None and job.state is ENDED:
            self.bench.batch.made[job.id] = replace(job, name="of others")

    def begin(self, number: int) -> None:
        """Have a pilot take up its lease."""
        with suppress(IndexError, FileNotFoundError):
            os.utime(lease_path(self.bench.records, self.requested[number]))

    def arrive(self) -> None:
        """Have jobs appear whose submit was not answered."""
        while self.bench.batch.late:
            self.bench.batch.late.pop()()

    def fail(self, command: str, fault: str) -> None:
        self.bench.batch.faults.setdefault(command, []).append(fault)

    def _job(self, number: int) -> Job | None:
        made = list(self.bench.batch.made.values())
        return made[number] if number < len(made) else None

    def step(self, seconds: float) -> None:
        try:
            with suppress(BatchError):
                self.bench.step(seconds)
        except Crash:
            self.restart()

    def read(self) -> None:
        self.journal += self.bench.told
        self.bench.told.clear()

    def believed(self) -> dict[PilotId, JobId]:
        found: dict[PilotId, JobId] = {}
        for event in self.journal:
            match event:
                case PilotRequested(pilot=pilot):
                    found[pilot] = JobId("")
                case PilotSubmitted(pilot=pilot, job=job):
                    found[pilot] = job
                case PilotLeft(pilot=pilot):
                    found.pop(pilot, None)
                case _:
                    pass
        return found

    def restart(self) -> None:
        self.bench.told.clear()  # what it had not read is lost with it
        self.bench.restart(self.believed())


@settings(max_examples=250, deadline=None)
@given(st.lists(ACTIONS, min_size=15, max_size=60))
def test_no_pilot_has_two_jobs_and_none_is_forgotten(actions: list[tuple[object, ...]]) -> None:
    with TemporaryDirectory() as folder:
        _check_that_none_is_forgotten(Runner(Path(folder)), actions)


def _check_that_none_is_forgotten(runner: Runner, actions: list[tuple[object, ...]]) -> None:
    batch = runner.bench.batch
    for name, *words in actions:
        getattr(runner, str(name))(*words)
    batch.faults.clear()
    runner.arrive()
    for _ in range(len(runner.requested) + 10):
        runner.step(20.0)
    runner.read()
    names = [job.name for job in batch.made.values() if job.name != "of others"]
    assert len(names) == len(set(names)), "a pilot has two jobs"
    believed = runner.believed()
    lost = [name for name in batch.living() if name.removeprefix(PREFIX) not in believed]
    beyond_reach = {JobState.UNKNOWN, JobState.ABANDONED}  # nothing runs there without its lease
    unsure = {job.name for job in batch.made.values() if job.state in beyond_reach}
    assert set(lost) <= unsure, "a job lives that nobody believes in"
    assert {PREFIX + pilot for pilot in believed} <= set(batch.living())
