import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from euclid_dask.core.attempts import Profile
from euclid_dask.core.errors import InputError
from euclid_dask.core.events import RunEvent, TaskUnplaceable
from euclid_dask.core.flow import Flow
from euclid_dask.core.ids import TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.planner.run import Run
from euclid_dask.report.commands import command_lines
from euclid_dask.report.drawing import states_of
from euclid_dask.report.failures import grouped
from euclid_dask.report.gantt import MOST_ROWS, axis_of, gantt
from euclid_dask.report.history import AttemptLine, history_of
from euclid_dask.report.html import write_html
from euclid_dask.report.terminal import as_json, outcome
from euclid_dask.report.usage import Usage, usage_of
from euclid_dask.runner import views


def attempt(number: int, begin_s: float, end_s: float | None = None) -> AttemptLine:
    return AttemptLine(f"t{number}", f"x{number % 3}", 1, "p", begin_s, end_s, "done")


def test_a_branch_of_a_split_is_one_command_line_with_a_star(flow: Flow) -> None:
    lines = command_lines(flow, {"image": "raw.fits"}, workdir="/w")
    assert lines["each.iterations.*.clean"] == (
        "clean --workdir=/w '--logdir=logs/each.iterations.*.clean' "
        "'--tile=<an element of cut/tiles.json>' --image=raw.fits "
        "'--cleaned=each.iterations.*.clean/cleaned.fits'"
    )


def test_an_input_that_is_not_known_stands_by_its_name(flow: Flow) -> None:
    assert "'--image=<image>'" in command_lines(flow, {})["cut"]


def test_an_input_without_a_file_has_no_option(flow: Flow) -> None:
    assert "--image" not in command_lines(flow, {"image": None})["cut"]


def test_a_joined_list_is_the_input_of_what_follows(flow: Flow) -> None:
    assert "--tiles=each.reduce/tuplelist.json" in command_lines(flow, {})["paste"]


def test_failures_that_differ_in_names_and_numbers_are_one_group(broken: Run) -> None:
    groups = grouped(views.failures(broken))
    assert [group.tasks for group in groups] == [
        ["each.iterations.2.clean", "each.iterations.3.clean"]
    ]


def test_what_a_failed_branch_blocks_behind_the_join_is_counted(broken: Run) -> None:
    assert [group.blocks for group in grouped(views.failures(broken))] == [1]


def test_every_failure_of_a_group_is_named_in_the_outcome(broken: Run, tmp_path: Path) -> None:
    text = outcome(views.summary(broken), tmp_path, {})
    assert "each.iterations.2.clean, each.iterations.3.clean" in text
    assert "(and 1 like it)" in text
    assert f"euclid-dask resume {tmp_path}" in text


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("each", "no task, but a block of tasks", "name one: each.iterations.1.clean, each."),
        ("claen", "has no task 'claen'", "did you mean 'each.iterations.1.clean'?"),
        ("clean", "3 tasks of .* end in 'clean'", "give more of it: each.iterations.1.clean, "),
    ],
)
def test_what_is_no_task_is_told_with_one_that_is(
    broken: Run, name: str, message: str, hint: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        views.find_task(broken, name)
    assert caught.value.hint.startswith(hint)


def test_a_notice_is_not_told_as_a_warning(broken: Run, tmp_path: Path) -> None:
    text = outcome(views.summary(broken, ("look out", "notice: may be meant")), tmp_path, {})
    lines = [line for line in click.unstyle(text).splitlines() if "look" in line or "meant" in line]
    assert lines == ["warning: look out", "notice: may be meant"]


def test_the_object_for_programs_has_the_keys_of_the_contract(broken: Run) -> None:
    told = as_json(views.summary(broken, ("look out",)))
    assert list(told) == ["run", "state", "tasks", "outputs", "failures", "wall_s", "warnings"]
    counts = {"total": 5, "done": 2, "failed": 2, "blocked": 1, "skipped": 0, "omitted": 0}
    assert told["tasks"] == counts
    assert list(told["failures"][0]) == ["task", "reason", "exit_code", "command", "log"]
    assert told["failures"][0]["exit_code"] == 3
    assert told["warnings"] == ["look out"]


def test_the_history_has_a_line_for_each_attempt(broken: Run) -> None:
    lines = history_of(broken).attempts
    assert [(line.task, line.outcome) for line in lines] == [
        ("cut", "done"),
        ("each.iterations.1.clean", "done"),
        ("each.iterations.2.clean", "failed"),
        ("each.iterations.3.clean", "failed"),
    ]


def test_copies_of_a_task_are_counted_under_its_template(broken: Run) -> None:
    states, branches = states_of(broken)
    assert states["each.iterations.*.clean"] == {"done": 1, "failed": 2}
    assert branches == {"each": 3}


def test_few_attempts_have_a_row_each() -> None:
    chart = gantt([attempt(i, i, i + 1.0) for i in range(5)], 10.0)
    assert chart.count("<rect") == 5


def test_the_size_of_the_chart_of_many_attempts_does_not_grow_with_their_number() -> None:
    some = gantt([attempt(i, i, i + 1.0) for i in range(MOST_ROWS + 1)], 1e4)
    many = gantt([attempt(i, i, i + 1.0) for i in range(10_000)], 1e5)
    assert len(many) < 1.5 * len(some)


def test_a_run_that_never_started_a_task_has_no_chart() -> None:
    assert gantt([], 10.0) == ""


def test_a_long_pause_is_cut_out_of_the_axis() -> None:
    axis = axis_of([attempt(1, 0.0, 10.0), attempt(2, 86_400.0, 86_410.0)], 90_000.0)
    assert axis.shown_s == 20.0
    assert axis.share(86_405.0) == 0.75


def test_a_running_attempt_reaches_until_now() -> None:
    assert axis_of([attempt(1, 0.0)], 7.0).spans == ((0.0, 7.0),)


def test_use_is_told_by_executable_the_longest_first(done: Run) -> None:
    found = usage_of(done)
    assert [(use.executable, use.count) for use in found] == [
        ("clean", 2),
        ("cut", 1),
        ("paste", 1),
    ]
    assert found[0].wall_s == (3.0, 3.0, 3.0)
    assert found[0].cores == 0.5


@pytest.mark.parametrize(
    ("used", "remark"),
    [
        (0.2e9, "asks for 5.0 times the RAM it ever used"),
        (0.95e9, "uses nearly all RAM it asks for"),
        (0.7e9, ""),
    ],
)
def test_a_remark_is_made_when_ram_was_asked_for_badly(used: float, remark: str) -> None:
    profile = Profile(wall_s=1.0)
    use = Usage(
        executable="x",
        count=1,
        failed=0,
        wall_s=(1, 1, 1),
        cpu_s=(1, 1, 1),
        ram_bytes=(used, used, used),
        total_wall_s=profile.wall_s,
        total_cpu_s=1,
        read_bytes=0,
        written_bytes=0,
        asked=Resources(ram_bytes=10**9),
    )
    assert use.remark == remark


def test_the_page_needs_nothing_from_outside(broken: Run, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_html(broken, page)
    text = page.read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|<script|<link|@import|\bsrc=", text)


def test_the_page_tells_of_failures_resources_and_reruns(broken: Run, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_html(broken, page, warnings=["look out"], reruns={"changed: its command": 2})
    text = page.read_text()
    assert "row 7" in text
    assert "2 tasks known from an earlier run ran again: changed: its command" in text
    assert "look out" in text
    assert text.count("<svg") == 4  # graph, times, stages, use


def test_markup_in_what_a_program_said_is_shown_and_not_obeyed(
    tell: Callable[[list[RunEvent]], Run], tmp_path: Path
) -> None:
    run = tell([TaskUnplaceable(at_s=1e6, task=TaskId("cut"), reason="<b onclick=x>\x1b[31m")])
    page = tmp_path / "report.html"
    write_html(run, page)
    text = page.read_text()
    assert "<b onclick" not in text
    assert "&lt;b onclick=x&gt;" in text
    assert "\x1b" not in text


def test_no_half_page_is_left_when_it_cannot_be_written(done: Run, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(IsADirectoryError):
        write_html(done, tmp_path / "report.html")
    assert list(tmp_path.glob(".*.tmp")) == []
