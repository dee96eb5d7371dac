"""While bytes are moved, removed or looked at no transaction is open: others use the registry.

Neither in the thread that does so, nor in one that waits for it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from threading import get_ident
from typing import Any

import doomed_cleaner
import doomed_mover
import pytest
from sqlalchemy import Pool, event

from euclid_dask.data import mover
from euclid_dask.data.fsck import Choices, fsck
from euclid_dask.data.registry import Registry
from euclid_dask.data.storages.file import FileDriver, FilePart

CALLS = [
    *((FileDriver, name) for name in ("stat", "open_read", "open_part", "unlink", "walk")),
    *((FilePart, name) for name in ("write", "sync", "publish")),
    (Executor, "__exit__"),
    (Future, "result"),
    (mover, "wait"),
]
"""What may take long, and what waits for that in other threads."""


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Have what may take long fail in a thread that has a connection; count what was called."""
    held: Counter[int] = Counter()
    called: Counter[str] = Counter()

    def take(*_: object) -> None:
        held[get_ident()] += 1
        called["transaction"] += 1

    def give(*_: object) -> None:
        held[get_ident()] -= 1

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*arguments: Any, **named: Any) -> Any:
            called[name] += 1
            assert held[get_ident()] == 0, f"{name} is called in a transaction"
            return call(*arguments, **named)

        return checked

    for place, name in CALLS:
        monkeypatch.setattr(place, name, watched(name, getattr(place, name)))
    event.listen(Pool, "checkout", take)
    event.listen(Pool, "checkin", give)
    yield called
    event.remove(Pool, "checkout", take)
    event.remove(Pool, "checkin", give)


@pytest.mark.parametrize("small", [False, True])
def test_of_a_mover(tmp_path: Path, calls: Counter[str], small: bool) -> None:
    doomed_mover.make_world(tmp_path / "w", small=small)
    doomed_mover.run(tmp_path / "w")
    moved = {"stat", "open_read", "open_part", "write", "sync"}
    assert moved | {"transaction", "wait", "result", "__exit__"} <= calls.keys()
    with Registry(tmp_path / "w" / "registry.db") as registry:
        assert registry.transfers.active() == []


def test_of_a_cleaner(tmp_path: Path, calls: Counter[str]) -> None:
    doomed_cleaner.make_world(tmp_path / "w")
    assert doomed_cleaner.clean(tmp_path / "w").removed == 1
    assert {"transaction", "unlink", "result", "__exit__"} <= calls.keys()


def test_of_a_check(tmp_path: Path, calls: Counter[str]) -> None:
    doomed_cleaner.make_world(tmp_path / "w")
    with Registry(tmp_path / "w" / "registry.db") as registry:
        found = fsck(
            registry,
            lambda access: FileDriver(tmp_path / "w" / access.storage),
            "z",
            "a",
            Choices(read_all=True),
        )
    assert found.files == 1
    assert {"transaction", "walk", "open_read"} <= calls.keys()
