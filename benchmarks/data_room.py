"""What do registering, finding and moving ten million files cost, beside the usual means?

    python -m benchmarks.data_room --files 100000 --size 100000000         a few minutes
    python -m benchmarks.data_room --docs                                  the table of the docs

A registry of so many files is made by SQLite itself (`benchmarks.filling`); then it is used through
our API, and tables of the same columns by plain SQL. Figures go to `benchmarks/results/data.json`;
with `--docs` also to docs/benchmarks.md, with a picture.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks import file_registry, filling, moving
from benchmarks.data_report import write_docs
from benchmarks.machine import ROOT, describe, load_average
from euclid_dask.data.model import Storage
from euclid_dask.data.registry import Registry
from euclid_dask.data.rules import Rule, Selector
from euclid_dask.data.ruling import Ruling

SOME = 10_000
"""Files that are registered and ruled through our API, in each registry."""
QUEUED = 4000
"""Transfers that are queued and claimed."""


def main(arguments: list[str]) -> int:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000_000, help="in the registry")
    parser.add_argument("--size", type=int, default=2**30, help="bytes of the large file")
    parser.add_argument("--xml", type=int, default=1_000_000_000, help="bytes of the large product")
    parser.add_argument("--small", type=int, default=2000, help="small files, and links")
    parser.add_argument("--directory", type=Path, help="a directory on the disk to be measured")
    parser.add_argument("--seed", type=int, default=42, help="of the names that are looked up")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md and a plot")
    given = parser.parse_args(arguments)
    began = perf_counter()
    with TemporaryDirectory(dir=given.directory) as scratch:
        Path(scratch).chmod(0o755)  # the servers run as others
        figures = {
            "machine": describe(Path(scratch)),
            "load": [load_average()[0]],
            "files": given.files,
            "size": given.size,
            "xml": given.xml,
            "seed": given.seed,
            "figures": measured(Path(scratch), given),
        }
        figures["load"].append(load_average()[0])
        figures["share"] = round(_cpu_s() / (perf_counter() - began), 2)
    results = ROOT / "benchmarks" / "results" / "data.json"
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures["figures"], indent=1))
    if given.docs:
        write_docs(figures, ROOT / "docs")
    return 0


def measured(scratch: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Return all figures: by what was measured, `ours` and those of others."""
    found: dict[str, Any] = {}
    for name, part in (
        ("empty", lambda: empty(scratch / "empty")),
        ("full", lambda: full(scratch / "full", given.files, random.Random(given.seed))),
        ("postgresql", lambda: on_postgresql(scratch, random.Random(given.seed))),
        ("moving", lambda: moving.moved(scratch / "moving", given.size, given.small)),
        ("products", lambda: of_products(given.xml)),
    ):
        print(f"{name} ...", file=sys.stderr)
        found |= {key if name == "moving" else f"{name}.{key}": it for key, it in part().items()}
    return found


def empty(folder: Path) -> dict[str, Any]:
    """Return what a registry on SQLite costs that begins empty."""
    folder.mkdir()
    with registry_at(str(folder / "ours.db")) as registry:
        ours = compared_import(registry)
        ours |= file_registry.claimed(registry, QUEUED)
        ours |= ruled(registry)
    plain = file_registry.PlainSQLite("", folder)
    beside = file_registry.import_rates(SOME, plain.register)
    plain.close()
    return beside_each_other(ours, beside)


def full(folder: Path, files: int, chance: random.Random) -> dict[str, Any]:
    """Return what a large registry on SQLite costs."""
    folder.mkdir()
    address = str(folder / "ours.db")
    with registry_at(address):
        pass
    filling.fill(Path(address), files, filling.OURS)
    with registry_at(address) as registry:
        registry.database.analyze()
        ours = file_registry.looked_up(registry, files, chance)
        ours |= compared_import(registry, files)
        ours |= file_registry.claimed(registry, QUEUED)
        ours["rss_mb"] = _rss_mb()
    plain = file_registry.PlainSQLite("", folder)
    filling.fill(folder / "plain.db", files, filling.PLAIN)
    beside = plain.looked_up(files, chance)
    beside |= file_registry.import_rates(SOME, plain.register, files)
    plain.close()
    shutil.rmtree(folder)
    return beside_each_other(ours, beside)


def on_postgresql(scratch: Path, chance: random.Random) -> dict[str, Any]:
    """Return what a registry on PostgreSQL costs; nothing if there is none."""
    from postgresql import postgresql  # noqa: PLC0415 -- of the tests; `moving` says where

    try:
        with postgresql(fsync=True) as server:
            url = server.url()
            with registry_at(url) as registry:
                ours = compared_import(registry)
                ours |= file_registry.claimed(registry, QUEUED)
                ours |= file_registry.looked_up(registry, SOME, chance)
            plain = file_registry.PlainPostgreSQL(url, scratch)
            beside = file_registry.import_rates(SOME, plain.register)
            beside |= plain.looked_up(SOME, chance)
            plain.close()
    except BaseException as error:
        if type(error).__name__ != "Skipped":  # the tests' way to say that there is none
            raise
        return {}
    return beside_each_other(ours, beside)


@contextmanager
def registry_at(address: str) -> Iterator[Registry]:
    """Give a registry with two storages."""
    with Registry(address) as registry:
        for name in ("A", "B"):
            registry.storages.put(Storage(name=name, marker=name))
        yield registry


def compared_import(registry: Registry, files: int = 0) -> dict[str, Any]:
    """Return at which rate more files are registered."""
    return file_registry.import_rates(
        SOME, lambda batch: file_registry.register(registry, batch), files
    )


def ruled(registry: Registry) -> dict[str, Any]:
    """Return to how many files a second rules are applied: to new ones, and to all again."""
    select = Selector(names=("EUC_VIS_RAW-*",))
    registry.rules.put(Rule(name="all", select=select, places="*", copies=2))
    names = [file_registry.name_of(number) for number in range(SOME)]
    ruling = Ruling(registry)
    return {
        "ruled_new_per_s": SOME / moving.seconds(lambda: ruling.take(names)),
        "ruled_again_per_s": SOME / moving.seconds(ruling.apply_all),
    }


def of_products(xml: int) -> dict[str, Any]:
    """Return how fast products are read, beside a parser without handlers."""
    line = [sys.executable, "-m", "benchmarks.products", "--seconds", "1", "--json"]
    told = subprocess.run([*line, "--size", str(xml)], cwd=ROOT, check=True, capture_output=True)
    found = json.loads(told.stdout)
    size_mb = found["large_bytes"] / 1e6
    expat = "expat, nothing taken"
    return {
        "read_per_s": {"ours": found["products_per_s"], expat: found["parsed_per_s"]},
        "large_mb_per_s": {
            "ours": size_mb / found["large_s"],
            expat: size_mb / found["large_parsed_s"],
        },
        "large_rss_mb": {"ours": found["large_rss_mb"]},
    }


def beside_each_other(ours: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """Return figures by name, each of ours with that of plain SQL."""
    return {
        key: {"ours": value, **({"plain SQL": plain[key]} if key in plain else {})}
        for key, value in ours.items()
    }


def _cpu_s() -> float:
    """Return the CPU time of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
