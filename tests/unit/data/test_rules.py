"""Rules place copies, the same way whenever they are asked, and say why they cannot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euclid_dask.core.errors import InputError
from euclid_dask.data.model import Storage, StorageState
from euclid_dask.data.places import place
from euclid_dask.data.rules import (
    Grouping,
    Room,
    Rule,
    Selector,
    Target,
    Wanted,
    placement,
)


def storage(name: str, **more: object) -> Storage:
    labels = {"country": name[:2], "tier": "tape" if name.endswith("T") else "disk"}
    return Storage(name=name, marker=name, labels=labels, **more)


def rule(**more: object) -> Rule:
    return Rule(**{"name": "r", "select": Selector(), "places": "*", **more})


def room(name: str, free_bytes: int | None = None, **more: object) -> Room:
    return Room(storage=storage(name, **more), free_bytes=free_bytes)


A, B = Wanted(file="a", size=10, group="g"), Wanted(file="b", size=20, group="g")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("*", {"CH1", "CH2T", "FR1"}),
        ("country=CH", {"CH1", "CH2T"}),
        ("country == CH & tier=disk", {"CH1"}),
        ("country=CH&!tier=tape|name=FR1", {"CH1", "FR1"}),
        ("(country=FR | tier=tape) & name!=FR1", {"CH2T"}),
        ("nothing=at-all", set()),
        ("nothing!=at-all", {"CH1", "CH2T", "FR1"}),
    ],
)
def test_places_mean_storages_by_their_labels(text: str, meant: set[str]) -> None:
    is_meant = place(text)
    assert {name for name in ("CH1", "CH2T", "FR1") if is_meant(storage(name))} == meant


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "a label, as country is missing at its end"),
        ("country", "= or != is missing at its end"),
        ("country=", "a text is missing at its end"),
        ("country=CH tier=disk", "& or | is missing before 'tier=disk'"),
        ("(country=CH", ") is missing at its end"),
        ("country=CH & ;", "a label, as country is missing before ';'"),
        ("country!=)", "a text is missing before ')'"),
    ],
)
def test_places_that_make_no_sense_are_refused_with_the_spot(text: str, told: str) -> None:
    with pytest.raises(InputError, match="in the places") as caught:
        place(text)
    assert told in str(caught.value)


def test_a_copy_that_is_there_is_counted_and_never_moved() -> None:
    found = placement(rule(prefer=("FR1",)), [A], [room("CH1"), room("FR1")], {"a": {"CH1"}})
    assert found.targets == (Target(file="a", storage="CH1"),)
    assert found.missing == ()


def test_room_preference_and_name_choose_where_new_copies_go() -> None:
    rooms = [room("FR1", 100), room("CH1", 50), room("CH0", 100), room("CH3", 5)]
    assert placement(rule(), [A], rooms, {}).missing == (Target(file="a", storage="CH0"),)
    preferring = rule(prefer=("CH1",), copies=2)
    assert [one.storage for one in placement(preferring, [A], rooms, {}).targets] == ["CH0", "CH1"]


def test_room_that_a_rule_has_given_away_is_not_given_twice() -> None:
    found = placement(rule(), [A, B], [room("CH1", 25)], {})
    assert [one.file for one in found.targets] == ["a"]
    assert found.stuck[0].files == ("b",)
    assert "1 storages have too little room" in found.stuck[0].reason


def test_files_of_a_group_stay_together() -> None:
    rooms = [room("CH1", 15), room("CH2", 30)]
    found = placement(rule(grouping=Grouping.PRODUCT), [A, B], rooms, {"a": {"CH1"}})
    assert {one.storage for one in found.targets} == {"CH2"}
    assert {(one.file, one.storage) for one in found.missing} == {("a", "CH2"), ("b", "CH2")}


def test_only_durable_storages_count() -> None:
    rooms = [room("CH1", durable=False), room("FR1")]
    found = placement(rule(), [A], rooms, {"a": {"CH1"}})
    assert [one.storage for one in found.missing] == ["FR1"]


@pytest.mark.parametrize("state", [StorageState.READONLY, StorageState.DISABLED])
def test_a_storage_that_takes_nothing_keeps_what_it_has(state: StorageState) -> None:
    rooms = [room("CH1", state=state)]
    kept = placement(rule(), [A], rooms, {"a": {"CH1"}})
    assert (kept.targets, kept.missing, kept.stuck) == (
        (Target(file="a", storage="CH1"),),
        (),
        (),
    )
    lost = placement(rule(), [A], rooms, {}, kept.targets and set(kept.targets))
    assert lost.targets == ()
    assert "not durable or not enabled: CH1" in lost.stuck[0].reason


def test_a_rule_that_no_storage_fits_says_so() -> None:
    found = placement(rule(places="country=XX", copies=2), [A], [room("CH1")], {})
    assert found.stuck[0].reason == (
        "2 copies are wanted, 0 can be in 'country=XX'; no storage has such labels"
    )


def test_what_a_rule_wants_no_more_is_released() -> None:
    before = {Target(file="a", storage="CH1"), Target(file="gone", storage="CH1")}
    found = placement(rule(), [A], [room("CH1")], {"a": {"CH1"}, "gone": {"CH1"}}, before)
    assert found.released == (Target(file="gone", storage="CH1"),)


NAMES = ("CH1", "CH2T", "FR1", "FR2T", "UK1")
FILES = st.lists(
    st.builds(
        Wanted,
        file=st.text("abcdef", min_size=1, max_size=2),
        size=st.integers(0, 30),
        group=st.sampled_from(["", "g", "h"]),
    ),
    max_size=8,
    unique_by=lambda it: it.file,
)


@given(
    files=FILES,
    frees=st.lists(st.none() | st.integers(0, 80), min_size=5, max_size=5),
    states=st.lists(st.sampled_from(StorageState), min_size=5, max_size=5),
    held=st.dictionaries(
        st.text("abcdef", min_size=1, max_size=2), st.sets(st.sampled_from(NAMES))
    ),
    copies=st.integers(1, 3),
    grouping=st.sampled_from(Grouping),
    data=st.data(),
)
def test_a_placement_is_one_answer_that_stays_when_it_is_done(  # noqa: PLR0917
    files: list[Wanted],
    frees: list[int | None],
    states: list[StorageState],
    held: dict[str, set[str]],
    copies: int,
    grouping: Grouping,
    data: st.DataObject,
) -> None:
    rooms = [
        room(name, free, state=state)
        for name, free, state in zip(NAMES, frees, states, strict=True)
    ]
    wish = rule(copies=copies, grouping=grouping, places="country!=UK")
    found = placement(wish, files, rooms, held)
    shuffled = placement(
        wish, data.draw(st.permutations(files)), data.draw(st.permutations(rooms)), held
    )
    assert shuffled == found
    for one in files:
        mine = [it.storage for it in found.targets if it.file == one.file]
        assert len(mine) == len(set(mine)) <= copies
        assert "UK1" not in mine
        is_stuck = any(one.file in it.files for it in found.stuck)
        assert is_stuck == (len(mine) < copies)
    states_of = dict(zip(NAMES, states, strict=True))
    for new in found.missing:
        assert states_of[new.storage] == StorageState.ENABLED
    for name, free in zip(NAMES, frees, strict=True):
        taken = sum(it.size for it in files if Target(file=it.file, storage=name) in found.missing)
        assert free is None or taken <= free
    done = {name: set(where) for name, where in held.items()}
    for new in found.missing:
        done.setdefault(new.file, set()).add(new.storage)
    full = [Room(storage=it.storage, free_bytes=0) for it in rooms]
    again = placement(wish, files, full, done, set(found.targets))
    assert (again.targets, again.missing, again.released) == (found.targets, (), ())
