"""An ingest may die at any step: products are whole, and no rule forgets a file."""

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from euclid_dask.api.data import DataSettings, ingest
from euclid_dask.data import adopting
from euclid_dask.data.model import Access, FileState, ReplicaState, Storage
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.rules import Rules
from euclid_dask.data.registry.transfers import Transfers
from euclid_dask.data.registry.unruled import Unruled
from euclid_dask.data.rules import Rule, Selector
from euclid_dask.data.storage import MARKER

PRODUCT = """<DpdTest><Header><ProductId>{id}</ProductId></Header><Data>
<DataContainer filestatus="PROPOSED"><FileName>{name}</FileName></DataContainer></Data></DpdTest>"""
NUMBERS = range(5)
FILES = {f"{number}.{kind}" for number in NUMBERS for kind in ("xml", "fits")}
_STEPS: list[tuple[Any, str]] = [
    (Registry, "register"),
    (Rules, "expire"),
    (Rules, "place"),
    (Transfers, "enqueue"),
    (Unruled, "forget"),
]
"""What changes the registry."""


def make_world(world: Path) -> None:
    """Make a storage with products, one for their copies, and a rule that wants these."""
    world.mkdir()
    with Registry(world / "registry.db") as registry:
        for name in ("a", "b"):
            (world / name).mkdir()
            (world / name / MARKER).write_text(name)
            registry.storages.put(Storage(name=name, marker=name, labels={"name": name}))
        registry.storages.put_access([Access(storage="a", zone="z", root=f"file://{world}/a")])
        rule = Rule(name="copy", select=Selector(names=("*.fits",)), places="name=b")
        registry.rules.put(rule)
    for number in NUMBERS:
        (world / "a" / f"{number}.fits").write_text(f"{number}")
        (world / "a" / f"{number}.xml").write_text(PRODUCT.format(id=number, name=f"{number}.fits"))


def ingest_all(world: Path, *places: str) -> None:
    """Ingest some of a world, or all."""
    adopting.BATCH = 4  # type: ignore[misc]  # more than one step
    paths = [world / "a" / place for place in places] or [world / "a"]
    ingest(DataSettings(registry=str(world / "registry.db"), zone="z"), paths)


_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["euclid_dask.api.data", "pytest"])


def ingest_until(world: Path, killed_at: int) -> bool:
    """Ingest in a process that is killed after a step, from 1; return whether it was."""
    process = _processes.Process(target=_live, args=(world, killed_at))
    process.start()
    process.join()
    code = process.exitcode
    process.close()
    assert code in {0, -signal.SIGKILL}, f"the ingest ended with {code}"
    return code != 0


def _live(world: Path, killed_at: int) -> None:
    steps = 0

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def done(*arguments: Any, **named: Any) -> Any:
            nonlocal steps
            found = call(*arguments, **named)
            steps += 1
            if steps == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return done

    for place, name in _STEPS:
        setattr(place, name, watched(getattr(place, name)))
    ingest_all(world)


def check(world: Path, *, is_done: bool = False) -> None:
    """Assert what is true of a world at every instant, or when all is done."""
    with Registry(world / "registry.db") as registry:
        files = registry.files(FILES)
        products = registry.products([str(number) for number in NUMBERS])
        replicas = registry.locate(FILES)
        waiting = set(registry.unruled.page(100))
        queued = {one.file for one in registry.transfers.active()}
    for name, file in files.items():
        assert file.state is FileState.COMMITTED
        assert [one.state for one in replicas[name]] == [ReplicaState.AVAILABLE]
        assert name.endswith(".xml") or name in waiting | queued, f"no rule will see {name}"
    assert {one.partition(".")[0] for one in files} == set(products), "a product is not whole"
    assert len(files) == 2 * len(products)
    if is_done:
        assert set(files) == FILES
        assert waiting == set()
        assert queued == {name for name in FILES if name.endswith(".fits")}


def test_an_ingest_is_killed_at_each_step_and_the_next_one_completes_it(tmp_path: Path) -> None:
    world, fresh = tmp_path / "w", tmp_path / "fresh"
    make_world(world)
    shutil.copytree(world, fresh)
    steps = 0
    while ingest_until(world, steps + 1):
        steps += 1
        check(world)
        ingest_all(world)
        check(world, is_done=True)
        shutil.rmtree(world)
        shutil.copytree(fresh, world)
    assert steps >= 6


def test_rules_look_at_what_an_ingest_left_when_it_is_called_for_other_files(
    tmp_path: Path,
) -> None:
    make_world(tmp_path / "w")
    assert ingest_until(tmp_path / "w", 1)
    (tmp_path / "w/a/other.txt").write_text("other")
    ingest_all(tmp_path / "w", "other.txt")
    with Registry(tmp_path / "w/registry.db") as registry:
        assert registry.unruled.page(100) == []
        assert registry.transfers.active()
    check(tmp_path / "w")


@pytest.fixture(autouse=True)
def batch() -> Any:
    """Leave the size of batches as it was."""
    before = adopting.BATCH
    yield
    adopting.BATCH = before  # type: ignore[misc]
