"""What the tables say about recorded runs."""

import xml.etree.ElementTree as ET

import pytest

from benchmarks import pilots_report
from benchmarks.plot import draw
from benchmarks.report import BEGIN, END, tables, write_docs
from benchmarks.summary import cell, ordered, ratio


def figures(whole_s, **changes):
    names = ("exit_s", "first_task_s", "span_s", "steady_ms", "engine_cpu_ms", "task_cpu_ms")
    values = {**dict.fromkeys(names, 1.0), "whole_s": whole_s, "other_load": 0.0, "peak_mb": None}
    return {**values, **changes}


def recorded(engine, repeat, whole_s, wrong=()):
    return {
        "engine": engine,
        "workload": "bag",
        "repeat": repeat,
        "load": [0.1, 0.1, 0.1],
        "figures": None if wrong else figures(whole_s, peak_mb=7.0 if repeat == 0 else None),
        "wrong": list(wrong),
    }


@pytest.fixture
def document():
    machine = dict.fromkeys(("cpu", "kernel", "system", "python", "gcc", "scratch", "commit"), "x")
    titles = {"floor-spawn": "floor", "fast": "Fast", "slow": "Slow", "bad": "Bad", "gone": "Gone"}
    wholes = {"floor-spawn": (9, 1, 2), "slow": (9, 10, 10), "fast": (9, 2, 6)}
    runs = [recorded(e, r, w) for e, times in wholes.items() for r, w in enumerate(times)]
    return {
        "name": "try",
        "note": "",
        "machine": {**machine, "cores": 2, "ram_gb": 8, "python_optimized": True, "uncommitted": 0},
        "seed": 1,
        "scale": 1.0,
        "repeats": 2,
        "floor": "floor-spawn",
        "workloads": {
            "bag": {"question": "?", "tasks": 10, "slots": 2, "lower_bound_s": 0.0, "shape": {}}
        },
        "engines": {name: {"title": title, "duties": ""} for name, title in titles.items()},
        "unavailable": {"gone": "no such package"},
        "runs": [*runs, recorded("bad", 1, 1, wrong=["b0001: started 2 times"])],
    }


def test_ratios_pair_an_engine_with_the_floor_of_the_same_repeat(document):
    found = ratio(document, "fast", "bag")
    assert (found.low, found.median, found.high) == (2.0, 2.5, 3.0)


def test_the_first_round_counts_for_memory_only(document):
    found = cell(document, "slow", "bag")
    assert sorted(found.timed) == [1, 2]
    assert found.peak_mb == 7.0


def test_engines_are_ordered_by_their_distance_from_the_floor(document):
    assert ordered(document)[:3] == ["floor-spawn", "fast", "slow"]


def test_an_invalid_run_shows_its_violation_instead_of_figures(document):
    text = tables(document)
    assert "| Bad | **invalid**" in text
    assert "b0001: started 2 times" in text


def test_a_peer_that_cannot_be_installed_is_named_with_its_reason(document):
    text = tables(document)
    assert "| Gone | not installed" in text
    assert "Gone; **not installed**: no such package" in text


def test_the_page_is_rewritten_between_its_markers_only(document, tmp_path):
    page = tmp_path / "benchmarks.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_docs(document, tmp_path)
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "| Fast | 2.5 (2.0" in text


def test_the_picture_is_xml_with_a_row_for_each_engine_that_could_run(document):
    words = [element.text for element in ET.fromstring(draw(document)).iter()]
    assert {"Fast", "Slow", "floor", "2.5"} <= set(words)
    assert "Gone" not in words


def test_the_table_of_pilots_has_the_whole_machine_s_time_and_stands_on_the_same_page(
    document, tmp_path
):
    for one in document["runs"]:
        if one["figures"]:
            one["figures"] |= {"other_load": 0.5, "exit_s": 2.0, "engine_cpu_ms": 1.0}
    page = tmp_path / "benchmarks.md"
    page.write_text(f"before\n{pilots_report.BEGIN}\nold\n{pilots_report.END}\nafter\n")
    pilots_report.write_docs(document, tmp_path)
    text = page.read_text()
    assert text.startswith(f"before\n{pilots_report.BEGIN}\n")
    assert text.endswith(f"{pilots_report.END}\nafter\n")
    assert "201.00 (201.00" in text  # half of two cores for two seconds, of ten tasks, and 1 ms
    assert "| Bad | **invalid**" in text
    assert (tmp_path / "benchmarks-pilots.svg").exists()
