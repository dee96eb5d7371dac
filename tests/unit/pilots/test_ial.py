"""The IAL's configuration files become sites; what has no place is told."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euclid_dask.core.errors import SiteError
from euclid_dask.pilots.ial import Imported, read_ial, render_import
from euclid_dask.pilots.site import Template, read_site

LATER = """\
# pipeline runner of a data centre
pipelinerunner.general.instancename=sdc-xx
pipelinerunner.workspace.protocol=FILE
pipelinerunner.workspace.rootPath=/sps/euclid
pipelinerunner.concurrentruns=50
pipelinerunner.engine.intervalInSec=5
pipelinerunner.pilotManager.module_port=50003
pipelinerunner.pilots.maxIdleTimeInSec=600
pipelinerunner.pilots.schedulingIntervalInSec=30
pipelinerunner.pilots.taskcmd=E-Run IAL_WFM_Pilot 0.5.1 pilot_job
pipelinerunner.pilots.genericLight.CPUcores=2
pipelinerunner.pilots.genericLight.rssInMB=4132
pipelinerunner.pilots.genericLight.walltimeInMin=4320
pipelinerunner.pilots.genericLight.maxInstances=0
pipelinerunner.pilots.genericHeavy.CPUcores=16
pipelinerunner.pilots.genericHeavy.rssInMB=32768
pipelinerunner.pilots.genericHeavy.walltimeInMin=10000
pipelinerunner.pilots.genericHeavy.maxInstances=8
pipelinerunner.pilots.genericHeavy.maxQueued=6
pipelinerunner.pilots.genericHeavy.starveModeInPercent=20
pipelinerunner.drm.defaultQueue.scheduler=SLURM
pipelinerunner.drm.defaultQueue.destination=htc
pipelinerunner.drm.submissionHost.password=hunter2
pipelinerunner.drm_access.DRMCallsTimeoutInSec=90
pipelinerunner.drm_access.submitUpdateIntervalInSec=2
pipelinerunner.drm_access.checkUpdateIntervalInSec=40
pipelinerunner.payload_job.retries=1
pipelinerunner.payload_job.expandCPUCoresEnvVar=OMP_NUM_THREADS, MKL_NUM_THREADS
pipelinerunner.profiling.updateIntervalInSec=15
environment.sourcingScripts.EDEN-2.1=/cvmfs/euclid.in2p3.fr/activate.sh && export A=1 # b
environment.sourcingScriptsDefault=; echo
"""
EARLIER = """\
[pipelinerunner]
pilot.small.cores = 4
pilot.small.ramInMB = 8000
pilot.small.walltimeInMin = 90
pilot.small.loglevel = DEBUG
pilot.small.maxInstances = 3   # three
wsConfig.workspaceRoot = "/data/ws"
drm.defaultQueue.scheduler = PBS
"""


def imported(folder: Path, text: str) -> Imported:
    path = folder / "server.cfg"
    path.write_text(text)
    return read_ial(path)


def test_pilots_of_the_later_spelling_are_templates(tmp_path: Path) -> None:
    assert imported(tmp_path, LATER).site.templates == {
        "genericLight": Template(
            cores=2, ram_bytes=4132 * 10**6, walltime_s=259200.0, max_running=0, queue="htc"
        ),
        "genericHeavy": Template(
            cores=16,
            ram_bytes=32768 * 10**6,
            walltime_s=600000.0,
            max_running=8,
            max_queued=6,
            queue="htc",
        ),
    }


def test_pilots_of_the_earlier_spelling_are_templates(tmp_path: Path) -> None:
    found = imported(tmp_path, EARLIER)
    assert found.site.templates == {
        "small": Template(cores=4, ram_bytes=8 * 10**9, walltime_s=5400.0, max_running=3)
    }
    assert (found.site.workspace, found.site.batch) == ("/data/ws", "openpbs")
    assert found.checks == ('batch: write "torque" if this PBS is Torque',)


def test_settings_of_the_server_are_those_of_the_site(tmp_path: Path) -> None:
    site = imported(tmp_path, LATER).site
    assert (site.name, site.workspace, site.batch) == ("sdc-xx", "/sps/euclid", "slurm")
    assert (site.pilots.idle_timeout_s, site.network.port, site.retries.science) == (600, 50003, 1)
    asked = site.intervals
    assert (asked.command_s, asked.submit_s, asked.poll_s, asked.sample_s) == (90, 2, 40, 15)


def test_sourcing_scripts_are_taken_over_as_they_are(tmp_path: Path) -> None:
    assert imported(tmp_path, LATER).site.environments == {
        "eden-2.1": "/cvmfs/euclid.in2p3.fr/activate.sh && export A=1 # b",
        "default": "; echo",
    }


def test_every_other_line_is_kept_with_why_it_has_no_place(tmp_path: Path) -> None:
    found = imported(tmp_path, LATER)
    assert [left.line for left in found.left_out] == [3, 5, 6, 9, 10, 20, 23, 28]
    assert all(left.why != "unknown" for left in found.left_out)
    text = render_import(found, "server.cfg")
    assert "#   pipelinerunner.concurrentruns=50    # max_running and max_queued say" in text
    assert "starveModeInPercent=20    # a task goes to any free pilot that holds it" in text


def test_a_secret_is_not_copied(tmp_path: Path) -> None:
    found = imported(tmp_path, LATER)
    assert "hunter2" not in render_import(found, "server.cfg")
    assert "password=(not copied)" in render_import(found, "server.cfg")


def test_what_is_missing_is_guessed_and_told(tmp_path: Path) -> None:
    found = imported(tmp_path, "pilots.a.CPUcores=4\nunheard.of=3\nnonsense\n")
    assert found.checks == (
        "workspace is not in the configuration: /path/of/the/workspace is a guess",
        "batch is not in the configuration: slurm is a guess",
        "templates.a.ram is not in the configuration: 16GB is a guess",
        "templates.a.walltime is not in the configuration: 1d is a guess",
    )
    assert [(left.line, left.why) for left in found.left_out] == [
        (2, "unknown"),
        (3, "it is not of the form key=value"),
    ]
    assert "#   batch is not in the configuration" in render_import(found, "server.cfg")


def test_names_that_are_not_legal_here_are_changed_and_told(tmp_path: Path) -> None:
    found = imported(tmp_path, "pilots.2 big.CPUcores=4\npilots.2 big.rssInMB=4000\n")
    assert list(found.site.templates) == ["x2_big"]
    assert "the name 2 big is written x2_big" in found.checks


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("CPUcores=2", "CPUcores=two", 'pilots.genericLight.CPUcores: "two" is not a number'),
        ("rssInMB=4132", "rssInMB=-1", 'genericLight.rssInMB: "-1MB" is not a size like'),
        ("SLURM", "LSF", 'drm.defaultQueue.scheduler: "lsf" is not one of: htcondor'),
        ("=/sps/euclid", "=ws", "workspace.rootPath: 'ws' is not an absolute path"),
    ],
)
def test_a_value_that_means_nothing_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    text = LATER.replace(old, new, 1)
    line = next(n for n, line in enumerate(text.split("\n"), 1) if new in line)
    with pytest.raises(SiteError) as caught:
        imported(tmp_path, text)
    assert caught.value.message.startswith(f"{tmp_path}/server.cfg:{line}: ")
    assert told in caught.value.message


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="this is no configuration of the IAL"):
        imported(tmp_path, "a=1\nb\n")


WORDS = """
pipelinerunner pilots pilot small genericLight CPUcores rssInMB walltimeInMin maxInstances general
starveModeInPercent workspace rootPath environment sourcingScripts drm defaultQueue scheduler
instancename pilotManager module_port
"""
LETTERS = st.sampled_from("ab/=. #;[\\\"'\t\x00\x0b\r\x7f\x85\u2028é")
TEXTS = st.text(LETTERS, max_size=8)
KEYS = st.lists(st.sampled_from(WORDS.split()) | TEXTS, min_size=1, max_size=4).map(".".join)
VALUES = st.sampled_from(["1", "2.5", "nan", "-3", "", "/a", "SLURM"]) | TEXTS
LINES = st.tuples(
    KEYS | st.sampled_from([line.partition("=")[0] for line in LATER.split()]), VALUES
)


@given(st.lists(LINES, max_size=8))
def test_any_configuration_becomes_a_site_or_is_refused(
    tmp_path_factory: Any, lines: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    source, written = folder / "any.cfg", folder / "any-site.toml"
    given_lines = [("pilots.a.CPUcores", "2"), *lines]
    source.write_text("".join(f"{key}={value}\n" for key, value in given_lines), newline="")
    try:
        found = read_ial(source)
    except SiteError:
        return
    written.write_text(render_import(found, "any.cfg"), encoding="utf-8", newline="")
    assert read_site(written, {}) == found.site


@pytest.mark.parametrize("text", [LATER, EARLIER])
def test_the_written_site_says_what_was_imported(tmp_path: Path, text: str) -> None:
    found = imported(tmp_path, text)
    written = tmp_path / "site.toml"
    written.write_text(render_import(found, "server.cfg"))
    assert read_site(written, {}) == found.site


def test_a_key_that_is_there_twice_is_told(tmp_path: Path) -> None:
    found = imported(tmp_path, "pilots.a.CPUcores=4\npilots.a.cores=8\n")
    assert found.site.templates["a"].cores == 8
    assert "pilots.a.cores is there more than once; the last one counts" in found.checks
