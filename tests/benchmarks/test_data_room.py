"""The benchmark of the data room: its rows are ours, and its table names what is missed."""

import sqlite3
from pathlib import Path

from benchmarks import file_registry, filling
from benchmarks.data_report import draw, table
from euclid_dask.data.model import Storage
from euclid_dask.data.registry import Registry

FILES = 1000
MACHINE = {
    "cores": 2,
    "cpu": "a CPU",
    "ram_gb": 8,
    "system": "a system",
    "scratch": "ext4",
    "python": "3.11",
    "commit": "abc",
    "uncommitted": "",
}


def content(path: Path) -> dict[str, list[str]]:
    connection = sqlite3.connect(path)
    tables = ("p_files", "p_sums", "p_replicas", "p_products", "p_values", "p_named")
    found = {
        table: sorted(map(str, connection.execute(f"SELECT * FROM {table}"))) for table in tables
    }
    connection.close()
    return found


def test_sqlite_makes_the_rows_that_our_api_makes(tmp_path: Path) -> None:
    for name in ("ours", "filled"):
        with Registry(tmp_path / name) as registry:
            registry.storages.put(Storage(name="A", marker="A"))
            if name == "ours":
                for numbers in file_registry.batches(0, FILES):
                    file_registry.register(registry, numbers)
    filling.fill(tmp_path / "filled", FILES, filling.OURS)
    with Registry(tmp_path / "ours") as ours, Registry(tmp_path / "filled") as filled:
        names = [file_registry.name_of(number) for number in range(FILES)]
        assert filled.files(names) == ours.files(names)
        ids = [key for key, *_ in file_registry.products_of(range(FILES))]
        assert len(ids) == FILES // 5
        assert filled.products(ids) == ours.products(ids)
        found = (registry.locate(names) for registry in (ours, filled))
        one, other = ([it.path for name in names for it in there[name]] for there in found)
        assert one == other


def test_sqlite_makes_the_rows_that_plain_sql_makes(tmp_path: Path) -> None:
    for name in ("plain", "filled"):
        (tmp_path / name).mkdir()
        plain = file_registry.PlainSQLite("", tmp_path / name)
        if name == "plain":
            plain.register(range(FILES))
        plain.close()
    filling.fill(tmp_path / "filled" / "plain.db", FILES, filling.PLAIN)
    assert content(tmp_path / "filled" / "plain.db") == content(tmp_path / "plain" / "plain.db")


def test_the_table_says_what_was_missed() -> None:
    document = {
        "machine": MACHINE,
        "load": [0.5, 1.5],
        "share": 0.5,
        "files": 10**6,
        "size": 2**30,
        "xml": 10**9,
        "figures": {
            "empty.import_all_per_s": {"ours": 9000.0, "plain SQL": 30000.0},
            "full.locate_ms": {"ours": {"p50": 1.0, "p99": 5.0}},
            "copy_s": {"ours": 3.0, "cp": 1.0},
        },
    }
    lines = table(document).splitlines()
    assert "| import, empty SQLite, files/s | 9,000 | ≥ 8,000 |  | plain SQL 30,000 |" in lines
    assert "| replicas of a name, median ms | 1 | ≤ 0.5 | **missed** |  |" in lines
    assert "| replicas of a name, 99th percentile ms | 5 | ≤ 10 |  |  |" in lines
    assert "| copy, verified, s | 3 | ≤ 2 (2 x cp) | **missed** | cp 1 |" in lines
    assert draw(document).count("missed") == 2
    assert lines[-1].startswith("`rsync` is not installed")
    document["figures"]["copy_s"]["rsync"] = 2.0
    assert not table(document).splitlines()[-1].startswith("`rsync`")
