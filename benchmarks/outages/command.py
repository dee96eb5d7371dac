"""The command: have outages happen, check what became of the runs, write the table."""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.outages import table
from benchmarks.outages.check import Verdict
from benchmarks.outages.kinds import NONE, OUTAGES, Outage
from benchmarks.outages.scene import ROOT, Size, opened

PAGE = ROOT / "docs" / "explanation" / "outages.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a run that was disturbed."""

    name: str
    whole_s: float
    verdict: Verdict
    said: list[str]


def disturbed(outage: Outage, size: Size, *, keep: bool = False) -> Result:
    """Have an outage happen in the middle of a run, and see it through; needs root."""
    folder = Path(tempfile.mkdtemp(prefix=f"outage-{outage.name}-"))
    with outage.setting(folder, size) as stage, opened(folder, size, stage) as scene:
        scene.run()
        scene.until_under_way()
        verdict = scene.verdict(outage.happen(scene), runners=outage.runners)
        said = scene.said()
        verdict.wrong.extend(f"nobody was told: {words}" for words in outage.unsaid(said, size))
        result = Result(name=outage.name, whole_s=scene.wait(), verdict=verdict, said=said)
    if not keep:
        shutil.rmtree(folder)
    return result


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code: 1 if a run is not as it must be."""
    options = _options().parse_args(words)
    size = Size(tasks=options.tasks, outage_s=options.seconds)
    if options.short:
        size = replace(size, seconds=(0.5, 2.5), pilots=2)
    outages = [OUTAGES[name] for name in options.only or OUTAGES]
    results = []
    for outage in outages if options.alone else (NONE, *outages):
        print(f"{outage.name} ...", end=" ", flush=True, file=sys.stderr)
        results.append(disturbed(outage, size, keep=options.keep))
        print(_line(results[-1]), file=sys.stderr)
    if options.json:
        print(json.dumps([_told(result) for result in results], indent=1))
    if options.docs:
        table.write(PAGE, results, size)
    return int(any(result.verdict.wrong for result in results))


def _told(result: Result) -> dict[str, Any]:
    return {**asdict(result), "extra_starts": result.verdict.extra_starts}


def _line(result: Result) -> str:
    verdict = result.verdict
    line = f"{result.whole_s:.1f} s, {verdict.extra_starts} extra starts"
    if verdict.overlap_s:
        line += f", {verdict.overlap_s:.2f} s of overlap"
    return "; ".join([line, *map(str, verdict.reasons.items()), *verdict.wrong])


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.outages",
        description="Have outages happen on a Slurm of our own, and see what they cost.",
    )
    add = parser.add_argument
    add("--only", action="append", choices=list(OUTAGES), metavar="NAME", help=", ".join(OUTAGES))
    add("--tasks", type=int, default=200, help="tasks of each run (%(default)s)")
    add("--seconds", type=float, default=60.0, help="how long outages last (%(default)s)")
    add("--short", action="store_true", help="tasks of half the time, on half the pilots")
    add("--alone", action="store_true", help="no undisturbed run to compare with")
    add("--json", action="store_true", help="tell all on stdout")
    add("--docs", action="store_true", help="write the table to docs/explanation/outages.md")
    add("--keep", action="store_true", help="keep the folders of the runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
