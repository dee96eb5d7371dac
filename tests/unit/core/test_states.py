"""Every arrow of every table, and every arrow that is not there."""

import itertools
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import pytest

from euclid_dask.core.errors import IllegalTransitionError
from euclid_dask.core.states import (
    PILOT_COMING,
    PILOT_TRANSITIONS,
    RUN_ENDED,
    RUN_TRANSITIONS,
    SPLIT_TRANSITIONS,
    TASK_ACTIVE,
    TASK_DEAD,
    TASK_FINISHED,
    TASK_TRANSITIONS,
    PilotCue,
    PilotState,
    RunCue,
    RunState,
    SplitCue,
    SplitState,
    TaskCue,
    TaskState,
    advance_pilot,
    advance_run,
    advance_split,
    advance_task,
)

TABLES: list[tuple[Mapping[Any, Any], Callable[..., Any], type[StrEnum], type[StrEnum]]] = [
    (TASK_TRANSITIONS, advance_task, TaskState, TaskCue),
    (SPLIT_TRANSITIONS, advance_split, SplitState, SplitCue),
    (RUN_TRANSITIONS, advance_run, RunState, RunCue),
]
PAIRS = [
    pytest.param(table, advance, state, cue, id=f"{states.__name__} {state} {cue.name}")
    for table, advance, states, cues in TABLES
    for state, cue in itertools.product(states, cues)
]


@pytest.mark.parametrize(("table", "advance", "state", "cue"), PAIRS)
def test_an_arrow_is_followed_if_it_is_in_the_table_and_refused_otherwise(
    table: Mapping[Any, Any], advance: Callable[..., Any], state: StrEnum, cue: StrEnum
) -> None:
    if (state, cue) in table:
        assert advance(state, cue) is table[state, cue]
    else:
        with pytest.raises(IllegalTransitionError, match="no transition"):
            advance(state, cue)


@pytest.mark.parametrize(("state", "cue"), list(itertools.product(PilotState, PilotCue)))
def test_late_news_of_a_pilot_changes_nothing(state: PilotState, cue: PilotCue) -> None:
    assert advance_pilot(state, cue) is PILOT_TRANSITIONS.get((state, cue), state)


def test_a_pilot_that_is_gone_stays_gone_and_a_draining_one_never_comes_back() -> None:
    assert not [state for state, _ in PILOT_TRANSITIONS if state is PilotState.GONE]
    after = {to for (state, _), to in PILOT_TRANSITIONS.items() if state is PilotState.DRAINING}
    assert after == {PilotState.GONE}
    assert {state for state, cue in PILOT_TRANSITIONS if cue is PilotCue.START} < PILOT_COMING


WITH_PILOTS = [*TABLES, (PILOT_TRANSITIONS, advance_pilot, PilotState, PilotCue)]


@pytest.mark.parametrize(("table", "advance", "states", "cues"), WITH_PILOTS)
def test_every_state_can_be_reached_from_the_first(
    table: Mapping[Any, Any], advance: object, states: type[StrEnum], cues: object
) -> None:
    reached, work = set(), [next(iter(states))]
    while work:
        state = work.pop()
        reached.add(state)
        work += [after for (before, _), after in table.items() if before is state]
        work = [after for after in work if after not in reached]
    assert reached == set(states)


@pytest.mark.parametrize(("table", "advance", "states", "cues"), WITH_PILOTS)
def test_every_cue_is_in_its_table(
    table: Mapping[Any, Any], advance: object, states: object, cues: type[StrEnum]
) -> None:
    assert {cue for _, cue in table} == set(cues)


def test_a_task_is_finished_dead_active_or_still_to_run() -> None:
    assert set(TaskState) - TASK_FINISHED - TASK_DEAD - TASK_ACTIVE == {
        TaskState.WAITING,
        TaskState.READY,
    }
    assert not TASK_FINISHED & TASK_DEAD


def test_an_ended_run_can_only_be_resumed() -> None:
    assert {cue for state, cue in RUN_TRANSITIONS if state in RUN_ENDED} == {RunCue.REVIVE}
