from itertools import product

import pytest

from euclid_dask.core.errors import IllegalTransitionError
from euclid_dask.data.model import DeletionState, FileState, ReplicaState, TransferState
from euclid_dask.data.states import DELETION, FILE, REPLICA, TRANSFER, Life

ARROWS = {
    FileState: (
        FILE,
        (
            "proposed>committed committed>committed lost>committed deleted>committed "
            "committed>deleting deleting>committed deleting>deleted committed>lost"
        ),
    ),
    ReplicaState: (
        REPLICA,
        (
            "available>suspect available>available suspect>available bad>available lost>available "
            "suspect>bad suspect>lost available>offline offline>available available>deleting "
            "suspect>deleting bad>deleting lost>deleting deleting>suspect"
        ),
    ),
    TransferState: (
        TRANSFER,
        (
            "queued>running retry>running running>running publishing>running running>publishing "
            "publishing>publishing publishing>done running>retry publishing>retry running>failed "
            "publishing>failed queued>cancelled retry>cancelled running>cancelled"
        ),
    ),
    DeletionState: (
        DELETION,
        "queued>running running>running running>done running>failed queued>cancelled",
    ),
}


@pytest.mark.parametrize("kind", ARROWS, ids=lambda kind: kind.__name__)
def test_a_life_has_these_arrows_and_no_others(kind: type) -> None:
    life, arrows = ARROWS[kind]
    assert isinstance(life, Life)
    found = set()
    for state, cue in product(kind, life.arrows):
        try:
            found.add(f"{state}>{life.advance(state, cue)}")
        except IllegalTransitionError:
            assert state not in life.sources(cue)
    assert found == set(arrows.split())
