"""The benchmark of the data room: its rows are ours, and its table names what is missed."""

import sqlite3
from pathlib import Path
from threading import Barrier

import pytest

from benchmarks import data_room, file_registry, filling, moving
from benchmarks.data_report import RUNS, draw, table
from euclid_dask.data.model import Storage
from euclid_dask.data.products import read_product
from euclid_dask.data.registry import Registry
from euclid_dask.data.ruling import Ruling

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


def test_sqlite_makes_the_targets_of_a_rule_that_wants_nothing_more(tmp_path: Path) -> None:
    with data_room.registry_at(str(tmp_path / "filled")) as registry:
        registry.rules.put(data_room.EVERYTHING)
        registry.rules.reviewed(registry.rules.get("all"))
    filling.fill(tmp_path / "filled", FILES, filling.OURS + filling.RULED)
    with Registry(tmp_path / "filled") as filled:
        targets = filled.rules.targets("all")
        assert {one.file for one in targets} == {file_registry.name_of(n) for n in range(FILES)}
        (ruled,) = Ruling(filled).apply_all()
        assert (ruled.files, ruled.missing, ruled.released) == (FILES, 0, 0)
        assert filled.rules.targets("all") == targets
        assert not filled.transfers.active()


def test_a_product_has_the_usual_size_and_names_its_files(tmp_path: Path) -> None:
    path = tmp_path / "product.xml"
    path.write_text(moving.product_xml("P", ["a.fits", "b.fits"]))
    assert 0 <= moving.XML_BYTES - path.stat().st_size < 100
    product = read_product(path)
    assert (product.product_id, [it.name for it in product.files]) == ("P", ["a.fits", "b.fits"])


def test_what_is_long_is_measured_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert len(moving.repeated(lambda: None)) == moving.ROUNDS
    monkeypatch.setattr(moving, "LONG_S", -1.0)
    assert len(moving.repeated(lambda: None)) == 1


def test_rounds_have_folders_of_their_own_that_go(tmp_path: Path) -> None:
    sizes = iter([3.0, 1.0, 2.0])

    def measure(folder: Path) -> dict[str, float]:
        assert not list(folder.iterdir())
        (folder / "file").touch()
        return {"ours": next(sizes)}

    assert moving.medians(tmp_path, measure, rounds=3) == {"ours": 2.0}
    assert not list(tmp_path.iterdir())


def test_the_median_rate_is_that_of_five_parts() -> None:
    times = [(10, 1.0)] * 9 + [(10, 100.0)]
    assert file_registry.median_rate(times) == 10
    assert file_registry.median_rate([(10, 2.0)]) == 5


def test_two_import_at_once_each_file_once() -> None:
    both, taken = Barrier(file_registry.IMPORTERS), list[int]()

    def take(numbers: range) -> None:
        both.wait(60)
        taken.extend(numbers)

    count = file_registry.IMPORTERS * file_registry.BATCH
    assert file_registry.import_rate_at_once(count, take, 10) > 0
    assert sorted(taken) == list(range(10, 10 + file_registry.ROUNDS * count))


def test_the_table_says_what_was_missed() -> None:
    document = {
        "machine": MACHINE,
        "load": [0.5, 1.5],
        "share": 0.5,
        "seed": 42,
        "took_s": 600,
        "files": 10**6,
        "size": 2**30,
        "xml": 10**9,
        "figures": {
            "empty.import_per_s": {"ours": 9000.0, "plain SQL": 30000.0},
            "full.locate_ms": {"ours": {"p50": 1.0, "p99": 5.0}},
            "copy_s": {"ours": 3.0, "cp": 1.0},
            "restart_s": {"ours": 20.0, RUNS: 1},
            "hash_gb_per_s": {"ours": 2.0, "md5": 0.5},
            "sftp_four_mb_per_s": {"ours": 50.0, "one connection": 40.0},
        },
    }
    lines = table(document).splitlines()
    assert "| import, empty SQLite, files/s | 9,000 | ≥ 8,000 |  | plain SQL 30,000 |" in lines
    assert "| replicas of a name, median ms | 1 | ≤ 0.5 | **missed** |  |" in lines
    assert "| replicas of a name, 99th percentile ms | 5 | ≤ 10 |  |  |" in lines
    assert "| copy, verified, s | 3 | ≤ 2 (2 x cp) | **missed** | cp 1 |" in lines
    assert "| end 10 000 transfers of a dead mover, s, once | 20 | ≤ 30 |  |  |" in lines
    assert "| hash what is in memory, GB/s | 2 |  |  | md5 0.5 |" in lines
    four = "| the same, four connections, MB/s | 50 |"
    assert f"{four} needs more cores |  | one connection 40 |" in lines
    assert draw(document).count("missed") == 2
    many = {**document, "machine": {**MACHINE, "cores": 4}}
    missed = f"{four} ≥ 60 (1.5 x one connection) | **missed** | one connection 40 |"
    assert missed in table(many).splitlines()
    assert lines[-1].startswith("`rsync` is not installed")
    document["figures"]["copy_s"]["rsync"] = 2.0
    assert not table(document).splitlines()[-1].startswith("`rsync`")
