"""Choosing a part of a pipeline."""

import pytest

from euclid_dask.core.errors import InputError
from euclid_dask.dataflow.select import named, select, template

DARK, COSMICS = "each.iterations.*.block.dark", "each.iterations.*.cosmics"
ALL = {"cut", DARK, COSMICS, "join"}


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ({}, ALL),
        ({"until": ["cosmics"]}, {"cut", DARK, COSMICS}),
        ({"until": ["cut", "join"]}, ALL),
        ({"start": ["cosmics"]}, {COSMICS, "join"}),
        ({"start": ["each"]}, {DARK, COSMICS, "join"}),
        ({"skip": ["each"]}, {"cut", "join"}),
        ({"skip": ["each.iterations.*.block"]}, {"cut", COSMICS, "join"}),
        ({"start": [DARK], "until": [COSMICS]}, {DARK, COSMICS}),
        ({"until": ["each"], "skip": ["cut"]}, {DARK, COSMICS}),
    ],
)
def test_a_choice_keeps_what_lies_between(build, choice, chosen):
    assert select(build.vis(), **choice) == chosen


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        (DARK, {DARK}),
        ("each.iterations.3.block.dark", {DARK}),
        ("each", {DARK, COSMICS}),
        ("block", {DARK}),
        ("exe", ALL),
    ],
)
def test_a_name_means_all_that_have_it(build, name, paths):
    assert named(build.vis(), [name]) == paths


def test_an_unknown_name_is_refused_with_the_nearest(build):
    with pytest.raises(InputError) as caught:
        select(build.vis(), until=["cosmic"])
    assert caught.value.message == "no task or block is called 'cosmic'"
    assert caught.value.hint.startswith("did you mean 'cosmics'?")


def test_an_empty_choice_is_refused(build):
    with pytest.raises(InputError, match="no task is left to run"):
        select(build.vis(), until=["cut"], start=["join"])


def test_leaving_out_all_that_is_to_be_made_is_refused(build):
    with pytest.raises(InputError, match="--skip leaves out all that --until names"):
        select(build.vis(), until=["each"], skip=[DARK, COSMICS])


def test_branch_numbers_become_stars():
    assert template("a.iterations.12.b.iterations.3") == "a.iterations.*.b.iterations.*"
