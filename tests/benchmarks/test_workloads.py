"""Workloads are what they say, the same every time."""

import pytest

from benchmarks.workloads import GENERATORS, from_json


@pytest.mark.parametrize("name", GENERATORS)
def test_the_same_seed_gives_the_same_bytes(name):
    once, twice = (GENERATORS[name](scale=1.0, seed=3).to_json() for _ in range(2))
    assert once == twice


@pytest.mark.parametrize("name", GENERATORS)
def test_a_workload_survives_its_json(name):
    workload = GENERATORS[name](scale=0.1, seed=3)
    assert from_json(workload.to_json()) == workload


@pytest.mark.parametrize("name", GENERATORS)
def test_every_task_is_listed_once_and_after_its_predecessors(name):
    seen = set()
    for task in GENERATORS[name](scale=1.0, seed=3).tasks:
        assert task.id not in seen
        assert seen.issuperset(task.after)
        seen.add(task.id)


def test_another_seed_draws_another_mixed_graph():
    one, two = (GENERATORS["mixed"](scale=1.0, seed=seed).tasks for seed in (1, 2))
    assert one != two


@pytest.mark.parametrize(
    ("name", "tasks", "edges"),
    [("bag", 1000, 0), ("chains", 1000, 990), ("scatter", 502, 1000), ("montage", 291, 752)],
)
def test_a_workload_has_the_promised_size(name, tasks, edges):
    workload = GENERATORS[name](scale=1.0, seed=1)
    assert len(workload.tasks) == tasks
    assert sum(len(task.after) for task in workload.tasks) == edges


def test_the_work_of_montage_on_four_slots_bounds_its_makespan():
    workload = GENERATORS["montage"](scale=1.0, seed=1)
    assert workload.critical_path_s < 15.0
    assert workload.lower_bound_s == pytest.approx(15.0, abs=0.001)


def test_the_longest_chain_bounds_the_makespan_of_a_narrow_graph():
    workload = GENERATORS["montage"](scale=1.0, seed=1, slots=291)
    assert workload.lower_bound_s == workload.critical_path_s


def test_trivial_tasks_have_no_lower_bound():
    assert GENERATORS["bag"](scale=1.0, seed=1).lower_bound_s == 0.0


def test_scale_shortens_bags_and_sleeps():
    assert len(GENERATORS["bag"](scale=0.01, seed=1).tasks) == 10
    assert GENERATORS["montage"](scale=0.1, seed=1).lower_bound_s == pytest.approx(1.5, abs=0.001)
