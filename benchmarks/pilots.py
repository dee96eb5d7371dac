"""What it costs to run many short tasks in pilots on a real Slurm, engine against engine.

The Slurm is one of our own on this machine (tests/tools/slurm-cluster.sh), so it needs root. Every
engine gets the same slots in jobs of two cores, and runs the same tiny C program for every task.
The checker of the other benchmarks proves that each task ran exactly once, after its dependencies.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.engines import (
    Engine,
    slurm_dask,
    slurm_floor,
    slurm_hyperqueue,
    slurm_ours,
    slurm_parsl,
)
from benchmarks.envs import UnavailableError, compile_tools
from benchmarks.measure import become_reaper
from benchmarks.pilots_report import tables, write_docs
from benchmarks.run import RESULTS, ROOT, Session, run_arguments
from benchmarks.workloads import bag, chains, montage

sys.path.insert(0, str(ROOT / "tests" / "tools"))

import clusters
from clusters import Cluster

FLOOR = "floor-job"
SLOTS = 4
ENGINES: dict[str, Engine] = {
    engine.name: engine
    for module in (slurm_floor, slurm_ours, slurm_dask, slurm_parsl, slurm_hyperqueue)
    for engine in module.ENGINES
}
GENERATORS = {
    "bag": partial(bag, slots=SLOTS),
    "chains": partial(chains, slots=SLOTS),
    "montage": partial(montage, slots=SLOTS),
}
EXAMPLES = """\
examples:
  python -m benchmarks.pilots run --scale 0.1 -r 1 --name try
                                                  a few minutes: all engines, small workloads
  python -m benchmarks.pilots run -e floor-job ours -w bag
                                                  one question, five repeats
  python -m benchmarks.pilots run --docs          the whole table, written to docs/benchmarks.md
  python -m benchmarks.pilots report pilots --docs
                                                  write it again from the recorded figures
"""


def slurm(folder: str) -> Cluster:
    """Describe a Slurm of two nodes of as many CPUs as there are slots; it is patient."""
    plain = clusters.slurm(folder)
    settings = {"NODES": "2", "CPUS": str(SLOTS), "TIMEOUT_NODE": "300"}
    return replace(plain, settings={**plain.settings, **settings})


def until_empty() -> None:
    """End all jobs that an engine left, and wait until there are none."""
    subprocess.run(["scancel", "-Q", "--user", "root"], check=False)
    while subprocess.run(["squeue", "-h"], check=True, stdout=subprocess.PIPE).stdout:
        time.sleep(0.2)


def _refuse_without_slurm() -> None:
    path = f"{os.environ['PATH']}:/usr/sbin"
    for program in ("slurmctld", "slurmd", "munged", "sbatch"):
        if shutil.which(program, path=path) is None:
            raise UnavailableError(f"{program} is not installed")
    if os.geteuid() != 0:
        raise UnavailableError("a Slurm of our own needs root")


def run(options: argparse.Namespace) -> int:
    """Measure, record, report."""
    _refuse_without_slurm()
    scratch = Path(tempfile.mkdtemp(prefix="bench-", dir=options.scratch))
    with clusters.running(slurm) as cluster:
        os.environ.update(cluster.environment)
        become_reaper()  # only now: the daemons of Slurm are none of ours
        session = _session(options, scratch)
        session.install()
        path = options.results / f"{options.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in session.measure():
            path.write_text(json.dumps(session.document(), indent=1) + "\n")
    print(f"figures: {path}", file=sys.stderr)
    _report(session.document(), docs=options.docs)
    session.tidy()
    invalid = [one for one in session.runs if one["wrong"]]
    if invalid:
        print(f"{len(invalid)} invalid runs, kept in {scratch}", file=sys.stderr)
    elif not options.keep:
        shutil.rmtree(scratch)
    return 1 if invalid else 0


def _session(options: argparse.Namespace, scratch: Path) -> Session:
    return Session(
        engines={name: ENGINES[name] for name in options.engines},
        workloads={
            name: GENERATORS[name](scale=options.scale, seed=options.seed)
            for name in options.workloads
        },
        options=options,
        tools=compile_tools(options.cache),
        scratch=scratch,
        floor=FLOOR,
        settle=until_empty,
    )


def _report(document: dict[str, Any], *, docs: bool) -> None:
    print(tables(document))
    if docs:
        write_docs(document, ROOT / "docs")


def show(options: argparse.Namespace) -> int:
    """Write a report again."""
    _report(json.loads((options.results / f"{options.name}.json").read_text()), docs=options.docs)
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m benchmarks.pilots",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    sub = commands.add_parser("run", help="measure engines on workloads")
    run_arguments(sub, ENGINES, GENERATORS, list(GENERATORS))
    sub.set_defaults(call=run, name="pilots")
    again = commands.add_parser("report", help="print recorded figures again")
    again.set_defaults(call=show)
    again.add_argument("name", help="of the results file, without .json")
    for each in (again, sub):
        each.add_argument("--docs", action="store_true", help="write docs/benchmarks.md and a plot")
        each.add_argument("--results", type=Path, default=RESULTS, help="where <name>.json lies")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code."""
    options = parser().parse_args(arguments)
    try:
        return int(options.call(options))
    except UnavailableError as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
