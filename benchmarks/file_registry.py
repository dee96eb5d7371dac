"""How fast does the registry of files take and find files, from few to ten million?

Fills a registry through our API and, beside it, tables of the same columns by plain SQL through the
database's driver, in the same run; then looks names and products up in both:

    python -m benchmarks.file_registry --files 20000
    python -m benchmarks.file_registry --files 10000000 --directory /scratch --json
    python -m benchmarks.file_registry --postgresql postgresql://test@127.0.0.1:5432/empty

A fifth of the files are products, each of which names four others. Each file has two checksums and
a replica. Latencies are of random names, medians and 99th percentiles.
"""

import argparse
import gc
import json
import random
import resource
import sqlite3
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks.machine import describe, load_average
from euclid_dask.data.model import (
    Checksum,
    File,
    FileReference,
    Product,
    ProductValue,
    Replica,
    Storage,
)
from euclid_dask.data.query import parse_query
from euclid_dask.data.registry import Registry

BATCH = 1000
RELEASES = 20
LOOKUPS = 2000
SINGLE = 200
CLAIMERS = 4
IMPORTERS = 2
ROUNDS = 5
"""Rates are medians of so many parts of what is done."""


def main(arguments: list[str]) -> int:
    """Measure and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=20_000, help="how many files")
    parser.add_argument("--directory", type=Path, help="where SQLite's files are put")
    parser.add_argument("--postgresql", default="", help="URL of an empty database to use instead")
    parser.add_argument("--seed", type=int, default=42, help="of the names that are looked up")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    with TemporaryDirectory(dir=given.directory) as scratch:
        figures = {
            "machine": describe(Path(scratch)),
            "load": load_average(),
            "files": given.files,
            "seed": given.seed,
            **measured(given.postgresql or f"{scratch}/ours.db", Path(scratch), given),
        }
    if given.json:
        print(json.dumps(figures, indent=2))
    else:
        show(figures)
    return 0


def measured(address: str, scratch: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Return what our registry and plain SQL take for the same."""
    chance = random.Random(given.seed)
    with Registry(address) as registry:
        for name in ("A", "B"):
            registry.storages.put(Storage(name=name, marker=name))
        ours = import_rates(given.files, lambda batch: register(registry, batch))
        registry.database.analyze()
        ours |= looked_up(registry, given.files, chance)
        ours |= claimed(registry, min(given.files, 20_000) // ROUNDS)
    ours["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    plain = (PlainPostgreSQL if given.postgresql else PlainSQLite)(address, scratch)
    beside = import_rates(given.files, plain.register) | plain.looked_up(given.files, chance)
    plain.close()
    database = "PostgreSQL" if given.postgresql else "SQLite"
    return {"database": database, "ours": ours, "plain_sql": beside}


# -- what is put in


def name_of(number: int) -> str:
    """Return the name of a file; every fifth is a product."""
    if number % 5 == 4:
        return f"DpdVisRawFrame__EUC_VIS_RAW_{number:09}.xml"
    return f"EUC_VIS_RAW-{number:09}_20231022T091500.{number % 1000:03}Z_02.00.fits"


def batches(first: int, last: int) -> Iterator[range]:
    """Return ranges of numbers of files."""
    for start in range(first, last, BATCH):
        yield range(start, min(start + BATCH, last))


def rows_of(numbers: range) -> list[tuple[str, int, str, str, str]]:
    """Return names, sizes, two checksums and paths."""
    return [
        (name, 1_000_000 + n, f"{n:08x}", f"{n:032x}", f"raw/{n // 10_000:06}/{name}")
        for n in numbers
        for name in [name_of(n)]
    ]


def products_of(numbers: range) -> list[tuple[str, str, int, list[str]]]:
    """Return ids of products, their releases, tiles, and names of the files they name."""
    return [
        (
            f"EUC_{n:09}",
            f"DR{n // 5 % RELEASES}",
            n // 5 % 5000,
            [name_of(n - i) for i in range(4, 0, -1)],
        )
        for n in numbers
        if n % 5 == 4 and n - 4 in numbers
    ]


def header_of(release: str) -> str:
    """Return the header of a product as JSON."""
    return json.dumps({"DataSetRelease": release, "ProdSDC": "SDC-CH"}, separators=(",", ":"))


def register(registry: Registry, numbers: range) -> None:
    """Register files, replicas and products in one transaction."""
    rows = rows_of(numbers)
    registry.register(
        [
            File(
                name=name,
                size=size,
                checksums=(
                    Checksum(algorithm="adler32", value=adler32),
                    Checksum(algorithm="xxh3", value=xxh3),
                ),
            )
            for name, size, adler32, xxh3, _ in rows
        ],
        [Replica(file=name, storage="A", path=path) for name, _, _, _, path in rows],
        {
            f"DpdVisRawFrame__EUC_VIS_RAW_{int(key[4:]):09}.xml": Product(
                product_id=key,
                type="DpdVisRawFrame",
                header={"DataSetRelease": release, "ProdSDC": "SDC-CH"},
                files=tuple(
                    FileReference(name=name, ordinal=ordinal) for ordinal, name in enumerate(names)
                ),
                values=(
                    ProductValue(path="Data.TileIndex", ordinal=0, text=str(tile), number=tile),
                ),
            )
            for key, release, tile, names in products_of(numbers)
        },
    )


def import_rates(files: int, take: Callable[[range], None], first: int = 0) -> dict[str, float]:
    """Return how many files a second are taken, in the first and last twentieth, and in a fifth.

    Args:
        files: How many.
        take: Takes those of some numbers.
        first: Their first number; what is before is there.
    """
    times: list[tuple[int, float]] = []
    gc.collect()
    for numbers in batches(first, first + files):
        began = perf_counter()
        take(numbers)
        times.append((len(numbers), perf_counter() - began))

    def rate(part: Sequence[tuple[int, float]]) -> float:
        return round(sum(count for count, _ in part) / sum(seconds for _, seconds in part))

    edge = max(1, len(times) // 20)
    return {
        "import_first_per_s": rate(times[:edge]),
        "import_last_per_s": rate(times[-edge:]),
        "import_per_s": median_rate(times),
    }


def import_rate_at_once(files: int, take: Callable[[range], None], first: int) -> float:
    """Return how many files a second are taken by two threads; so many in each round."""
    times: list[tuple[int, float]] = []
    for start in range(first, first + ROUNDS * files, files):
        began = perf_counter()
        with ThreadPoolExecutor(IMPORTERS) as threads:
            list(threads.map(take, batches(start, start + files)))
        times.append((files, perf_counter() - began))
    return median_rate(times)


def median_rate(times: Sequence[tuple[int, float]]) -> float:
    """Return the median rate of five parts of what was done: how many, and seconds."""
    parts = [part for first in range(ROUNDS) if (part := times[first::ROUNDS])]
    return round(statistics.median(sum(c for c, _ in it) / sum(s for _, s in it) for it in parts))


# -- what is asked for


def looked_up(registry: Registry, files: int, chance: random.Random) -> dict[str, Any]:
    """Return rates and latencies of single calls of our registry."""
    single = []
    for number in range(SINGLE):
        name = f"single_{number}.fits"
        began = perf_counter()
        registry.register([File(name=name, size=1)], [Replica(file=name, storage="A", path=name)])
        single.append((1, perf_counter() - began))
    queries = [
        parse_query(f"DpdVisRawFrame where Header.DataSetRelease == DR{release}")
        for release in range(RELEASES)
    ]
    of_type = parse_query("DpdVisRawFrame")
    return {
        "single_per_s": median_rate(single),
        "locate_ms": latency(lambda: registry.locate(names(1, files, chance)), LOOKUPS),
        "locate_100_ms": latency(lambda: registry.locate(names(100, files, chance)), 200),
        "find_release_ms": latency(lambda: registry.find(chance.choice(queries)), 200),
        "find_type_ms": latency(lambda: registry.find(of_type), 20),
        "find_tile_ms": latency(lambda: registry.find(tile_query(chance)), 200),
        "count_s": round(latency(registry.storages.counts, 5)["p50"] / 1000, 3),
    }


def tile_query(chance: random.Random) -> Any:
    """Return a query for the products of one tile."""
    return parse_query(f"DpdVisRawFrame where Data.TileIndex == {chance.randrange(5000)}")


def names(count: int, files: int, chance: random.Random) -> list[str]:
    """Return random names."""
    return [name_of(chance.randrange(files)) for _ in range(count)]


def latency(ask: Callable[[], object], times: int) -> dict[str, float]:
    """Return the median and the 99th percentile of a call, in ms."""
    took = []
    for _ in range(times):
        began = perf_counter()
        ask()
        took.append(1000 * (perf_counter() - began))
    took.sort()
    return {
        "p50": round(statistics.median(took), 3),
        "p99": round(took[min(len(took) - 1, int(0.99 * len(took)))], 3),
    }


def claimed(registry: Registry, transfers: int) -> dict[str, float]:
    """Return how many transfers are queued and claimed in a second; so many in each round."""
    queued, taken = [], []
    for first in range(0, ROUNDS * transfers, transfers):
        wanted = [(name_of(number), "B") for number in range(first, first + transfers)]
        began = perf_counter()
        for start in range(0, transfers, BATCH):
            registry.transfers.enqueue(wanted[start : start + BATCH])
        queued.append((transfers, perf_counter() - began))
        began = perf_counter()
        with ThreadPoolExecutor(CLAIMERS) as threads:
            found = sum(threads.map(lambda worker: _claim(registry, worker), range(CLAIMERS)))
        taken.append((found, perf_counter() - began))
        assert found == transfers
    return {"queue_per_s": median_rate(queued), "claim_20_per_s": median_rate(taken)}


def _claim(registry: Registry, worker: int) -> int:
    taken = 0
    while batch := registry.transfers.claim(f"worker {worker}", 20, 600):
        taken += len(batch)
    return taken


# -- plain SQL, as short as it can be

TABLES = """
CREATE TABLE p_files (
  id {key}, name text NOT NULL UNIQUE, size bigint NOT NULL, state text NOT NULL);
CREATE TABLE p_sums (
  file_id bigint PRIMARY KEY, checksums text, declared text);
CREATE TABLE p_replicas (
  file_id bigint, storage_id int, path text, state text,
  PRIMARY KEY (file_id, storage_id), UNIQUE (storage_id, path));
CREATE TABLE p_products (
  id {key}, product_id text NOT NULL UNIQUE, type text, release text, header text);
CREATE INDEX p_products_release ON p_products (type, release, product_id);
CREATE TABLE p_values (
  product_id bigint, path text, text text, number float, PRIMARY KEY (product_id, path));
CREATE INDEX p_values_number ON p_values (path, number);
CREATE TABLE p_named (
  product_id bigint, ordinal int, file_id bigint, PRIMARY KEY (product_id, ordinal));
CREATE INDEX p_named_file ON p_named (file_id)"""
LOCATE = (
    "SELECT f.name, r.path FROM p_files f JOIN p_replicas r ON r.file_id = f.id "
    "WHERE r.state = 'available' AND f.name IN "
)
FIND = (
    "SELECT product_id FROM p_products WHERE type = 'DpdVisRawFrame' AND release = ? "
    "ORDER BY product_id LIMIT 100"
)
COUNT = "SELECT storage_id, state, count(*) FROM p_replicas GROUP BY storage_id, state"


class Plain:
    """Plain SQL; keys are those of the numbers, so that nothing has to be asked for."""

    mark = "?"
    key = "integer PRIMARY KEY"

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        for statement in TABLES.format(key=self.key).split(";"):
            connection.execute(statement)
        connection.commit()

    def register(self, numbers: range) -> None:
        """Insert files, checksums, replicas and products in one transaction."""
        rows = rows_of(numbers)
        first = numbers.start
        self._many("p_files", [(first + i, r[0], r[1], "committed") for i, r in enumerate(rows)])
        self._many(
            "p_sums",
            [
                (
                    first + i,
                    json.dumps({"adler32": r[2], "xxh3": r[3]}, separators=(",", ":")),
                    "[]",
                )
                for i, r in enumerate(rows)
            ],
        )
        self._many("p_replicas", [(first + i, 1, r[4], "available") for i, r in enumerate(rows)])
        products = [(int(one[0][4:]), *one) for one in products_of(numbers)]
        self._many(
            "p_products",
            [
                (key, id_, "DpdVisRawFrame", release, header_of(release))
                for key, id_, release, _, _ in products
            ],
        )
        self._many(
            "p_values",
            [(key, "Data.TileIndex", str(tile), tile) for key, _, _, tile, _ in products],
        )
        self._many(
            "p_named",
            [(key, i, key - 4 + i) for key, *_ in products for i in range(4)],
        )
        self.connection.commit()

    def _many(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            marks = ",".join([self.mark] * len(rows[0]))
            self.connection.cursor().executemany(f"INSERT INTO {table} VALUES ({marks})", rows)

    def looked_up(self, files: int, chance: random.Random) -> dict[str, Any]:
        """Return latencies of single statements."""

        def ask(statement: str, *values: Any) -> Any:
            return self.connection.execute(statement.replace("?", self.mark), values).fetchall()

        def locate(count: int) -> Callable[[], object]:
            marks = ",".join("?" * count)
            return lambda: ask(f"{LOCATE} ({marks})", *names(count, files, chance))

        return {
            "locate_ms": latency(locate(1), LOOKUPS),
            "locate_100_ms": latency(locate(100), 200),
            "find_release_ms": latency(lambda: ask(FIND, f"DR{chance.randrange(RELEASES)}"), 200),
            "count_s": round(latency(lambda: ask(COUNT), 5)["p50"] / 1000, 3),
        }

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


class PlainSQLite(Plain):
    """The standard library's driver, as durable as ours."""

    def __init__(self, address: str, scratch: Path) -> None:
        connection = sqlite3.connect(scratch / "plain.db")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -32768")
        super().__init__(connection)


class PlainPostgreSQL(Plain):
    """Psycopg, in the same database as ours."""

    mark = "%s"
    key = "bigint PRIMARY KEY"

    def __init__(self, address: str, scratch: Path) -> None:
        import psycopg  # noqa: PLC0415 -- an extra of the project

        super().__init__(psycopg.connect(address))

    def _many(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        with self.connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def show(figures: dict[str, Any]) -> None:
    """Print a table."""
    print(f"{figures['files']:,} files, load {figures['load'][0]:.1f}, {figures['database']}")
    print(f"{'':22} {'ours':>18} {'plain SQL':>18}")
    for key, value in figures["ours"].items():
        beside = figures["plain_sql"].get(key, "")
        print(f"{key:22} {_cell(value):>18} {_cell(beside):>18}")


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['p50']} / {value['p99']}"
    return f"{value:,}" if value != "" else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
