"""A registry in SQLite beside processes that write to it."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from euclid_dask.data.model import Storage
from euclid_dask.data.registry import Registry, engine


def test_what_is_opened_while_another_process_makes_it_waits_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = tmp_path / "registry.db"
    with closing(sqlite3.connect(address, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        class Pause:
            def wait(self, _: float) -> None:
                other.execute("COMMIT")

        monkeypatch.setattr(engine, "Event", Pause)
        with Registry(address) as registry:
            registry.storages.put(Storage(name="A", marker="a"))
        assert not other.in_transaction
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_registry_is_closed_at_once_while_others_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "TURN_S", 600)
    address = tmp_path / "registry.db"
    with (
        closing(sqlite3.connect(address, isolation_level=None)) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        registry = Registry(address)
        other.execute("BEGIN IMMEDIATE")
        try:
            pool.submit(registry.close).result(60)
        finally:
            other.execute("ROLLBACK")
