"""Whole pipelines with stand-ins in place of their executables, run without Dask."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from euclid_dask import api
from euclid_dask.api import RunResult, Settings
from euclid_dask.mock import MockReport, MockSettings, build_mock

SCRIPTS = Path(__file__).parents[1] / "pipelines/scripts"
TASKS = ("ialtest_correct_dark", "ialtest_correct_flat")
SLIDES = """
from euclidwf.framework.workflow_dsl import pipeline
from euclidwf.framework.taskdefs import Executable, Input, Output, ComputingResources

PREFIX = 'E-Run IalTestExec 0.9.5'

ialtest_correct_dark = Executable(
    command="%s ialtest_correct_dark" % PREFIX,
    inputs=[Input("image", content_type="simplefile"), Input("master_dark"),
            Input("control_params")],
    outputs=[Output("corrected_image"), Output("darkmap", mime_type="image")],
    resources=ComputingResources(cores=1, ram=0.1, walltime=0.1))

ialtest_correct_flat = Executable(
    command="%s ialtest_correct_flat" % PREFIX,
    inputs=[Input("image"), Input("master_dark"), Input("control_params")],
    outputs=[Output("corrected_image"), Output("deadmap", mime_type="image")],
    resources=ComputingResources(cores=1, ram=0.1, walltime=0.1))


@pipeline(outputs=('corrected_image', 'darkmap', 'deadmap'))
def correct_pipeline(image, master_dark, master_flat, params):
    dark_corrected, darkmap = ialtest_correct_dark(
        image=image, master_dark=master_dark, control_params=params)
    flat_corrected, deadmap = ialtest_correct_flat(
        image=dark_corrected, master_dark=master_flat, control_params=params)
    return flat_corrected, darkmap, deadmap
"""

SHE = """
from euclid_dask import ComputingResources, Executable, Input, Output, parallel, pipeline

small = ComputingResources(cores=1, ram=0.1, walltime=0.1)
she_object_id_split = Executable(
    "E-Run SHE_CTE 9.1 SHE_CTE_ObjectIdSplit",
    [Input("mer_tables", content_type="listfile"), Input("pipeline_config", optional=True)],
    [Output("object_ids", mime_type="json")], small)
she_remap_stack = Executable(
    "E-Run SHE_MER 9.1 SHE_MER_RemapMosaic", ["mosaic"], [Output("stack")], small)
she_remap_exposure = Executable(
    "E-Run SHE_MER 9.1 SHE_MER_RemapMosaic", ["mosaic"], [Output("stack", mime_type="fits")], small)
she_estimate = Executable(
    "E-Run SHE_CTE 9.1 SHE_CTE_EstimateShear --methods KSB 'Lens MC'",
    ["object_ids", "stack", "method"], ["estimates", "chains"], small)
she_merge = Executable(
    "E-Run SHE_CTE 9.1 SHE_CTE_Merge", [Input("estimates", content_type="listfile")],
    [Output("merged"), Output("merged_list", content_type="listfile")], small)
she_cleanup = Executable("she_cleanup --all", ["estimates", "ready"], [], small)


@parallel(iterable="object_ids")
def estimate_batch(object_ids, stack):
    estimates, chains = she_estimate(object_ids=object_ids, stack=stack, method="best.v1")
    return estimates


@parallel(iterable="vis_image")
def remap_exposures(vis_image):
    return she_remap_exposure(mosaic=vis_image)


@pipeline(outputs=("merged", "remapped"))
def shear(vis_image, mer_tables, mosaic, spe_output_cat, pipeline_config=None):
    ids = she_object_id_split(mer_tables=mer_tables, pipeline_config=pipeline_config)
    stack = she_remap_stack(mosaic=mosaic)
    remapped = remap_exposures(vis_image=vis_image)
    estimates = estimate_batch(object_ids=ids, stack=stack)
    merged, _ = she_merge(estimates=estimates)
    she_cleanup(estimates=estimates, ready=merged)
    return merged, remapped
"""

NESTED = """
from euclid_dask import ComputingResources, Executable, Input, Output, nested, parallel, pipeline

small = ComputingResources(cores=1, ram=0.1, walltime=0.1)
group = Executable("group", ["field"], [Output("groups", content_type="listfile")], small)
use = Executable("use", ["x"], ["y"], small)
pack = Executable("pack", [Input("xs", content_type="listfile")], [Output("y", mime_type="txt")],
                  small)


@nested()
def twice(x):
    return use(x=use(x=x, name="first"), name="second")


@parallel(iterable="one")
def inner(one, field):
    return twice(x=one)


@parallel(iterable="members")
def outer(members, field):
    return pack(xs=inner(one=members, field=field)), pack(xs=members, name="whole")


@pipeline(outputs=("rows", "given"))
def nesting(field, given):
    return outer(members=group(field=field), field=field), outer(members=given, field=field)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "script.py"


def mocked(script: Path, text: str, folder: Path, settings: MockSettings) -> MockReport:
    script.write_text(text)
    return build_mock(api.load(script).flow, folder, settings)


def run(
    report: MockReport, monkeypatch: pytest.MonkeyPatch, retries: int = 0, **inputs: str
) -> RunResult:
    """Run as the command of a mock does."""
    if report.command.startswith("PATH="):
        monkeypatch.setenv("PATH", report.bin, prepend=os.pathsep)
    settings = Settings(
        executor="inline", cores=2, ram_bytes=10**9, science_retries=retries, grace_s=0.1
    )
    return api.run(
        report.script, workdir=report.workdir, isf=report.isf, settings=settings, **inputs
    )


def lineage(product: Path) -> dict[str, str]:
    found = {}
    for parameter in ET.parse(product).getroot().iter("Parameter"):
        found[str(parameter.findtext("Key"))] = str(parameter.findtext("StringValue"))
    return found


def outputs(folder: Path) -> dict[str, str]:
    """Return a digest of all that tasks have written, by relative path."""
    left_out = (".euclid-dask", "logs", "mock-bin", "mock")
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not str(file.relative_to(folder)).startswith(left_out)
    }


def test_a_pipeline_of_e_run_commands_is_whole_and_its_products_prove_the_wiring(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = mocked(script, SLIDES, tmp_path / "w", MockSettings())
    result = run(report, monkeypatch)
    assert result.state == "done"
    workdir = tmp_path / "w"
    told = lineage(result.outputs["corrected_image"])
    first = workdir / "ialtest_correct_dark/corrected_image.xml"
    digest = hashlib.md5(first.read_bytes()).hexdigest()
    assert told["input image"] == f"ialtest_correct_dark/corrected_image.xml {digest}"
    assert told["input master_dark"].startswith("master_flat.xml ")
    assert told["task"] == "ialtest_correct_flat"
    assert result.outputs["darkmap"].read_bytes().startswith(b"\x89PNG")


def test_the_script_of_the_slides_runs_from_its_own_import_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its second task has a port that is named like another argument of the pipeline."""
    path = SCRIPTS / "slides/correct_pipeline.py"
    report = build_mock(api.load(path).flow, tmp_path / "w", MockSettings())
    monkeypatch.setenv("PATH", report.bin, prepend=os.pathsep)
    settings = Settings(executor="inline", cores=2, ram_bytes=4 * 10**9)
    result = api.run(path, workdir=tmp_path / "w", isf=report.isf, settings=settings)
    assert (result.state, result.summary().tasks.done) == ("done", 2)
    dark, flat = (lineage(result.workdir / task / "corrected_image.xml") for task in TASKS)
    assert dark["input master_dark"].startswith("master_dark.xml ")
    assert flat["input master_dark"].startswith("master_flat.xml ")
    assert flat["input image"].startswith("ialtest_correct_dark/corrected_image.xml ")


def test_splits_and_list_inputs_get_the_lists_that_they_need(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = ("she_object_id_split.items=5", "she_merge.lengths.merged_list=2")
    report = mocked(script, SHE, tmp_path / "w", MockSettings(items=3, changes=changes))
    result = run(report, monkeypatch)
    assert result.failures == ()
    assert len(result.run.tasks) == 1 + 1 + 3 + 5 + 1 + 1
    remapped = json.loads(result.outputs["remapped"].read_text())
    assert [Path(name).suffix for name in remapped] == [".fits"] * 3
    batch = tmp_path / "w/estimate_batch.iterations.4.she_estimate/estimates.xml"
    assert lineage(batch)["text method"] == "best.v1"
    assert lineage(batch)["input object_ids"].startswith("she_object_id_split/object_ids_4.xml ")
    assert lineage(result.outputs["merged"])["executable"] == "she_merge"
    assert len(json.loads((tmp_path / "w/she_merge/merged_list.xml").read_text())) == 2


def test_an_input_may_be_absent(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = mocked(script, SHE, tmp_path / "w", MockSettings())
    isf = Path(report.isf)
    isf.write_text(isf.read_text().replace("=pipeline_config.xml", "=None"))
    assert run(report, monkeypatch).state == "done"


def test_splits_inside_splits_get_lists_of_lists(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = ("group.items=2",)
    report = mocked(script, NESTED, tmp_path / "w", MockSettings(items=3, changes=changes))
    result = run(report, monkeypatch)
    assert result.failures == ()
    # `group` makes 2 groups of 2, the input is 3 lists of 3
    assert len(result.run.tasks) == 1 + 2 * (2 * 2 + 2) + 3 * (3 * 2 + 2)
    rows = json.loads(result.outputs["given"].read_text())
    assert rows[2] == [
        "outer_2.iterations.3.pack/y.txt",
        "outer_2.iterations.3.whole/y.txt",
    ]
    assert "input xs: given_3.json " in (tmp_path / "w" / rows[2][1]).read_text()


def test_empty_lists_make_no_branches(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = mocked(script, SHE, tmp_path / "w", MockSettings(items=0))
    result = run(report, monkeypatch)
    assert (result.state, len(result.run.tasks)) == ("done", 4)


def test_outputs_are_the_same_for_the_same_seed_and_differ_for_another(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name, seed in (("first", 1), ("second", 1), ("third", 2)):
        settings = MockSettings(seed=seed, output_size="4kB")
        report = mocked(script, SLIDES, tmp_path / name, settings)
        assert run(report, monkeypatch).state == "done"
        found.append(outputs(tmp_path / name))
    assert found[0] == found[1]
    assert found[0].keys() == found[2].keys()
    assert not set(found[0].values()) & set(found[2].values())


def test_a_failure_rate_with_a_seed_fails_the_same_tasks_twice(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = ("she_estimate.failure_rate=0.01", "she_object_id_split.items=100")
    failed = []
    for name in ("first", "second"):
        settings = MockSettings(items=1, seed=2, changes=changes)
        result = run(mocked(script, SHE, tmp_path / name, settings), monkeypatch)
        failed.append([failure.task for failure in result.failures])
        assert result.state == "failed"
    assert failed[0] == failed[1]
    assert failed[0] == [
        "estimate_batch.iterations.5.she_estimate",
        "estimate_batch.iterations.51.she_estimate",
    ]
    log = next((tmp_path / "first/logs" / failed[0][0]).glob("stderr*"))
    assert log.read_text() == (
        f"she_estimate (stand-in): {failed[0][0]} fails as planned: failure_rate is 0.01, "
        "seed is 2\n"
    )


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        ("exit", "exit code 1"),
        ("signal", "SIGKILL"),
        ("bad-output", "is not well-formed XML"),
    ],
)
def test_each_way_to_fail_is_what_the_run_reports(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str, told: str
) -> None:
    name = "ialtest_correct_dark"
    changes = (f"{name}.failure_rate=1", f"{name}.failure={failure}")
    report = mocked(script, SLIDES, tmp_path / "w", MockSettings(changes=changes))
    (found,) = run(report, monkeypatch).failures
    assert found.task == name
    assert told in found.reason


def test_a_stand_in_that_hangs_is_killed_by_its_walltime(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SLIDES.replace("walltime=0.1", "walltime=0.0001")
    changes = ("ialtest_correct_dark.failure_rate=1", "ialtest_correct_dark.failure=hang")
    report = mocked(script, text, tmp_path / "w", MockSettings(changes=changes))
    (found,) = run(report, monkeypatch).failures
    assert "walltime" in found.reason


def test_a_task_that_fails_once_is_done_at_the_second_attempt(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "ialtest_correct_dark"
    changes = (f"{name}.failure_rate=1", f"{name}.failing_attempts=1")
    report = mocked(script, SLIDES, tmp_path / "w", MockSettings(changes=changes))
    result = run(report, monkeypatch, retries=1)
    assert (result.state, result.run.tasks[name].attempt) == ("done", 2)  # type: ignore[index]


def test_a_mock_written_again_keeps_what_is_done_until_its_settings_change(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attempts(settings: MockSettings) -> int:
        result = run(mocked(script, SLIDES, tmp_path / "w", settings), monkeypatch)
        return sum(task.attempt for task in result.run.tasks.values())

    assert attempts(MockSettings()) == 2
    assert attempts(MockSettings()) == 0
    assert attempts(MockSettings(plan=str(tmp_path / "w/mock.toml"))) == 0
    assert attempts(MockSettings(output_size="9kB")) == 2


def test_commands_with_paths_are_run_by_a_script_of_the_mock(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = NESTED.replace('"group"', '"/opt/group --all"').replace('"use"', '"bin/use"')
    report = mocked(script, text, tmp_path / "w", MockSettings(items=2))
    result = run(report, monkeypatch)
    assert result.state == "done"
    assert (tmp_path / "w/outer_1.iterations.2.inner.iterations.1.twice.second/y.xml").is_file()


def call(report: MockReport, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [f"{report.bin}/{words[0]}", *words[1:]],
        cwd=report.workdir,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_stand_in_can_be_called_by_hand_with_options_apart(script: Path, tmp_path: Path) -> None:
    report = mocked(script, SLIDES, tmp_path / "w", MockSettings())
    words = "--workdir . --log-level DEBUG --image image.txt --corrected_image o/x.xml --darkmap=d"
    done = call(report, "ialtest_correct_dark", *words.split())
    assert (done.returncode, done.stdout) == (
        0,
        "ialtest_correct_dark (stand-in): o wrote 2 outputs\n",
    )
    assert lineage(tmp_path / "w/o/x.xml")["input image"].startswith("image.txt ")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            "ialtest_correct_dark --workdir=. --image=gone.txt --corrected_image=a --darkmap=b",
            2,
            "ialtest_correct_dark (stand-in): input image: gone.txt: No such file or directory\n",
        ),
        (
            "ialtest_correct_dark --workdir=. --corrected_image=a",
            2,
            (
                "ialtest_correct_dark (stand-in): no file is given for output darkmap: "
                "--darkmap=FILE\n"
            ),
        ),
        (
            "E-Run IalTestExec 0.9.5 other --workdir=.",
            127,
            (
                "E-Run IalTestExec 0.9.5 other --workdir=.: there is no stand-in for this; there "
                "are: E-Run IalTestExec 0.9.5 ialtest_correct_dark; "
                "E-Run IalTestExec 0.9.5 ialtest_correct_flat\n"
            ),
        ),
    ],
)
def test_a_stand_in_says_what_it_refuses(
    script: Path, tmp_path: Path, words: str, code: int, message: str
) -> None:
    report = mocked(script, SLIDES, tmp_path / "w", MockSettings())
    done = call(report, *words.split())
    assert (done.returncode, done.stderr) == (code, message)


def test_a_product_whose_data_file_is_gone_is_refused(script: Path, tmp_path: Path) -> None:
    report = mocked(script, SLIDES, tmp_path / "w", MockSettings())
    (tmp_path / "w/data/EUC_MOCK_INPUT_master_flat.fits").unlink()
    words = "--image=image.txt --master_dark=master_flat.xml --corrected_image=a --deadmap=b"
    done = call(report, "ialtest_correct_flat", *words.split())
    assert (done.returncode, done.stderr) == (
        2,
        (
            "ialtest_correct_flat (stand-in): input master_dark: master_flat.xml names "
            "data/EUC_MOCK_INPUT_master_flat.fits: No such file or directory\n"
        ),
    )


def test_a_stand_in_for_an_interpreter_leaves_other_scripts_alone(
    script: Path, tmp_path: Path
) -> None:
    text = NESTED.replace('"use"', '"sh use.sh"')
    report = mocked(script, text, tmp_path / "w", MockSettings())
    (tmp_path / "w/other.sh").write_text("echo real $1")
    done = call(report, "sh", "other.sh", "thing")
    assert done.stdout == "real thing\n"
    done = call(report, "sh", "use.sh", "--y=o/y.xml")
    assert done.stdout == "use (stand-in): o wrote 1 outputs\n"


LAUNCHER = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""The kernel counts the peak of a child from its launcher's own, so the launcher is small."""


def test_ram_is_resident_and_counts_from_nothing(script: Path, tmp_path: Path) -> None:
    report = mocked(script, SLIDES, tmp_path / "w", MockSettings(ram="90MB"))
    words = ["--workdir=.", "--corrected_image=a.xml", "--darkmap=b.image"]
    done = subprocess.run(
        [sys.executable, "-SEc", LAUNCHER, report.stand_ins["ialtest_correct_dark"], *words],
        cwd=report.workdir,
        capture_output=True,
        text=True,
        check=True,
    )
    assert 88e6 < int(done.stdout.split()[-1]) * 1024 < 96e6


def test_every_page_of_touched_memory_is_resident() -> None:
    program = (
        "from euclid_dask.mock.standin.load import touch\n"
        "held = touch(200_000_000)\n"
        "text = open('/proc/self/status').read()\n"
        "print(next(l.split()[1] for l in text.splitlines() if l.startswith('VmHWM')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert 198e6 < int(done.stdout) * 1024 < 210e6


def test_time_cores_and_disk_are_used(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SLIDES.replace("cores=1", "cores=2")
    settings = MockSettings(duration="0.3", cpu=1.0, io="3MB", output_size="2MB")
    result = run(mocked(script, text, tmp_path / "w", settings), monkeypatch)
    assert result.state == "done"
    for row in result.profile():
        assert row["wall_s"] >= 0.3
    assert not list((tmp_path / "w/logs").rglob("scratch*"))
    data = tmp_path / "w/data/EUC_MOCK_ialtest_correct_dark_corrected_image.fits"
    assert data.stat().st_size >= 2_000_000
