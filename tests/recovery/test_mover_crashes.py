"""A mover may die at any step, and the next one at any step of the recovery.

What must be true after each kill is checked on the disk, not believed; and that the checks see
something is shown by faults that are planted into the mover, of which each is caught.
"""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import doomed_mover
import pytest
from batch_clusters import skip_or_fail
from doomed_mover import (
    CONTENT,
    NAME,
    OTHER,
    SMALL,
    Fate,
    live,
    make_world,
    pass_time,
    warm_up,
)
from nursery import Fault, Nursery

from euclid_dask.data.copying import new_path
from euclid_dask.data.model import FileState, ReplicaState, Transfer, TransferState
from euclid_dask.data.registry import Registry
from euclid_dask.data.storage import MARKER, part_of

FINAL = new_path(NAME)
KNOWN = {NAME: CONTENT, **SMALL}
STRIDE = int(os.environ.get("EUCLID_DASK_MOVER_STRIDE", "6"))
"""Every how many steps of the recovery the second mover is killed."""

FAULTS = {
    "writes to the final name": Fault(
        "storages.file",
        "FilePart(self._place(part_path(path, part)), self._directory(path))",
        "FilePart(self._directory(path), self._directory(path))",
    ),
    "tells of a replica before there is one": Fault(
        "mover",
        "self._running[pool.submit(self._copier.publish, group)] = jobs",
        "self._finish([Arrived(job=one.job, content=one.content, method='copy',\n"
        "                    stat=one.driver.stat('.eufas-storage')) for one in group])\n"
        "                self._running[pool.submit(self._copier.publish, group)] = jobs",
    ),
    "compares only the size": Fault(
        "hashing",
        "    found = {checksum.algorithm: checksum.value for checksum in checksums}",
        '    return ""\n    found = {}',
    ),
    "leaves parts of the dead": Fault("copying", "        _remove_parts(driver, job)\n", ""),
    "replaces what is there": Fault(
        "local",
        "            rename_noreplace(source, target)",
        "            os.rename(source, target)",
    ),
    "trusts that what is there is right": Fault(
        "copying",
        "if problem := mismatch(known, hasher.size or stat.size, hasher.checksums()):",
        'hasher = type("Trust", (), {"size": 1, "checksums": lambda _: known.checksums})()\n'
        '        if problem := "":',
    ),
    "publishes what is no more its own": Fault(
        "mover", "ids = {transfer.id for transfer in kept}", "ids = {one.id for one in claimed}"
    ),
    "does not wait for the disk": Fault(
        "storages.file", "            os.fsync(self._fd)", "            pass"
    ),
}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a world in which nothing has happened, to be copied."""
    world = tmp_path_factory.mktemp("mover") / "fresh"
    make_world(world)
    return world


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return such a world with small files."""
    world = tmp_path_factory.mktemp("mover") / "group"
    make_world(world, small=True)
    return world


@pytest.fixture(scope="module", autouse=True)
def nursery() -> Iterator[None]:
    """Have a process from which movers come."""
    _nurseries.append(Nursery(warm_up, live))
    yield
    _nurseries.pop().close()


_nurseries: list[Nursery] = []


def move(world: Path, fate: Fate, fault: Fault | None = None) -> int:
    return _nurseries[-1].bear(fate.killed_at, world, fate.meanwhile, fault)


def copy_of(world: Path, name: str) -> Path:
    return shutil.copytree(world, world.parent / name)


def transfers_of(world: Path) -> list[Transfer]:
    with Registry(world / "registry.db") as registry:
        return registry.transfers.of_files(list(KNOWN))


def attempts_in(world: Path) -> int:
    with closing(sqlite3.connect(world / "registry.db")) as database:
        return int(database.execute("SELECT sum(attempts) FROM transfers").fetchone()[0])


def files_in(storage: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(storage)): path.read_bytes()
        for path in storage.rglob("*")
        if path.is_file() and path.name != MARKER
    }


def check(world: Path) -> None:
    """Assert what is true of a world at every instant."""
    found = {name: files_in(world / name) for name in ("a", "b")}
    for storage, files in found.items():
        for path, content in files.items():
            whole = part_of(path) is not None or content == KNOWN[Path(path).name]
            assert whole, f"{storage}/{path} is under a final name, and is not whole"
    with Registry(world / "registry.db") as registry:
        files = registry.files(list(KNOWN))
        replicas = registry.locate(list(files), frozenset(ReplicaState))
    available = {
        name: [one for one in some if one.state is ReplicaState.AVAILABLE]
        for name, some in replicas.items()
    }
    for name, some in available.items():
        for one in some:
            there = found[one.storage].get(one.path)
            assert there == KNOWN[name], f"{one.storage} has a row of what is not there"
    for name, file in files.items():
        assert available[name] or file.state is not FileState.COMMITTED


def check_end(world: Path) -> None:
    """Assert what is true when movers have done all that there was to do."""
    check(world)
    transfers = transfers_of(world)
    names = [one.file for one in transfers]
    for one in transfers:
        assert (one.state, one.bytes_copied) == (TransferState.DONE, len(KNOWN[one.file]))
    assert set(files_in(world / "b")) == set(map(new_path, names)), "there is rubbish left"
    with Registry(world / "registry.db") as registry:
        for name, some in registry.locate(names).items():
            assert {one.storage: one.path for one in some} == {"a": name, "b": new_path(name)}


def kills(
    world: Path, first: int = 1, stride: int = 1, fault: Fault | None = None
) -> Iterator[tuple[int, Path]]:
    """Yield a world for each step after which a mover was killed there, with its invariants."""
    before = attempts_in(world)
    step = first
    while True:
        doomed = copy_of(world, f"{world.name}-{step}")
        survived = move(doomed, Fate(killed_at=step), fault) >= 0
        check(doomed)
        assert attempts_in(doomed) == before, "a kill is not a failure of the transfer"
        if survived:
            shutil.rmtree(doomed)
            return
        pass_time(doomed)
        yield step, doomed
        shutil.rmtree(doomed)
        step += stride


def test_movers_are_killed_at_each_step_and_at_steps_of_the_recovery(fresh: Path) -> None:
    firsts, seconds = 0, 0
    for first, world in kills(fresh):
        firsts = first
        for _, again in kills(world, 1 + first % STRIDE, STRIDE):
            seconds += 1
            move(again, Fate())
            check_end(again)
        move(world, Fate())
        check_end(world)
    assert firsts >= 10
    assert seconds >= firsts


def test_movers_of_a_group_are_killed_at_each_step_and_once_more(group: Path) -> None:
    steps = 0
    for step, world in kills(group):
        steps = step
        if step % (2 * STRIDE) == 0:
            for _, again in kills(world, 1 + step % 5, 4 * STRIDE):
                move(again, Fate())
                check_end(again)
        move(world, Fate())
        check_end(world)
    assert steps >= 10 + 2 * len(SMALL)


def test_nothing_is_done_twice(fresh: Path) -> None:
    world = copy_of(fresh, "twice")
    steps = move(world, Fate())
    check_end(world)
    before = (world / "b" / FINAL).stat()
    assert move(world, Fate()) < steps
    assert (world / "b" / FINAL).stat() == before
    check_end(world)


def trials(fresh: Path, fault: Fault | None) -> None:
    """Assert all that the planted faults can break."""
    wrong = fresh.parent / "wrong"
    make_world(wrong, others=True)
    move(wrong, Fate(), fault)
    assert files_in(wrong / "b") == {}, "wrong bytes arrived"
    for meanwhile, state, content in (
        ("same", TransferState.DONE, CONTENT),
        ("other", TransferState.FAILED, OTHER),
    ):
        world = copy_of(fresh, meanwhile)
        move(world, Fate(meanwhile=meanwhile), fault)
        assert files_in(world / "b") == {FINAL: content}
        assert transfers_of(world)[-1].state is state
    stolen = copy_of(fresh, "stolen")
    move(stolen, Fate(meanwhile="thief"), fault)
    assert files_in(stolen / "b") == {}, "published by who had lost the lease"
    assert transfers_of(stolen)[-1].worker == "thief"
    if fault is None:  # what is asserted after kills has a test of its own
        return
    for _, world in kills(fresh, fault=fault):
        move(world, Fate(), fault)
        check_end(world)


def test_the_trials_of_planted_faults_pass_without_one(fresh: Path, tmp_path: Path) -> None:
    trials(shutil.copytree(fresh, tmp_path / "fresh"), None)


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "does not wait for the disk"])
def test_a_planted_fault_is_caught(fresh: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(AssertionError) as caught:
        trials(shutil.copytree(fresh, tmp_path / "fresh"), FAULTS[name])
    assert "the process ended with" not in str(caught.value)


_CALL = re.compile(r"(\d+) +(?:<\.\.\. )?(fsync|fdatasync|renameat2)(?:\((.*?)| resumed>)\)? +(.*)")


def calls_of(world: Path, log: Path, program: str) -> list[str]:
    """Return what a mover has the disk do, in order: `part`, `rename`, `directory`, `registry`."""
    command = ["strace", "-f", "-y", "-o", str(log), "-e", "trace=fsync,fdatasync,renameat2"]
    done = subprocess.run(
        [*command, sys.executable, "-c", program, str(world)],
        cwd=Path(doomed_mover.__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in done.stderr.lower():
        skip_or_fail(f"no process can be traced here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    calls, begun = [], {}
    for line in log.read_text().splitlines():
        if not (found := _CALL.match(line)):
            continue
        process, call, arguments, rest = found.groups()
        if arguments is not None:
            begun[process] = label(call, arguments, world)
        if rest.endswith("= 0"):
            calls.append(begun.pop(process))
    return [call for call in calls if call]


def label(call: str, arguments: str, world: Path) -> str:
    """Return what a call is about; "" if it is of no interest here."""
    if call == "renameat2":
        return "rename"
    known = {".part-": "part", "registry.db": "registry", f"{world}/b/": "directory"}
    return next((what for text, what in known.items() if text in arguments), "")


@pytest.fixture
def traced() -> None:
    if shutil.which("strace") is None:
        skip_or_fail("strace is not installed")


RUN = "import sys, pathlib, doomed_mover; doomed_mover.run(pathlib.Path(sys.argv[1]))"


def test_bytes_are_on_the_disk_before_their_name_and_that_before_the_row(
    fresh: Path, tmp_path: Path, traced: None
) -> None:
    world = shutil.copytree(fresh, tmp_path / "world")
    calls = calls_of(world, tmp_path / "log", RUN)
    order = [call for call in calls if call != "registry"]
    assert order == ["part", "rename", "directory"]
    after = calls[calls.index("part") :]
    assert after[:5] == ["part", "registry", "rename", "directory", "registry"]


def test_so_they_are_for_each_file_of_a_group(group: Path, tmp_path: Path, traced: None) -> None:
    world = shutil.copytree(group, tmp_path / "world")
    calls = calls_of(world, tmp_path / "log", RUN)
    order = [call for call, last in zip(calls, ["", *calls], strict=False) if call != last]
    assert order[order.index("part") :][:5] == [
        "part",
        "registry",
        "rename",
        "directory",
        "registry",
    ]
    for call in ("part", "rename", "directory"):
        assert calls.count(call) == len(SMALL)
    assert "part" not in calls[calls.index("rename") :]


def test_a_mover_that_does_not_wait_for_the_disk_is_caught(
    fresh: Path, tmp_path: Path, traced: None
) -> None:
    world = shutil.copytree(fresh, tmp_path / "world")
    planted = (
        "import sys, pathlib, doomed_mover, nursery, test_mover_crashes as faults\n"
        "fault = faults.FAULTS['does not wait for the disk']\n"
        "nursery.plant(fault, doomed_mover.RELOADED)\n"
        "doomed_mover.run(pathlib.Path(sys.argv[1]))"
    )
    paths = f"sys.path.append({str(Path(__file__).parent)!r})"
    calls = calls_of(world, tmp_path / "log", f"import sys; {paths}\n{planted}")
    assert "part" not in calls
    assert "rename" in calls
