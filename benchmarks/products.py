"""How fast are data products read, and how much memory does one of 1 GB take?

    python -m benchmarks.products [--size 1000000000] [--seconds 3] [--repeats 5] [--json]

Small ones: the samples of the tests, over and over, beside a parser without handlers (the floor)
in turn. The large one: made in a temporary folder, and read by a process of its own.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from euclid_dask.data.products import read_product
from euclid_dask.data.xmlstream import new_parser, open_regular, parse

SAMPLES = Path(__file__).resolve().parents[1] / "tests" / "data" / "products"
VALUES = ("Header.DataSetRelease", "Data.ObservationSequence.ObservationId")
TARGETS = {"products_per_s": 4000, "large_s": 120, "large_rss_mb": 50}
ROW = (
    "<Source unit='deg'><Ra>123.456789</Ra><Dec>-1.5</Dec><Flux>3.25e-29</Flux>"
    "<Note>a &amp; b</Note></Source>\n"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1_000_000_000, help="bytes of the large one")
    parser.add_argument("--seconds", type=float, default=3, help="for each round of small ones")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    figures = small(given.seconds, given.repeats) | large(given.size)
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, load {load:.1f}"
    if given.json:
        print(json.dumps({"machine": machine, "targets": TARGETS, **figures}))
        return
    print(machine)
    print(
        f"  small: {figures['products_per_s']:,.0f} products/s of {figures['product_bytes']:,.0f} "
        f"bytes (target {TARGETS['products_per_s']:,}); parser alone "
        f"{figures['parsed_per_s']:,.0f}/s"
    )
    print(
        f"  large: {figures['large_bytes']:,} bytes in {figures['large_s']:.1f} s "
        f"(CPU {figures['large_cpu_s']:.1f} s, target {TARGETS['large_s']}), "
        f"peak RSS {figures['large_rss_mb']:.1f} MB "
        f"(target {TARGETS['large_rss_mb']}), of which Python and imports "
        f"{figures['import_rss_mb']:.1f} MB; parser alone {figures['large_parsed_s']:.1f} s"
    )


def small(seconds: float, repeats: int) -> dict[str, float]:
    """Return how many small products are read in a second: the median of `repeats` rounds."""
    paths = sorted(SAMPLES.glob("*.xml"))
    kinds: dict[str, Callable[[Path], object]] = {
        "products_per_s": lambda path: read_product(path, VALUES),
        "parsed_per_s": _parse,
    }
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(repeats):
        for kind, read in kinds.items():
            found[kind].append(_rate(read, paths, seconds))
    rates = {kind: statistics.median(rates) for kind, rates in found.items()}
    return rates | {"product_bytes": statistics.mean(path.stat().st_size for path in paths)}


def _rate(read: Callable[[Path], object], paths: Sequence[Path], seconds: float) -> float:
    count = 0
    begun = time.perf_counter()
    while (taken := time.perf_counter() - begun) < seconds:
        for path in paths:
            read(path)
        count += len(paths)
    return count / taken


def _parse(path: Path) -> None:
    with open_regular(path) as file:
        parse(file, new_parser())


def large(size: int) -> dict[str, Any]:
    """Return how long one product of `size` bytes takes, and the memory of the process."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_large(Path(folder) / "large.xml", size)
        return {"large_bytes": path.stat().st_size} | in_a_process(_read_large, path)


def write_large(path: Path, size: int) -> Path:
    """Write a product of about `size` bytes that names one file, at its end."""
    block = ROW * 4096
    with path.open("w") as file:
        file.write("<D><Header><ProductId>large</ProductId></Header><Data>\n")
        for _ in range(max(1, size // len(block))):
            file.write(block)
        file.write("<Store format='x'><DataContainer filestatus='PROPOSED'>")
        file.write("<FileName>x.fits</FileName></DataContainer></Store><Last>yes</Last>")
        file.write("</Data></D>\n")
    return path


def in_a_process(read: Callable[[Path], dict[str, float]], path: Path) -> dict[str, float]:
    """Return what `read` tells of `path` when a fresh interpreter calls it."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(read, (path,))


def _read_large(path: Path) -> dict[str, float]:
    before = _peak_mb()
    begun, begun_cpu = time.perf_counter(), time.process_time()
    product = read_product(path, ["Data.Last"])
    taken, taken_cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
    peak = _peak_mb()
    if [file.name for file in product.files] != ["x.fits"] or product.values[0].text != "yes":
        sys.exit("the large product was not read to its end")
    begun = time.perf_counter()
    _parse(path)
    return {
        "large_s": taken,
        "large_cpu_s": taken_cpu,
        "large_parsed_s": time.perf_counter() - begun,
        "large_rss_mb": peak,
        "import_rss_mb": before,
    }


def _peak_mb() -> float:
    """Return the peak RSS of this program; that of `getrusage` knows what was before `exec` too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    main()
