import os
from pathlib import Path

import pytest

from euclid_dask.core.errors import InputError
from euclid_dask.core.flow import Flow
from euclid_dask.mock.plan import (
    MockPlan,
    MockSettings,
    ProgramSettings,
    make_plan,
    read_plan,
    render_plan,
)


def planned(flow: Flow, **settings: object) -> MockPlan:
    return make_plan(flow, ["image"], MockSettings(**settings))[0]  # type: ignore[arg-type]


def refusal(flow: Flow, **settings: object) -> str:
    with pytest.raises(InputError) as caught:
        planned(flow, **settings)
    return str(caught.value)


def test_a_setting_is_for_all_executables(flow: Flow) -> None:
    plan = planned(flow, duration="1-2", items=7, output_size="1MB", seed=4)
    assert {program.duration for program in plan.executables.values()} == {"1-2"}
    assert plan.inputs["image"].items == 7
    assert plan.inputs["image"].size == "1MB"
    assert plan.seed == 4


def test_a_change_wins_over_a_setting(flow: Flow) -> None:
    plan = planned(flow, items=7, changes=("split.items=2", "split.cpu=0.5"))
    assert plan.executables["split"] == ProgramSettings(items=2, cpu=0.5)
    assert plan.executables["merge"].items == 7


def test_a_change_can_be_for_one_port(flow: Flow) -> None:
    plan = planned(flow, changes=("merge.sizes.image=2MB", "merge.lengths.parts=9"))
    assert plan.executables["merge"].sizes == {"image": "2MB"}
    assert plan.executables["merge"].lengths == {"parts": 9}


def test_a_plan_file_says_all_that_the_plan_says(flow: Flow, tmp_path: Path) -> None:
    plan = planned(flow, seed=3, changes=("merge.sizes.image=2MB", "split.failure=hang"))
    file = tmp_path / "mock.toml"
    file.write_text(render_plan(flow, plan, "mock.toml"))
    assert read_plan(file) == plan


def test_a_plan_file_is_where_settings_start_from(flow: Flow, tmp_path: Path) -> None:
    file = tmp_path / "mock.toml"
    file.write_text('seed = 5\n[executables.split]\nduration = "3"\nitems = 4\n')
    plan = planned(flow, plan=str(file), items=6)
    assert plan.seed == 5
    assert plan.executables["split"] == ProgramSettings(duration="3", items=6)


def test_what_a_plan_says_of_an_executable_that_is_gone_is_told(flow: Flow, tmp_path: Path) -> None:
    file = tmp_path / "mock.toml"
    file.write_text("[executables.old]\n[inputs.older]\n")
    _, warnings = make_plan(flow, [], MockSettings(plan=str(file)))
    assert warnings == [
        f"{file}: the pipeline has no executable 'old'; left out",
        f"{file}: the pipeline has no input 'older'; left out",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "split",
            (
                "--set split: is not of the form EXECUTABLE.KEY=VALUE\n"
                "  hint: such as: --set vis_split.items=36"
            ),
        ),
        (
            "splitt.items=3",
            (
                "--set splitt.items=3: no executable is called 'splitt'\n"
                "  hint: did you mean 'split'? there are: correct, merge, split"
            ),
        ),
        (
            "split.item=3",
            (
                "--set split.item=3: there is no setting 'item'\n"
                "  hint: did you mean 'items'? there are: cpu, duration, failing_attempts, "
                "failure, failure_rate, io, items, lengths.PORT, output_size, ram, sizes.PORT"
            ),
        ),
        (
            "split.items=some",
            "--set split.items=some: Expected `int`, got `str`",
        ),
        (
            "split.failure=explode",
            "--set split.failure=explode: Invalid enum value 'explode'",
        ),
        (
            "split.failure_rate=5",
            "split.failure_rate: 5 is not from 0 to 1\n  hint: 1 % is written 0.01",
        ),
        ("split.failing_attempts=-1", "split.failing_attempts: -1 is negative"),
        (
            "split.sizes.quadrant=1MB",
            (
                "split.sizes.quadrant: 'split' has no output 'quadrant'\n"
                "  hint: did you mean 'quadrants'? its outputs: quadrants"
            ),
        ),
        ("split.lengths.quadrants=-2", "split.lengths.quadrants: -2 is negative"),
    ],
)
def test_a_wrong_change_is_refused(flow: Flow, change: str, message: str) -> None:
    assert refusal(flow, changes=(change,)) == message


def test_a_plan_that_is_not_there_is_refused(flow: Flow, tmp_path: Path) -> None:
    assert refusal(flow, plan=f"{tmp_path}/no.toml") == (
        f"cannot read the plan {tmp_path}/no.toml: No such file or directory\n"
        "  hint: `euclid-dask mock` without --plan writes one to start from"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = ", "{file}: is not TOML: Invalid value (at end of document)"),
        (
            "seeds = 3",
            (
                "{file}: 'seeds' means nothing here\n"
                "  hint: did you mean 'seed'? known are: executables, inputs, seed"
            ),
        ),
        (
            "[inputs.image]\nitem = 3",
            (
                "{file}: inputs.image: 'item' means nothing here\n"
                "  hint: did you mean 'items'? known are: items, size"
            ),
        ),
        (
            "[executables.split]\ncpu = 'much'",
            "{file}: Expected `float`, got `str` - at `$.executables[...].cpu`",
        ),
        ("[executables.split]\nduration = 'x'", "split.duration: 'x' is no duration"),
        ("[inputs.image]\nsize = 'x'", "inputs.image.size: 'x' is no size"),
        ("[inputs.image]\nitems = -1", "inputs.image.items: -1 is negative"),
    ],
)
def test_a_wrong_plan_is_refused(flow: Flow, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mock.toml"
    file.write_text(text)
    assert refusal(flow, plan=str(file)).startswith(message.format(file=file))


def test_a_pipe_is_no_plan(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mock.toml")
    with pytest.raises(InputError, match="it is a pipe or a device, not a file"):
        read_plan(tmp_path / "mock.toml")
