"""A set of names that does not have to fit into memory."""

from euclid_dask.data.registry.seen import Seen


def test_what_was_added_is_not_missing() -> None:
    with Seen() as seen:
        seen.add(["b/1.fits", "ä.fits", "b/1.fits"])
        seen.add(iter(["c.fits", "ä.fits"]))
        assert seen.count == 3
        assert seen.missing(["z", "ä.fits", "a", "b/1.fits"]) == ["z", "a"]
        assert seen.missing([]) == []


def test_two_sets_know_nothing_of_each_other() -> None:
    with Seen() as one, Seen() as other:
        one.add(["a"])
        assert other.missing(["a"]) == ["a"]
