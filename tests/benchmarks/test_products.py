"""The benchmark of products, with a small "large" one."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_large_product_takes_less_than_50_mb() -> None:
    line = "-m benchmarks.products --size 3000000 --seconds 0.01 --repeats 1 --json"
    done = subprocess.run(
        [sys.executable, *line.split()], cwd=ROOT, capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert told["large_bytes"] > 2_000_000
    assert told["import_rss_mb"] <= told["large_rss_mb"] < told["targets"]["large_rss_mb"]
    assert told["large_rss_mb"] - told["import_rss_mb"] < 2
    assert told["products_per_s"] > 0
