"""A run with a split, told by its events, and its journal on disk."""

from collections.abc import Callable
from pathlib import Path

import pytest

from euclid_dask import ComputingResources, Executable, Input, Output, parallel, pipeline
from euclid_dask.core.attempts import Failure, FailureKind, Fingerprint, Place, Profile
from euclid_dask.core.events import (
    JOURNAL_VERSION,
    InputFile,
    ListJoined,
    RunEnded,
    RunEvent,
    RunStarted,
    SplitExpanded,
    TaskErred,
    TasksOrdered,
    TaskStarted,
    TaskSucceeded,
)
from euclid_dask.core.flow import Flow
from euclid_dask.core.ids import PilotId, RunId, SplitId, TaskId
from euclid_dask.core.states import RunState
from euclid_dask.planner.run import Run
from euclid_dask.runner.journal import Journal

BEGUN_S = 1_000_000.0
Tell = Callable[..., Run]

NEEDS = ComputingResources(cores=1, ram=1.0, walltime=1.0)
cut = Executable(
    "cut --fine",
    inputs=[Input("image")],
    outputs=[Output("tiles", mime_type="json", content_type="listfile")],
    resources=NEEDS,
)
clean = Executable("clean", inputs=["tile", "image"], outputs=[Output("cleaned", mime_type="fits")])
paste = Executable("paste", inputs=["tiles"], outputs=[Output("picture", mime_type="png")])


@parallel(iterable="tile")
def each(tile, image):
    return clean(tile=tile, image=image)


@pipeline(outputs=("picture",))
def mosaic(image):
    tiles = cut(image=image)
    return paste(tiles=each(tile=tiles, image=image))


@pytest.fixture
def flow() -> Flow:
    return mosaic.trace().flow


@pytest.fixture
def tell(tmp_path: Path, flow: Flow) -> Tell:
    """Return a function that makes a run of events; its journal is where a run's journal is."""

    def told(events: list[RunEvent]) -> Run:
        folder = tmp_path / "w" / ".euclid-dask" / "mosaic-1"
        (folder / "attempts").mkdir(parents=True)
        place = Place(
            run=RunId("mosaic-1"),
            workdir=str(tmp_path / "w"),
            logdir="logs",
            records=str(folder / "attempts"),
        )
        started = RunStarted(
            at_s=BEGUN_S,
            run=RunId("mosaic-1"),
            flow=flow,
            inputs={"image": InputFile(path="raw.fits", identity="x")},
            place=place,
            journal_version=JOURNAL_VERSION,
            software="euclid_dask test",
        )
        run = Run(started)
        journal = Journal.create(folder / "journal.jsonl", started)
        for event in events:
            journal.append(event)
            run.apply(event)
        journal.sync()
        journal.close()
        return run

    return told


def ordered(task: str, at_s: float, attempt: int = 1) -> list[RunEvent]:
    """Return the events of an attempt that begins."""
    return [
        TasksOrdered(at_s=BEGUN_S + at_s, pilot=PilotId("p"), tasks=((TaskId(task), attempt),)),
        TaskStarted(at_s=BEGUN_S + at_s, task=TaskId(task), attempt=attempt, host="h"),
    ]


def succeeded(task: str, at_s: float, end_s: float, **outputs: str) -> list[RunEvent]:
    """Return the events of an attempt that succeeds."""
    return [
        *ordered(task, at_s),
        TaskSucceeded(
            at_s=BEGUN_S + end_s,
            task=TaskId(task),
            attempt=1,
            outputs={p: Fingerprint(path=f, size=1, mtime_ns=1) for p, f in outputs.items()},
            profile=Profile(wall_s=end_s - at_s, cpu_s=(end_s - at_s) / 2, peak_ram_bytes=10**8),
            started_s=BEGUN_S + at_s,
        ),
    ]


def failed(task: str, at_s: float, end_s: float, message: str) -> list[RunEvent]:
    """Return the events of an attempt that fails."""
    failure = Failure(kind=FailureKind.EXIT, message=message, exit_code=3)
    return [
        *ordered(task, at_s),
        TaskErred(
            at_s=BEGUN_S + end_s,
            task=TaskId(task),
            attempt=1,
            failure=failure,
            profile=Profile(wall_s=end_s - at_s),
            started_s=BEGUN_S + at_s,
        ),
    ]


def split(count: int) -> RunEvent:
    """Return the event that opens the split."""
    items = tuple(InputFile(path=f"tile{i}.fits") for i in range(count))
    return SplitExpanded(at_s=BEGUN_S + 2, split=SplitId("each"), items=items)


@pytest.fixture
def done(tell: Tell) -> Run:
    """A run of two branches that is done."""
    return tell(
        [
            *succeeded("cut", 0, 2, tiles="cut/tiles.json"),
            split(2),
            *succeeded("each.iterations.1.clean", 2, 5),
            *succeeded("each.iterations.2.clean", 3, 6),
            ListJoined(at_s=BEGUN_S + 6, split=SplitId("each")),
            *succeeded("paste", 6, 8),
            RunEnded(at_s=BEGUN_S + 8, state=RunState.DONE),
        ]
    )


@pytest.fixture
def broken(tell: Tell) -> Run:
    """A run of three branches of which two failed in the same way."""
    return tell(
        [
            *succeeded("cut", 0, 2, tiles="cut/tiles.json"),
            split(3),
            *succeeded("each.iterations.1.clean", 2, 5),
            *failed("each.iterations.2.clean", 3, 6, "'each.iterations.2.clean' ended: row 7"),
            *failed("each.iterations.3.clean", 3, 6, "'each.iterations.3.clean' ended: row 9"),
            RunEnded(at_s=BEGUN_S + 8, state=RunState.FAILED),
        ]
    )
