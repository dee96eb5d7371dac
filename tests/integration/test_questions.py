"""Runs whose inputs are questions: asked once, staged without a copy, and never asked again."""

import csv
import json
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from raw_frames import OBSERVATION, PIXELS, frame_xml

from euclid_dask import Executable, Input, Output, api, parallel, pipeline
from euclid_dask.api import Settings
from euclid_dask.api.campaigns import (
    CampaignPlan,
    Grouping,
    Row,
    carry_out_groups,
    plan_campaign,
    run_campaign,
)
from euclid_dask.api.copies import Progress
from euclid_dask.api.data import DataSettings, Way, add_storage, ingest
from euclid_dask.api.lineage import known
from euclid_dask.cli import campaigns
from euclid_dask.cli.app import app
from euclid_dask.core.errors import EuclidDaskError, InputError
from euclid_dask.data.model import ReplicaState
from euclid_dask.data.registry import Registry
from euclid_dask.data.stage import MANIFEST
from euclid_dask.report.words import size as words_size
from euclid_dask.runner.workspace import Lock, Workspace

QUESTION = f"query: DpdVisRawFrame where {OBSERVATION} == 31283"
pixels = Executable(PIXELS, inputs=[Input("frame")], outputs=[Output("pixels", mime_type="txt")])
harm = Executable(
    PIXELS.replace("cat ", 'chmod u+w "data/$name"; echo more >> "data/$name"; cat '),
    inputs=[Input("frame")],
    outputs=[Output("pixels", mime_type="txt")],
)

fail = Executable("false", inputs=[Input("frame")], outputs=[Output("pixels", mime_type="txt")])


@parallel(iterable="frame")
def each(frame):
    return pixels(frame=frame)


@pipeline(outputs=("pixels",))
def of_one(frame):
    return pixels(frame=frame)


@pipeline(outputs=("pixels",))
def of_many(frames):
    return each(frame=frames)


SCRIPT = f"""
from euclid_dask import Executable, Input, Output, parallel, pipeline

pixels = Executable(
    {PIXELS!r}, inputs=[Input("frame")], outputs=[Output("pixels", mime_type="txt")]
)

@parallel(iterable="frame")
def each(frame):
    return pixels(frame=frame)

@pipeline(outputs=("pixels",))
def of_many(frames):
    return each(frame=frames)
"""


@pipeline(outputs=("pixels",))
def failing(frame):
    return fail(frame=frame)


@pipeline(outputs=("pixels",))
def harmful(frame):
    return harm(frame=frame)


@dataclass
class Store:
    """A registry, and an archive that this host sees."""

    folder: Path

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    @property
    def settings(self) -> Settings:
        return Settings(executor="inline", registry=str(self.folder / "r.sqlite"))

    @property
    def data(self) -> DataSettings:
        return DataSettings(registry=self.settings.registry)

    def add(self, **observations: int) -> None:
        """Register more products, by their names."""
        for name, observation in observations.items():
            product = self.archive / f"{name}.xml"
            product.write_text(frame_xml(name, observation))
            data = self.archive / "data" / f"{name}.fits"
            data.write_text(f"pixels of {name}\n")
            data.chmod(0o444)
        products = [self.archive / f"{name}.xml" for name in observations]
        ingest(self.data, products, values=[OBSERVATION])

    def run(self, script: Any, **given: Any) -> api.RunResult:
        return api.run(script, workdir=self.folder / "w", settings=self.settings, **given)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty registry, to be copied: to make one takes longer."""
    path = tmp_path_factory.mktemp("registry") / "r.sqlite"
    Registry(path).close()
    return path


@pytest.fixture
def store(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return a store of three products, of two observations."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EUCLID_DASK_REGISTRY", str(tmp_path / "r.sqlite"))
    (tmp_path / "many.py").write_text(SCRIPT)
    shutil.copy(empty, tmp_path)
    made = Store(tmp_path)
    (made.archive / "data").mkdir(parents=True)
    add_storage(made.data, Way(storage="ARCHIVE", zone="local", root=f"file://{made.archive}"))
    made.add(a=31283, b=31283, c=31284)
    return made


def answers(result: api.RunResult) -> dict[str, Any]:
    return json.loads((result.workdir / result.run.options.answers).read_bytes())


def test_a_list_port_gets_all_products_that_fulfil_its_question(store: Store) -> None:
    result = store.run(of_many, frames=QUESTION)
    assert result.state == "done"
    joined = json.loads(result.outputs["pixels"].read_bytes())
    texts = [(result.workdir / one).read_text() for one in joined]
    assert texts == ["pixels of a\n", "pixels of b\n"]
    asked = answers(result)["asked"]["frames"]
    assert asked["question"] == QUESTION
    assert [one["product_id"] for one in asked["products"]] == ["a", "b"]
    assert result.run.options.asked == {"frames": QUESTION}


def test_nothing_is_copied_and_no_product_is_rewritten(store: Store) -> None:
    result = store.run(of_one, frame="query: DpdVisRawFrame where Header.ProductId == c")
    assert result.outputs["pixels"].read_text() == "pixels of c\n"
    for place, source in (("c.xml", "c.xml"), ("data/c.fits", "data/c.fits")):
        assert (result.workdir / place).samefile(store.archive / source)
    manifest = json.loads((result.workdir / MANIFEST).read_bytes())
    assert {one["method"] for one in manifest["entries"]} == {"symlink"}


def test_a_resumed_run_asks_nothing_and_another_one_runs_what_is_new(store: Store) -> None:
    first = store.run(of_many, frames=QUESTION)
    store.add(d=31283)
    (store.folder / "r.sqlite").rename(store.folder / "away")
    resumed = api.resume(first.workdir)
    assert (resumed.id, resumed.state) == (first.id, "done")
    assert len(json.loads(resumed.outputs["pixels"].read_bytes())) == 2
    (store.folder / "away").rename(store.folder / "r.sqlite")
    second = store.run(of_many, frames=QUESTION)
    assert len(json.loads(second.outputs["pixels"].read_bytes())) == 3
    assert second.summary().tasks.skipped == 2
    assert api.resume(first.workdir, first.id).run.options == first.run.options


def call(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_answers_are_taken_from_an_earlier_run(store: Store) -> None:
    first = store.run(of_many, frames=QUESTION)
    frozen = first.workdir / first.run.options.answers
    (store.folder / "r.sqlite").unlink()
    words = ("run", "many.py", "--workdir", "w", "--answers", str(frozen))
    done = call(*words, f"frames={QUESTION}")
    assert done.exit_code == 0, done.output
    other = call(*words, "frames=query: DpdX")
    assert other.exit_code == 2
    assert "has no answer to query: DpdX" in other.stderr


def test_a_data_file_holds_questions_too(store: Store) -> None:
    (store.folder / "f.isf").write_text(f"workdir=w\nframes = {QUESTION}  # both\n")
    done = call("run", "many.py", "--isf", "f.isf", "--json")
    assert done.exit_code == 0, done.output
    joined = json.loads(done.stdout)["outputs"]["pixels"]
    assert len(json.loads((store.folder / "w" / joined).read_bytes())) == 2


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("query: DpdVisRawFrame wher x", "frame: the query wants"),
        ("query: DpdVisRawFram", "did you mean 'DpdVisRawFrame'?"),
        ("query: DpdVisRawFrame where Data.ObservationId == 1", f"did you mean '{OBSERVATION}'?"),
        (f"query: {OBSERVATION} == 5", "frame=None runs without"),
        (QUESTION, "frame takes one product, and 2 fulfil its query: a, b"),
        ("query:", "frame: the query is empty"),
    ],
)
def test_a_question_without_the_one_product_is_refused(
    store: Store, question: str, told: str
) -> None:
    with pytest.raises(EuclidDaskError) as caught:
        store.run(of_one, frame=question)
    assert told in f"{caught.value.message}\n{caught.value.hint}"
    assert not (store.folder / "w").exists()


def test_a_question_that_cannot_be_read_is_found_by_check_without_asking(store: Store) -> None:
    (store.folder / "r.sqlite").unlink()
    found = call("check", "many.py", "frames=query: DpdVisRawFrame wher x")
    assert found.exit_code != 0
    assert "frames: the query wants" in found.output
    assert call("check", "many.py", f"frames={QUESTION}").exit_code == 0


def test_without_a_registry_nothing_is_asked(store: Store) -> None:
    (store.folder / "r.sqlite").unlink()
    found = call("run", "many.py", f"frames={QUESTION}", "--workdir", "w")
    assert found.exit_code == 2
    assert "there is no registry at" in found.stderr


def test_files_that_hosts_of_the_zone_cannot_get_are_told(store: Store) -> None:
    found = call("run", "many.py", f"frames={QUESTION}", "--workdir", "w", "--zone", "moon")
    assert found.exit_code == 2
    assert "hosts of the zone moon cannot get the files" in found.stderr


def test_a_disk_that_is_away_is_told(store: Store) -> None:
    store.archive.rename(store.folder / "unmounted")
    store.archive.mkdir()
    found = call("run", "many.py", f"frames={QUESTION}", "--workdir", "w")
    assert found.exit_code == 2
    assert "is its disk mounted?" in found.stderr


def test_another_file_of_that_name_in_the_workdir_is_not_replaced(store: Store) -> None:
    (store.folder / "w").mkdir()
    (store.folder / "w" / "a.xml").write_text("mine")
    with pytest.raises(InputError, match=r"a\.xml is there already, and is another file"):
        store.run(of_many, frames=QUESTION)
    assert (store.folder / "w" / "a.xml").read_text() == "mine"


def test_what_the_zone_does_not_see_is_copied_once_and_a_broken_copy_goes_on(store: Store) -> None:
    near = store.folder / "near"
    near.mkdir()
    add_storage(store.data, Way(storage="NEAR", zone="near", root=f"file://{near}"))
    words = ("run", "many.py", f"frames={QUESTION}", "--workdir", "w", "--zone", "near")
    assert call(*words).exit_code == 2  # no way yet
    root = f"file://{store.archive}"
    add_storage(store.data, Way(storage="ARCHIVE", zone="mover", root=root))
    add_storage(store.data, Way(storage="NEAR", zone="mover", root=f"file://{near}"))
    waits = call(*words)
    assert waits.exit_code == 1
    assert "call it again" in waits.stderr
    with Registry(store.data.registry, read_only=True) as registry:
        queued = sorted((one.file, one.destination) for one in registry.transfers.active())
    assert queued == [(name, "NEAR") for name in ("a.fits", "a.xml", "b.fits", "b.xml")]


def test_copies_that_a_run_waits_for_are_told(store: Store) -> None:
    near = store.folder / "near"
    near.mkdir()
    add_storage(store.data, Way(storage="NEAR", zone="near", root=f"file://{near}"))
    root = f"fsspec+file://{store.archive}"  # no file system that tasks see
    add_storage(store.data, Way(storage="ARCHIVE", zone="near", root=root, write=0))
    words = ("run", "many.py", f"frames={QUESTION}", "--zone", "near")
    done = call(*words, "--workdir", "w")
    assert done.exit_code == 0, done.stderr
    size = sum(path.stat().st_size for path in near.rglob("[ab].*"))
    assert f"copying 4 files ({words_size(size)})\n" in done.stderr
    again = call(*words, "--workdir", "w2")
    assert again.exit_code == 0, again.stderr
    assert "copying" not in again.stderr


def test_bytes_of_copies_before_a_run_are_told_to_its_caller(store: Store) -> None:
    near = store.folder / "near"
    near.mkdir()
    add_storage(store.data, Way(storage="NEAR", zone="near", root=f"file://{near}"))
    root = f"fsspec+file://{store.archive}"
    add_storage(store.data, Way(storage="ARCHIVE", zone="near", root=root, write=0))
    told: list[tuple[int, int]] = []
    progress = Progress(wrote=lambda some, total: told.append((some, total)))
    settings = replace(store.settings, zone="near", copying=lambda: nullcontext(progress))
    result = api.run(of_many, workdir=store.folder / "w", settings=settings, frames=QUESTION)
    assert result.state == "done"
    size = sum(path.stat().st_size for path in near.rglob("[ab].*"))
    assert sum(some for some, _ in told) == size
    assert {total for _, total in told} == {size}


def test_an_input_that_a_task_changed_is_told_and_read_no_more(store: Store) -> None:
    result = store.run(harmful, frame="query: DpdVisRawFrame where Header.ProductId == c")
    assert len(result.warnings) == 1
    assert str(store.archive / "data/c.fits") in result.warnings[0]
    with Registry(store.data.registry, read_only=True) as registry:
        (replica,) = registry.locate(["c.fits"], frozenset(ReplicaState))["c.fits"]
    assert replica.state is ReplicaState.SUSPECT
    with pytest.raises(InputError, match="has no replica that can be read"):
        store.run(harmful, frame="query: DpdVisRawFrame where Header.ProductId == c")


SITE = """\
workspace = "{folder}"
batch = "slurm"
[templates.light]
cores = 1
ram = "8GB"
walltime = "2h"
"""


def test_a_submitted_run_asks_before_and_its_job_does_not(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = SITE.format(folder=store.folder) + f'[data]\nregistry = "{store.data.registry}"\n'
    (store.folder / "site.toml").write_text(site)
    monkeypatch.delenv("EUCLID_DASK_REGISTRY")
    words = ("--workdir", "w", "--site", "site.toml", "--dry-run")
    found = call("submit", "many.py", f"frames={QUESTION}", *words)
    assert found.exit_code == 0, found.output
    line = shlex.split(found.stdout.splitlines()[-1])
    (frozen,) = (word.partition("=")[2] for word in line if word.startswith("--answers="))
    (store.folder / "r.sqlite").unlink()
    store.archive.rename(store.folder / "unmounted").joinpath("a.xml").unlink()
    (store.folder / "unmounted").rename(store.archive)
    done = call("run", *line[line.index("--") + 1 :], "--workdir", "w", f"--answers={frozen}")
    assert done.exit_code == 2
    assert "there is no registry" in done.stderr  # a.xml is gone
    (store.archive / "a.xml").write_text(frame_xml("a", 31283))
    done = call("run", *line[line.index("--") + 1 :], "--workdir", "w", f"--answers={frozen}")
    assert done.exit_code == 0, done.output


def test_inputs_stay_until_their_run_is_done(store: Store) -> None:
    def owners() -> list[str]:
        with Registry(store.data.registry, read_only=True) as registry:
            return registry.pins.owners("c.fits")

    question = "query: DpdVisRawFrame where Header.ProductId == c"
    failed = store.run(failing, frame=question)
    assert owners() == [f"run with {failed.workdir / failed.run.options.answers}"]
    store.run(of_one, frame=question)
    assert owners() == []


def test_a_run_goes_on_while_another_process_has_the_registry_open(store: Store) -> None:
    with Registry(store.data.registry) as registry, registry.database.served():
        result = store.run(of_one, frame="query: DpdVisRawFrame where Header.ProductId == c")
    assert (result.state, result.warnings) == ("done", ())


def test_a_registry_that_takes_no_pins_keeps_no_run_from_going_on(store: Store) -> None:
    full = "CREATE TRIGGER full BEFORE INSERT ON pins BEGIN SELECT RAISE(ABORT, 'full'); END"
    with closing(sqlite3.connect(store.data.registry)) as database:
        database.execute(full)
    result = store.run(of_one, frame="query: DpdVisRawFrame where Header.ProductId == c")
    assert result.state == "done"
    (warning,) = result.warnings
    assert "nothing keeps the inputs of this run from being removed" in warning


def test_a_site_says_in_which_zone_its_hosts_are(store: Store) -> None:
    site = SITE.format(folder=store.folder) + '[data]\nzone = "moon"\n'
    (store.folder / "site.toml").write_text(site)
    words = ("run", "many.py", f"frames={QUESTION}", "--workdir", "w", "--site", "site.toml")
    assert "hosts of the zone moon cannot get the files" in call(*words).stderr


def test_a_dry_run_lists_the_products_and_leaves_nothing(store: Store) -> None:
    found = call("run", "many.py", f"frames={QUESTION}", "--workdir", "w", "--dry-run", "--json")
    assert found.exit_code == 0, found.output
    products = json.loads(found.stdout)["answers"]["frames"]["products"]
    assert [one["xml"] for one in products] == ["a.xml", "b.xml"]
    assert "frames: 2 products" in call("run", "many.py", f"frames={QUESTION}", "--dry-run").stdout
    assert not (store.folder / "w").exists()


CAMPAIGN = ("run", "many.py", "frames=query: DpdVisRawFrame", "--workdir", "w")
BY = ("--group-by", OBSERVATION)


def test_a_campaign_has_a_run_for_each_group_and_goes_on(store: Store) -> None:
    planned = json.loads(call(*CAMPAIGN, *BY, "--dry-run", "--json").stdout)["groups"]
    assert [(one["folder"], one["products"], one["state"]) for one in planned] == [
        ("31283", {"frames": 2}, "planned"),
        ("31284", {"frames": 1}, "planned"),
    ]
    assert not (store.folder / "w").exists()
    (store.archive / "data" / "c.fits").rename(store.folder / "c.fits")
    first = call(*CAMPAIGN, *BY, "--json")
    assert first.exit_code == 1, first.output
    told = json.loads(first.stdout)
    assert [one["state"] for one in told["groups"]] == ["done", "refused"]
    assert "c.fits" in told["groups"][1]["error"]
    (store.folder / "c.fits").rename(store.archive / "data" / "c.fits")
    store.add(d=31285)  # is not asked for again
    second = json.loads(call(*CAMPAIGN, *BY, "--json").stdout)
    assert second["state"] == "done"
    assert [one["values"] for one in second["groups"]] == [
        {OBSERVATION: "31283"},
        {OBSERVATION: "31284"},
    ]
    assert second["groups"][0]["run"] == told["groups"][0]["run"]
    with (store.folder / "w" / "campaign.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["folder"], row["state"]) for row in rows] == [("31283", "done"), ("31284", "done")]
    joined = json.loads(Path(rows[1]["pixels"]).read_bytes())
    assert (store.folder / "w" / "31284" / joined[0]).read_text() == "pixels of c\n"


AT_ONCE = ("--at-once", "2", "--cores", "4", "--executor", "inline")
MEET = """sh -c '
for word; do case $word in --*=*) export "${word#--}"; esac; done
cd "$workdir" || exit 1
echo $$ > "../here-$(basename "$PWD")"
until [ -e ../here-31283 ] && [ -e ../here-31284 ] && [ ! -e ../hold ]; do sleep 0.1; done
[ ! -e "../fails-$(basename "$PWD")" ] && echo met > "$pixels"' sh"""
"""An executable that ends when that of the other group has begun, and nothing holds both."""


@pytest.mark.timeout(300)
def test_groups_run_at_once_and_one_that_fails_stops_no_other(store: Store) -> None:
    (store.folder / "many.py").write_text(SCRIPT.replace(repr(PIXELS), repr(MEET)))
    store.add(e=31285)
    (store.archive / "data" / "e.fits").unlink()  # its run is refused
    (store.folder / "w").mkdir()
    (store.folder / "w" / "fails-31284").touch()
    told = json.loads(call(*CAMPAIGN, *BY, *AT_ONCE, "--json").stdout)
    assert [one["state"] for one in told["groups"]] == ["done", "failed", "refused"]
    assert "e.fits" in told["groups"][2]["error"]
    with (store.folder / "w" / "campaign.csv").open() as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["done", "failed", "refused"]


@pytest.mark.timeout(300)
def test_groups_that_run_at_once_end_with_who_began_them_and_go_on(store: Store) -> None:
    (store.folder / "many.py").write_text(SCRIPT.replace(repr(PIXELS), repr(MEET)))
    hold = store.folder / "w" / "hold"
    hold.parent.mkdir()
    hold.touch()
    here = [store.folder / "w" / f"here-{number}" for number in (31283, 31284)]
    words = [sys.executable, "-m", "euclid_dask", *CAMPAIGN, *BY, *AT_ONCE, "--quiet"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as parent:
        until(lambda: all(path.exists() and path.read_text().strip() for path in here))
        tasks = [int(path.read_text()) for path in here]
        parent.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in tasks))
    hold.unlink()
    until(lambda: call(*CAMPAIGN, *BY, *AT_ONCE, "--quiet").exit_code == 0)  # locks may be held


@pytest.mark.timeout(300)
def test_an_interrupt_is_passed_on_to_groups_that_run_at_once(store: Store) -> None:
    (store.folder / "many.py").write_text(SCRIPT.replace(repr(PIXELS), repr(MEET)))
    store.add(e=31285)
    hold = store.folder / "w" / "hold"
    hold.parent.mkdir()
    hold.touch()
    here = [store.folder / "w" / f"here-{number}" for number in (31283, 31284)]
    words = [sys.executable, "-m", "euclid_dask", *CAMPAIGN, *BY, *AT_ONCE, "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        until(lambda: all(path.exists() for path in here))
        parent.terminate()
        told = json.loads(parent.communicate()[0])
    assert parent.returncode == 130
    assert [one["state"] for one in told["groups"]] == ["cancelled", "cancelled", "planned"]


def test_an_interrupt_before_runs_begin_cancels_and_is_no_failure(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = store.folder / "python"  # in place of that of a group, which is staging
    process.write_text("#!/bin/sh\nkill -TERM $PPID\nkill -TERM $$\n")
    process.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(process))
    found = call(*CAMPAIGN, *BY, *AT_ONCE, "--json")
    assert found.exit_code == 130, found.output
    told = json.loads(found.stdout)
    assert told["state"] == "cancelled"
    assert {one["state"] for one in told["groups"]} <= {"cancelled", "planned"}
    assert {one["error"] for one in told["groups"]} == {""}


def test_an_interrupt_after_which_no_group_is_begun_is_no_failure(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"state": "done", "run": "r", "outputs": {}, "error": ""}
    process = store.folder / "python"  # in place of that of a group, whose run is just done
    told = json.dumps({"groups": [row]})
    process.write_text(f"#!/bin/sh\ntrap '' TERM\nkill -TERM $PPID\necho '{told}'\n")
    process.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(process))
    found = call(*CAMPAIGN, *BY, "--at-once=1", "--spare-pilots", "--json", "--executor=inline")
    assert found.exit_code == 130, found.output
    states = [one["state"] for one in json.loads(found.stdout)["groups"]]
    assert states == ["done", "planned"]


def test_the_limits_of_a_site_are_those_of_a_campaign_if_nothing_is_said(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (store.folder / "site.toml").write_text(SITE.format(folder=store.folder))
    carried_out = list[object]()
    monkeypatch.setattr(
        campaigns, "run_campaign", lambda plan, *_, **__: carried_out.append(1) or plan.rows()
    )
    monkeypatch.setattr(
        campaigns,
        "carry_out_groups",
        lambda plan, *_, at_once, **__: carried_out.append(at_once) or plan.rows(),
    )
    call(*CAMPAIGN, *BY, "--site", "site.toml")
    call(*CAMPAIGN, *BY, "--site", "site.toml", "--at-once", "2")
    assert carried_out == [1, 2]


def test_a_campaign_is_alone_in_its_folder(store: Store) -> None:
    workspace = Workspace(store.folder / "w")
    workspace.create()
    lock = Lock.take(workspace)
    try:
        for words in (BY, (*BY, *AT_ONCE)):
            refused = call(*CAMPAIGN, *words)
            assert refused.exit_code == 2, refused.output
            assert "another runner works in" in refused.stderr
        assert not (store.folder / "w" / "campaign.json").exists()
    finally:
        lock.release()


def test_a_campaign_that_was_begun_by_another_meanwhile_is_not_mixed_with_it(store: Store) -> None:
    inputs = {"frames": "query: DpdVisRawFrame"}

    def plan() -> CampaignPlan:
        grouping = Grouping(by=(OBSERVATION,))
        return plan_campaign(of_many, grouping, settings=store.settings, workdir="w", inputs=inputs)

    first = plan()
    store.add(e=31285)
    second = plan()
    carry_out_groups(first, lambda group: Row(group=group, state="done"))
    carry_out_groups(plan(), lambda group: Row(group=group, state="done"))
    with pytest.raises(InputError, match="another campaign was begun"):
        carry_out_groups(second, lambda group: Row(group=group, state="done"))


def test_a_group_that_a_campaign_does_not_have_is_refused(store: Store) -> None:
    refused = call(*CAMPAIGN, *BY, "--only", "31285")
    assert refused.exit_code == 2, refused.output
    assert "no group has this folder" in refused.stderr


def test_cores_are_shared_by_the_groups_that_are_left(store: Store) -> None:
    needs = "resources=ComputingResources(cores=2, ram=0.1), inputs=["
    script = SCRIPT.replace("import Exe", "import ComputingResources, Exe")
    (store.folder / "many.py").write_text(script.replace("inputs=[", needs))
    planned = (*CAMPAIGN, *BY, "--dry-run", "--cores")
    assert call(*planned, "4", "--at-once", "8").exit_code == 0
    refused = call(*planned, "3", "--at-once", "2")
    assert refused.exit_code == 2
    assert "2 cores" in refused.stderr


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, for two minutes."""
    end_s = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_a_campaign_is_submitted_whole_and_its_job_asks_nothing(store: Store) -> None:
    (store.folder / "site.toml").write_text(SITE.format(folder=store.folder))
    site = ("--workdir", "w", "--site", "site.toml")
    words = ("submit", "many.py", "frames=query: DpdVisRawFrame", *site, *BY)
    found = call(*words, "--at-once", "2", "--dry-run")
    assert found.exit_code == 0, found.output
    line = shlex.split(found.stdout.splitlines()[-1])
    assert line[4:6] == ["run", "--spare-pilots"]
    assert {f"--group-by={OBSERVATION}", "--at-once=2", "--workdir=w"} < set(line)
    (store.folder / "r.sqlite").unlink()
    (store.folder / "site.toml").unlink()
    here = ("--executor", "inline", "--workdir", "w", "--json", "frames=query: DpdVisRawFrame")
    done = json.loads(call("run", "many.py", *BY, *here).stdout)
    assert [one["state"] for one in done["groups"]] == ["done", "done"]


def test_a_group_that_cannot_be_staged_is_told_when_a_campaign_is_submitted(store: Store) -> None:
    (store.folder / "site.toml").write_text(SITE.format(folder=store.folder))
    (store.archive / "data" / "c.fits").unlink()
    site = ("--workdir", "w", "--site", "site.toml", "--dry-run")
    found = call("submit", "many.py", "frames=query: DpdVisRawFrame", *site, *BY)
    assert found.exit_code == 0, found.output
    assert "warning: 31284: " in found.stderr
    assert "c.fits" in found.stderr


def test_a_group_without_products_for_a_port_is_told_and_not_run(store: Store) -> None:
    (store.folder / "two.py").write_text(
        SCRIPT.replace("def of_many(frames):", "def of_many(frames, more):\n    each(frame=more)")
    )
    words = ("two.py", "frames=query: DpdVisRawFrame", "--workdir", "w")
    only_c = "more=query: DpdVisRawFrame where Header.ProductId == c"
    found = call("run", *words, only_c, *BY, f"--link=more={OBSERVATION}")
    assert found.exit_code == 1, found.output
    assert "31283: there is no product for more" in found.stdout
    assert not (store.folder / "w" / "31283").exists()
    listed = call("run", *words, only_c, *BY, "--link=more=", "--dry-run").stderr
    assert "asked for something else" in listed
    shared = call("run", *words[:2], only_c, *BY, "--link=more=", "--dry-run", "--json")
    groups = json.loads(shared.stdout)["groups"]
    assert [one["products"] for one in groups] == [{"frames": 2, "more": 1}] * 1 + [
        {"frames": 1, "more": 1}
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("frames=a.xml", *BY), "no input asks for products"),
        (("frames=query: DpdVisRawFrame", "--group-by", "Data.ObservationId"), "did you mean"),
        (("frames=query: DpdVisRawFrame", *BY, "--link=x=y"), "no question is asked for it"),
        (("frames=query: DpdVisRawFrame", *BY, "--link=frames"), "of the form PORT=PATH"),
        (("frames=query: DpdVisRawFrame", *BY, "--link=frames=a,b"), "2 paths stand for the 1"),
        (("frames=query: DpdVisRawFrame", "--link=frames="), "without --group-by"),
        (("frames=query: DpdVisRawFrame", "--at-once=2"), "without --group-by"),
        (
            ("frames=query: DpdVisRawFrame", *BY, "--at-once=2", "--cores=1"),
            "there are 1 cores, less than one for each run",
        ),
    ],
)
def test_a_grouping_that_says_nothing_is_refused(
    store: Store, words: tuple[str, ...], told: str
) -> None:
    found = call("run", "many.py", *words, "--workdir", "w")
    assert found.exit_code == 2, found.output
    assert told in found.stderr
    assert not (store.folder / "w").exists()


def test_no_group_is_begun_after_one_that_was_cancelled(store: Store) -> None:
    inputs = {"frames": "query: DpdVisRawFrame"}
    plan = plan_campaign(
        of_many, Grouping(by=(OBSERVATION,)), settings=store.settings, workdir="w", inputs=inputs
    )
    cancelled = SimpleNamespace(state="cancelled", id="r", outputs={})
    rows = run_campaign(plan, store.settings, carry_out=lambda _, __: cancelled)
    assert [row.state for row in rows] == ["cancelled", "planned"]
    with (store.folder / "w" / "campaign.csv").open() as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["cancelled", "planned"]


@pytest.mark.parametrize(
    ("file", "words", "told"),
    [
        ("answers.json", ("--answers", "answers.json"), "the answers in answers.json cannot be"),
        ("w/campaign.json", BY, "campaign.json cannot be read"),
    ],
)
def test_what_was_written_down_and_is_damaged_is_told(
    store: Store, file: str, words: tuple[str, ...], told: str
) -> None:
    (store.folder / "w").mkdir()
    (store.folder / file).write_text('{"asked": 1')
    found = call(*CAMPAIGN, *words)
    assert found.exit_code == 2
    assert told in found.stderr


COPIED = """sh -c '
for word; do case $word in --*=*) export "${word#--}"; esac; done
cd "$workdir" || exit 1
name=$(sed -n "s:.*<FileName>\\(.*\\)</FileName>.*:\\1:p" "$frame")
cp "data/$name" "data/new_$name"
sed "s:<FileName>:<FileName>new_:; s:<ProductId>:<ProductId>new_:" "$frame" > "$copy"' sh"""
"""An executable whose output is a product of a new file."""


def test_outputs_of_a_campaign_are_registered_with_what_they_were_made_from(store: Store) -> None:
    script = SCRIPT.replace(repr(PIXELS), repr(COPIED)).replace(
        'Output("pixels", mime_type="txt")', 'Output("copy")'
    )
    (store.folder / "many.py").write_text(script)
    done = call(*CAMPAIGN, *BY, "--register", "--json")
    assert done.exit_code == 0, done.output
    with Registry(store.data.registry, read_only=True) as registry:
        (storage,) = {one.storage for one in registry.locate(["new_c.fits"])["new_c.fits"]}
        assert storage != "ARCHIVE"
    assert known(store.data, "c").lineage.children == ("new_c",)
