"""The lives of a file, a replica, a transfer and a deletion, as tables of their arrows.

Rule 1: a state changes along an arrow of its table, and nowhere else. Rule 2: the values of the
states are written to the registry; they are never renamed. Rule 3: a cue leads to one state,
wherever it comes from, so that one statement can change many rows.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from euclid_dask.core.errors import IllegalTransitionError
from euclid_dask.data.model import DeletionState, FileState, ReplicaState, TransferState

State = TypeVar("State", bound=StrEnum)
Cue = TypeVar("Cue", bound=StrEnum)


class Life(Generic[State, Cue]):
    """A table of arrows: of each cue the states it may meet, and the one it leads to."""

    def __init__(self, arrows: Mapping[Cue, tuple[frozenset[State], State]]) -> None:
        self.arrows: Final = MappingProxyType(dict(arrows))

    def sources(self, cue: Cue) -> frozenset[State]:
        """Return the states that `cue` may meet."""
        return self.arrows[cue][0]

    def target(self, cue: Cue) -> State:
        """Return the state that `cue` leads to."""
        return self.arrows[cue][1]

    def advance(self, state: State, cue: Cue) -> State:
        """Return the state that follows `state` when `cue` happens."""
        if state not in self.sources(cue):
            raise IllegalTransitionError(state, cue)
        return self.target(cue)


class FileCue(StrEnum):
    """What can happen to a file."""

    ARRIVE = "a verified replica is there"
    MARK = "its last replica is marked to go"
    KEEP = "its last replica stays"
    REMOVE = "its last replica was removed on purpose"
    LOSE = "its last replica is gone, as a person or a confirmed check says"


_F = FileState

FILE: Final = Life[FileState, FileCue](
    {
        FileCue.ARRIVE: (
            frozenset({_F.PROPOSED, _F.COMMITTED, _F.LOST, _F.DELETED}),
            _F.COMMITTED,
        ),
        FileCue.MARK: (frozenset({_F.COMMITTED}), _F.DELETING),
        FileCue.KEEP: (frozenset({_F.DELETING}), _F.COMMITTED),
        FileCue.REMOVE: (frozenset({_F.DELETING}), _F.DELETED),
        FileCue.LOSE: (frozenset({_F.COMMITTED}), _F.LOST),
    }
)


class ReplicaCue(StrEnum):
    """What can happen to a replica. That it is removed is no state: its row goes."""

    SUSPECT = "a reader found something wrong"
    VERIFY = "read again, and found good"
    SPOIL = "read again, and found bad"
    LOSE = "looked for, and not found"
    LEAVE = "out of reach for now"
    RETURN = "within reach again"
    MARK = "marked to be removed"
    KEEP = "not to be removed after all"


_R = ReplicaState

REPLICA: Final = Life[ReplicaState, ReplicaCue](
    {
        ReplicaCue.SUSPECT: (frozenset({_R.AVAILABLE}), _R.SUSPECT),
        ReplicaCue.VERIFY: (
            frozenset({_R.AVAILABLE, _R.SUSPECT, _R.BAD, _R.LOST}),
            _R.AVAILABLE,
        ),
        ReplicaCue.SPOIL: (frozenset({_R.SUSPECT}), _R.BAD),
        ReplicaCue.LOSE: (frozenset({_R.SUSPECT}), _R.LOST),
        ReplicaCue.LEAVE: (frozenset({_R.AVAILABLE}), _R.OFFLINE),
        ReplicaCue.RETURN: (frozenset({_R.OFFLINE}), _R.AVAILABLE),
        ReplicaCue.MARK: (
            frozenset({_R.AVAILABLE, _R.SUSPECT, _R.BAD, _R.LOST}),
            _R.DELETING,
        ),
        ReplicaCue.KEEP: (frozenset({_R.DELETING}), _R.SUSPECT),
    }
)
READABLE: Final = frozenset({_R.AVAILABLE, _R.OFFLINE})
"""States of a replica whose content is what the registry says."""


class TransferCue(StrEnum):
    """What can happen to a transfer."""

    CLAIM = "a mover takes it"
    PUBLISH = "its part file is verified and durable"
    FINISH = "the replica is there"
    RETRY = "failed in a way that may pass"
    FAIL = "it cannot be done"
    CANCEL = "nobody wants it any more"


_T = TransferState

TRANSFER: Final = Life[TransferState, TransferCue](
    {
        # a transfer that runs is claimed when the lease of its mover has run out
        TransferCue.CLAIM: (
            frozenset({_T.QUEUED, _T.RETRY, _T.RUNNING, _T.PUBLISHING}),
            _T.RUNNING,
        ),
        TransferCue.PUBLISH: (frozenset({_T.RUNNING, _T.PUBLISHING}), _T.PUBLISHING),
        TransferCue.FINISH: (frozenset({_T.PUBLISHING}), _T.DONE),
        TransferCue.RETRY: (frozenset({_T.RUNNING, _T.PUBLISHING}), _T.RETRY),
        TransferCue.FAIL: (frozenset({_T.RUNNING, _T.PUBLISHING}), _T.FAILED),
        TransferCue.CANCEL: (frozenset({_T.QUEUED, _T.RETRY, _T.RUNNING}), _T.CANCELLED),
    }
)
ACTIVE: Final = frozenset({_T.QUEUED, _T.RUNNING, _T.PUBLISHING, _T.RETRY})
"""States of a transfer that is still to have an end."""


class DeletionCue(StrEnum):
    """What can happen to a deletion."""

    CLAIM = "a cleaner takes it"
    FINISH = "the replica is gone"
    FAIL = "the replica cannot be removed"
    CANCEL = "the replica is to stay"


_D = DeletionState

DELETION: Final = Life[DeletionState, DeletionCue](
    {
        # a deletion that runs is claimed when the lease of its cleaner has run out
        DeletionCue.CLAIM: (frozenset({_D.QUEUED, _D.RUNNING}), _D.RUNNING),
        DeletionCue.FINISH: (frozenset({_D.RUNNING}), _D.DONE),
        DeletionCue.FAIL: (frozenset({_D.RUNNING}), _D.FAILED),
        DeletionCue.CANCEL: (frozenset({_D.QUEUED}), _D.CANCELLED),
    }
)
