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
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

from benchmarks import file_registry, filling, moving
from benchmarks.data_report import RUNS, write_docs
from benchmarks.leftovers import all_below, ending_on_signals, guarded
from benchmarks.machine import ROOT, describe, load_average
from euclid_dask.data.model import Storage
from euclid_dask.data.registry import Registry
from euclid_dask.data.rules import Rule, Selector
from euclid_dask.data.ruling import Ruling

SOME = 10_000
"""Files that are registered and ruled through our API, in each registry."""
QUEUED = SOME // file_registry.ROUNDS
"""Transfers that are queued and claimed in each round."""
LOOK_S = 0.05
"""How often the memory of a server is looked at, in seconds."""
EVERYTHING = Rule(name="all", select=Selector(names=("*",)), places="name=A")
"""All files, where they are."""
RAW = Rule(name="raw", select=Selector(names=("EUC_VIS_RAW-*",)), places="*", copies=2)
"""Second copies, of all but products."""
DURATION = """With ten million files it takes about half an hour on two cores, and 10 GB of disk;
with 100 000, a file of 100 MB and a product of 30 MB a few minutes. PostgreSQL, sshd, nginx, rsync
and curl are used if they are installed. Killed, it leaves its temporary directory."""


def main(arguments: list[str]) -> int:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], epilog=DURATION
    )
    parser.add_argument("--files", type=int, default=10_000_000, help="in the registry")
    parser.add_argument("--size", type=int, default=2**30, help="bytes of the large file")
    parser.add_argument("--xml", type=int, default=1_000_000_000, help="bytes of the large product")
    parser.add_argument("--small", type=int, default=2000, help="small files, and links")
    parser.add_argument("--directory", type=Path, help="a directory on the disk to be measured")
    parser.add_argument("--seed", type=int, default=42, help="of the names that are looked up")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md and a plot")
    given = parser.parse_args(arguments)
    began = perf_counter()
    with ending_on_signals(), all_below(given.directory) as scratch:
        figures = {
            "machine": describe(scratch),
            "load": [load_average()[0]],
            "files": given.files,
            "size": given.size,
            "xml": given.xml,
            "seed": given.seed,
            "figures": measured(scratch, given),
        }
    figures["load"].append(load_average()[0])
    figures["took_s"] = round(perf_counter() - began)
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
        began = perf_counter()
        found |= {key if name == "moving" else f"{name}.{key}": it for key, it in part().items()}
        print(f"{name}: {perf_counter() - began:.0f} s", file=sys.stderr)
    return found


def empty(folder: Path) -> dict[str, Any]:
    """Return what a registry on SQLite costs that begins empty."""
    folder.mkdir()
    with registry_at(str(folder / "ours.db")) as registry:
        ours = compared_import(registry)
        ours |= file_registry.claimed(registry, QUEUED)
        compared_import(registry, SOME)
        registry.rules.put(RAW)
        ours["ruled_new_per_s"] = ruled_new(registry, SOME)
    plain = file_registry.PlainSQLite("", folder)
    beside = file_registry.import_rates(SOME, plain.register)
    plain.close()
    return beside_each_other(ours, beside)


def full(folder: Path, files: int, chance: random.Random) -> dict[str, Any]:
    """Return what a large registry on SQLite costs, with a rule that is about all files."""
    folder.mkdir()
    address = str(folder / "ours.db")
    with registry_at(address) as registry:
        registry.rules.put(EVERYTHING)
        registry.rules.reviewed(registry.rules.get(EVERYTHING.name))
    filling.fill(Path(address), files, filling.OURS + filling.RULED)
    with registry_at(address) as registry:
        registry.database.analyze()
        took = moving.repeated(Ruling(registry).apply_all)
        ours = file_registry.looked_up(registry, files, chance)
        ours |= compared_import(registry, files)
        ours["ruled_new_per_s"] = ruled_new(registry, files)
        ours |= file_registry.claimed(registry, QUEUED)
    server = {"ours": server_mb(address), RUNS: 1}
    Path(address).unlink()
    plain = file_registry.PlainSQLite("", folder)
    filling.fill(folder / "plain.db", files, filling.PLAIN)
    beside = plain.looked_up(files, chance)
    beside |= file_registry.import_rates(SOME, plain.register, files)
    plain.close()
    shutil.rmtree(folder)
    return {
        **beside_each_other(ours, beside),
        "ruled_again_per_s": {"ours": files / median(took), RUNS: len(took)},
        "server_mb": server,
    }


def on_postgresql(scratch: Path, chance: random.Random) -> dict[str, Any]:
    """Return what a registry on PostgreSQL costs, which has few files; nothing if there is none."""
    from postgresql import postgresql  # noqa: PLC0415 -- of the tests; `moving` says where

    process = f"$(head -n 1 {scratch}/postgresql-*/data/postmaster.pid)"
    try:
        with guarded(f"kill -s QUIT {process}"), postgresql(fsync=True) as server:
            url = server.url()
            with registry_at(url) as registry:
                ours = compared_import(registry)
                ours |= file_registry.claimed(registry, QUEUED)
                ours |= file_registry.looked_up(registry, SOME, chance)
                ours["import_two_per_s"] = file_registry.import_rate_at_once(
                    SOME, lambda batch: file_registry.register(registry, batch), SOME
                )
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


def ruled_new(registry: Registry, first: int) -> float:
    """Return to how many files a second rules are applied when they are new."""
    names = [file_registry.name_of(number) for number in range(first, first + SOME)]
    ruling = Ruling(registry)
    parts = [names[number :: file_registry.ROUNDS] for number in range(file_registry.ROUNDS)]
    return median(len(it) / moving.seconds(lambda: ruling.take(it)) for it in parts)  # noqa: B023


def server_mb(address: str) -> float:
    """Return the most memory of a process that serves a registry, and applies all its rules."""
    line = [sys.executable, "-m", "euclid_dask", "move", "--once", "--registry", address]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, start_new_session=True) as server:
        with guarded(f"kill -s KILL -- -{server.pid}"):
            peak = 0.0
            while server.poll() is None:
                peak = max(peak, _peak_mb(server.pid))
                sleep(LOOK_S)
        if server.returncode:
            raise SystemExit(f"{line} failed")
    return peak


def of_products(xml: int) -> dict[str, Any]:
    """Return how fast products are read, beside a parser without handlers."""
    line = [sys.executable, "-m", "benchmarks.products", "--seconds", "1", "--json"]
    line += ["--size", str(xml)]
    with (
        subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True) as reader,
        guarded(f"kill -s KILL -- -{reader.pid}"),
    ):
        told = reader.communicate()[0]
    found = json.loads(told)
    size_mb = found["large_bytes"] / 1e6
    expat = "expat, nothing taken"
    return {
        "read_per_s": {"ours": found["products_per_s"], expat: found["parsed_per_s"]},
        "large_mb_per_s": {
            "ours": size_mb / found["large_s"],
            expat: size_mb / found["large_parsed_s"],
            RUNS: 1,
        },
        "large_rss_mb": {"ours": found["large_rss_mb"], RUNS: 1},
    }


def beside_each_other(ours: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """Return figures by name, each of ours with that of plain SQL."""
    return {
        key: {"ours": value, **({"plain SQL": plain[key]} if key in plain else {})}
        for key, value in ours.items()
    }


def _peak_mb(process: int) -> float:
    """Return the peak RSS of a process, 0 if it has just ended."""
    found = re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def _cpu_s() -> float:
    """Return the CPU time of this process and of those that it has waited for."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
