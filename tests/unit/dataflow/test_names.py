"""Legal names and near names."""

import pytest

from euclid_dask.dataflow.names import did_you_mean, name_problem, nearest


@pytest.mark.parametrize("name", ["a", "Vis_1", "with-dash", "é", "n" * 200])
def test_a_name_that_is_a_file_name_has_no_problem(name):
    assert name_problem(name) == ""


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "a\nb", "a\0b", "n" * 201, "é" * 101])
def test_a_name_that_is_none_has_a_problem(name):
    assert name_problem(name)


def test_the_nearest_name_ignores_capitals():
    assert nearest("MASTER_dark", ["master_dark", "image"]) == "master_dark"
    assert nearest("xyz", ["master_dark"]) == ""


def test_a_hint_lists_what_there_is():
    assert did_you_mean("imge", ["image", "dark"], "its ports") == (
        "did you mean 'image'? its ports: dark, image"
    )
    assert did_you_mean("xyz", ["image"], "its ports") == "its ports: image"
    assert did_you_mean("xyz", [], "its ports") == "its ports: none"
