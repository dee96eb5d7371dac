"""The lives of a task, a split, a pilot and a run, and the only way to change them.

Rule 1: a state changes by `advance_...` and nowhere else; an arrow that is not in its table
raises. Rule 2: the values of these enums are written to journals; they are never renamed.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from euclid_dask.core.errors import IllegalTransitionError


class TaskState(StrEnum):
    """Where a task stands."""

    WAITING = "waiting"
    """At least one input does not exist yet."""
    READY = "ready"
    """All inputs exist; the next free place that fits may have it."""
    ORDERED = "ordered"
    """Given to a pilot; the executable has not been seen to start."""
    RUNNING = "running"
    """The executable runs."""
    DONE = "done"
    """An attempt succeeded and its outputs were checked."""
    SKIPPED = "skipped"
    """Not run: an earlier run made the same outputs from the same inputs."""
    OMITTED = "omitted"
    """Left out of the run by `--until`, `--from` or `--skip`; its outputs have to be there."""
    FAILED = "failed"
    """No attempt succeeded and none is left."""
    BLOCKED = "blocked"
    """An input will never exist, since what makes it failed."""
    CANCELLED = "cancelled"
    """The run was cancelled before the task ended."""


class TaskCue(StrEnum):
    """What can happen to a task."""

    INPUTS = "inputs are there"
    ORDER = "given to a pilot"
    START = "executable started"
    SUCCEED = "attempt succeeded"
    RETRY = "attempt ended, another follows"
    RETURN = "given back un-started"
    FAIL = "no attempt left"
    REUSE = "same work found done"
    OMIT = "left out again"
    BLOCK = "an input failed"
    UNMAKE = "an input or output is gone"
    CANCEL = "run cancelled"
    REVIVE = "run resumed"


_T, _C = TaskState, TaskCue

TASK_TRANSITIONS: Final[Mapping[tuple[TaskState, TaskCue], TaskState]] = MappingProxyType(
    {
        (_T.WAITING, _C.INPUTS): _T.READY,
        (_T.WAITING, _C.BLOCK): _T.BLOCKED,
        (_T.WAITING, _C.CANCEL): _T.CANCELLED,
        (_T.WAITING, _C.ORDER): _T.ORDERED,  # behind its producer, in one bundle
        (_T.READY, _C.ORDER): _T.ORDERED,
        (_T.READY, _C.REUSE): _T.SKIPPED,
        (_T.READY, _C.UNMAKE): _T.WAITING,
        (_T.READY, _C.FAIL): _T.FAILED,  # it fits no pilot
        (_T.READY, _C.CANCEL): _T.CANCELLED,
        (_T.ORDERED, _C.START): _T.RUNNING,
        (_T.ORDERED, _C.SUCCEED): _T.DONE,
        (_T.ORDERED, _C.RETRY): _T.READY,
        (_T.ORDERED, _C.FAIL): _T.FAILED,
        (_T.ORDERED, _C.RETURN): _T.WAITING,
        (_T.ORDERED, _C.CANCEL): _T.CANCELLED,
        (_T.RUNNING, _C.SUCCEED): _T.DONE,
        (_T.RUNNING, _C.RETRY): _T.READY,
        (_T.RUNNING, _C.FAIL): _T.FAILED,
        (_T.RUNNING, _C.RETURN): _T.WAITING,
        (_T.RUNNING, _C.CANCEL): _T.CANCELLED,
        (_T.DONE, _C.UNMAKE): _T.WAITING,
        (_T.SKIPPED, _C.UNMAKE): _T.WAITING,
        (_T.OMITTED, _C.FAIL): _T.FAILED,  # its outputs are not there
        (_T.FAILED, _C.OMIT): _T.OMITTED,
        (_T.FAILED, _C.REVIVE): _T.WAITING,
        (_T.BLOCKED, _C.REVIVE): _T.WAITING,
        (_T.CANCELLED, _C.REVIVE): _T.WAITING,
    }
)
TASK_FINISHED: Final = frozenset({_T.DONE, _T.SKIPPED, _T.OMITTED})
"""The outputs exist."""
TASK_DEAD: Final = frozenset({_T.FAILED, _T.BLOCKED, _T.CANCELLED})
"""The outputs will not exist, unless the run is resumed."""
TASK_ACTIVE: Final = frozenset({_T.ORDERED, _T.RUNNING})
"""Holds a place on a pilot."""


class SplitState(StrEnum):
    """Where a split stands."""

    WAITING = "waiting"
    """The list to split over does not exist yet."""
    READING = "reading"
    """The list exists and is being read."""
    OPEN = "open"
    """Its branches run."""
    JOINING = "joining"
    """All branches ended well enough; the joined list is being written."""
    DONE = "done"
    """The joined list exists."""
    BLOCKED = "blocked"
    """There will be no joined list: the list to split over, or too many branches, failed."""


class SplitCue(StrEnum):
    """What can happen to a split."""

    INPUTS = "list is there"
    EXPAND = "list was read"
    BRANCHES = "branches ended"
    JOIN = "joined list was written"
    BLOCK = "failed"
    UNMAKE = "list is gone"
    REVIVE = "run resumed"


_S, _D = SplitState, SplitCue

SPLIT_TRANSITIONS: Final[Mapping[tuple[SplitState, SplitCue], SplitState]] = MappingProxyType(
    {
        (_S.WAITING, _D.INPUTS): _S.READING,
        (_S.WAITING, _D.BLOCK): _S.BLOCKED,
        (_S.READING, _D.EXPAND): _S.OPEN,
        (_S.READING, _D.BLOCK): _S.BLOCKED,
        (_S.READING, _D.UNMAKE): _S.WAITING,
        (_S.OPEN, _D.BRANCHES): _S.JOINING,
        (_S.OPEN, _D.BLOCK): _S.BLOCKED,
        (_S.JOINING, _D.JOIN): _S.DONE,
        (_S.JOINING, _D.BLOCK): _S.BLOCKED,
        (_S.JOINING, _D.UNMAKE): _S.OPEN,
        (_S.DONE, _D.UNMAKE): _S.OPEN,
        (_S.BLOCKED, _D.REVIVE): _S.WAITING,
    }
)


class PilotState(StrEnum):
    """Where a pilot stands."""

    REQUESTED = "requested"
    """Asked for; the batch system has not said anything of it yet."""
    QUEUED = "queued"
    """It waits in the batch system."""
    STARTING = "starting"
    """Its job runs; it has not joined yet."""
    UP = "up"
    """It takes tasks."""
    AWAY = "away"
    """It cannot be reached, but its job lives: nothing new goes there, what runs is not lost."""
    DRAINING = "draining"
    """It takes nothing new, and ends when nothing runs there any more."""
    GONE = "gone"
    """It ended, or will never start; nothing of it lives."""


class PilotCue(StrEnum):
    """What can happen to a pilot."""

    QUEUE = "waits in the queue"
    START = "job started"
    JOIN = "joined"
    AWAY = "cannot be reached"
    DRAIN = "not needed any more"
    LEAVE = "ended"


_P, _Q = PilotState, PilotCue

PILOT_TRANSITIONS: Final[Mapping[tuple[PilotState, PilotCue], PilotState]] = MappingProxyType(
    {
        (_P.REQUESTED, _Q.QUEUE): _P.QUEUED,
        (_P.REQUESTED, _Q.START): _P.STARTING,
        (_P.REQUESTED, _Q.JOIN): _P.UP,
        (_P.REQUESTED, _Q.DRAIN): _P.DRAINING,
        (_P.REQUESTED, _Q.LEAVE): _P.GONE,
        (_P.QUEUED, _Q.START): _P.STARTING,
        (_P.QUEUED, _Q.JOIN): _P.UP,
        (_P.QUEUED, _Q.DRAIN): _P.DRAINING,
        (_P.QUEUED, _Q.LEAVE): _P.GONE,
        (_P.STARTING, _Q.QUEUE): _P.QUEUED,  # the batch system took it back
        (_P.STARTING, _Q.JOIN): _P.UP,
        (_P.STARTING, _Q.DRAIN): _P.DRAINING,
        (_P.STARTING, _Q.LEAVE): _P.GONE,
        (_P.UP, _Q.AWAY): _P.AWAY,
        (_P.UP, _Q.DRAIN): _P.DRAINING,
        (_P.UP, _Q.LEAVE): _P.GONE,
        (_P.AWAY, _Q.JOIN): _P.UP,
        (_P.AWAY, _Q.DRAIN): _P.DRAINING,
        (_P.AWAY, _Q.LEAVE): _P.GONE,
        (_P.DRAINING, _Q.LEAVE): _P.GONE,
    }
)
PILOT_COMING: Final = frozenset({_P.REQUESTED, _P.QUEUED, _P.STARTING})
"""It was asked for and has not joined yet."""


class RunState(StrEnum):
    """Where a run stands."""

    ACTIVE = "active"
    """Tasks run or will run."""
    CANCELLING = "cancelling"
    """No task starts any more; those that run are awaited or being killed."""
    DONE = "done"
    """Every output that was asked for exists."""
    FAILED = "failed"
    """Nothing can go on, and an output that was asked for does not exist."""
    CANCELLED = "cancelled"
    """Ended on request."""


class RunCue(StrEnum):
    """What can happen to a run."""

    CANCEL = "cancel asked"
    FINISH = "all done"
    FAIL = "nothing can go on"
    STOP = "all stopped"
    REVIVE = "resumed"


_R, _U = RunState, RunCue

RUN_TRANSITIONS: Final[Mapping[tuple[RunState, RunCue], RunState]] = MappingProxyType(
    {
        (_R.ACTIVE, _U.CANCEL): _R.CANCELLING,
        (_R.ACTIVE, _U.FINISH): _R.DONE,
        (_R.ACTIVE, _U.FAIL): _R.FAILED,
        (_R.ACTIVE, _U.REVIVE): _R.ACTIVE,
        (_R.CANCELLING, _U.CANCEL): _R.CANCELLING,
        (_R.CANCELLING, _U.STOP): _R.CANCELLED,
        (_R.CANCELLING, _U.FINISH): _R.DONE,  # nothing was left to cancel
        (_R.CANCELLING, _U.REVIVE): _R.ACTIVE,
        (_R.DONE, _U.REVIVE): _R.ACTIVE,
        (_R.FAILED, _U.REVIVE): _R.ACTIVE,
        (_R.CANCELLED, _U.REVIVE): _R.ACTIVE,
    }
)
RUN_ENDED: Final = frozenset({_R.DONE, _R.FAILED, _R.CANCELLED})


def advance_task(state: TaskState, cue: TaskCue) -> TaskState:
    """Return the state of a task in `state` after `cue`."""
    try:
        return TASK_TRANSITIONS[state, cue]
    except KeyError:
        raise IllegalTransitionError(state, cue) from None


def advance_split(state: SplitState, cue: SplitCue) -> SplitState:
    """Return the state of a split in `state` after `cue`."""
    try:
        return SPLIT_TRANSITIONS[state, cue]
    except KeyError:
        raise IllegalTransitionError(state, cue) from None


def advance_pilot(state: PilotState, cue: PilotCue) -> PilotState:
    """Return the state of a pilot in `state` after `cue`.

    News of a pilot comes from its job and from itself, in any order. What has no arrow is late
    news and changes nothing.
    """
    return PILOT_TRANSITIONS.get((state, cue), state)


def advance_run(state: RunState, cue: RunCue) -> RunState:
    """Return the state of a run in `state` after `cue`."""
    try:
        return RUN_TRANSITIONS[state, cue]
    except KeyError:
        raise IllegalTransitionError(state, cue) from None
