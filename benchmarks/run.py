"""The driver: what it costs to run many short tasks, engine against engine.

Every task is one tiny C program that logs its own start and end, sleeps for its duration and
writes its output. A checker outside the engines proves from that log that each task ran exactly
once, after its dependencies, in no more than the allowed slots; else the run is invalid and the
exit code is 1.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine, report
from benchmarks.check import read_log, violations
from benchmarks.engines import Engine, Job
from benchmarks.engines.ours import OURS
from benchmarks.envs import Tools, UnavailableError, compile_tools, environment, versions
from benchmarks.measure import Launch, Outcome, become_reaper, run_once
from benchmarks.registry import ENGINES, FLOOR
from benchmarks.workloads import DEFAULT, GENERATORS, Workload, from_json

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
EXAMPLES = """\
examples:
  python -m benchmarks list                       what there is to compare, and on what
  python -m benchmarks run --scale 0.05 -r 1 --name try
                                                  a minute: all engines, small workloads
  python -m benchmarks run -e floor-spawn ours -w bag --repeats 5 --name bag
                                                  one question, five repeats
  python -m benchmarks run --name laptop --docs   the whole table, written to docs/benchmarks.md
  python -m benchmarks report laptop --docs       write it again from the recorded figures
  python -m benchmarks check WORKLOAD.json LOG    the checker alone

reading the table:
  whole    from the start of the engine's process until it says done, start-up included
  x floor  whole time against the floor (a C program around posix_spawn) of the same repeat; compare
           engines by this, and only within one table: milliseconds move with the machine
  steady   (last end - first start) / tasks
  The first round warms the caches and samples memory; its times are not used. Repeats visit the
  engines in turn, in an order shuffled by the seed.
"""


@dataclass(slots=True, kw_only=True)
class Session:
    """One table in the making; `settle` is called after each run."""

    engines: dict[str, Engine]
    workloads: dict[str, Workload]
    options: argparse.Namespace
    tools: Tools
    scratch: Path
    floor: str = FLOOR
    settle: Callable[[], None] = lambda: None
    pythons: dict[str, Path] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    finished: list[Path] = field(default_factory=list)

    def install(self) -> None:
        """Make each engine's environment; one that cannot be had is left out with its reason."""
        for name, engine in self.engines.items():
            print(f"environment of {name} ...", file=sys.stderr, flush=True)
            try:
                self.pythons[name] = (
                    environment(self.options.cache, _env_name(engine), engine.requirements)
                    if engine.requirements
                    else Path(sys.executable)
                )
            except UnavailableError as error:
                self.unavailable[name] = str(error)

    def measure(self) -> Iterator[int]:
        """Visit every engine on every workload, round by round; round 0 samples memory.

        Yields the number of each round when it is over.
        """
        draw = random.Random(self.options.seed)
        for repeat in range(self.options.repeats + 1):
            for workload in self.workloads.values():
                names = list(self.pythons)
                draw.shuffle(names)
                for name in names:
                    if workload.kind in self.engines[name].kinds:
                        self._measure_one(name, workload, repeat)
            yield repeat

    def _measure_one(self, name: str, workload: Workload, repeat: int) -> None:
        load = machine.load_average()
        workdir = self.scratch / f"{name}-{workload.name}-{repeat}"
        outcome = self._outcome(name, workload, workdir, sample_memory=repeat == 0)
        self.settle()
        figures = asdict(outcome.figures) if outcome.figures else None
        run = {"engine": name, "workload": workload.name, "repeat": repeat, "load": load}
        self.runs.append({**run, "figures": figures, "wrong": outcome.wrong})
        print(_line(name, workload, repeat, outcome), file=sys.stderr, flush=True)
        if not outcome.wrong and not self.options.keep:
            self.finished.append(workdir)

    def tidy(self) -> None:
        """Remove the workdirs of valid runs: after all runs.

        For a minute after many files were deleted, ext4 takes ten times as long to create one.
        """
        for workdir in self.finished:
            shutil.rmtree(workdir)

    def _outcome(
        self, name: str, workload: Workload, workdir: Path, *, sample_memory: bool
    ) -> Outcome:
        for directory in ("out", "logs"):
            (workdir / directory).mkdir(parents=True)
        (workdir / "workload.json").write_text(workload.to_json())
        slots = self.options.slots or workload.slots
        python, log = self.pythons[name], workdir / "tick.log"
        job = Job(
            workload=workload,
            slots=slots,
            workdir=workdir,
            tick=self.tools.tick,
            spawner=self.tools.spawner,
            python=python,
        )
        try:
            command = self.engines[name].prepare(job)
        except UnavailableError as error:
            return Outcome(figures=None, wrong=(str(error),))
        inherited = dict(os.environ)
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)  # what pip installs is compiled: all are
        env = {
            **inherited,
            **self.engines[name].env,
            "TICK_LOG": str(log),
            "PYTHONPATH": "" if self.engines[name].requirements == OURS else str(ROOT),
            "PATH": f"{python.parent}:{os.environ['PATH']}",
        }
        launch = Launch(
            command=command,
            env=env,
            workdir=workdir,
            log=log,
            timeout_s=self.options.timeout,
            sample_memory=sample_memory,
        )
        return run_once(workload, slots, launch)

    def document(self) -> dict[str, Any]:
        """Everything that was measured, and on what."""
        options = self.options
        return {
            "name": options.name,
            "note": options.note,
            "machine": machine.describe(self.scratch),
            "seed": options.seed,
            "scale": options.scale,
            "repeats": options.repeats,
            "floor": self.floor,
            "workloads": {
                w.name: {
                    "question": w.question,
                    "tasks": len(w.tasks),
                    "slots": options.slots or w.slots,
                    "lower_bound_s": w.lower_bound_s,
                    "shape": w.shape,
                }
                for w in self.workloads.values()
            },
            "engines": {name: self._about(engine) for name, engine in self.engines.items()},
            "unavailable": self.unavailable,
            "runs": self.runs,
        }

    def _about(self, engine: Engine) -> dict[str, Any]:
        about = {"title": engine.title, "duties": engine.duties, "kinds": sorted(engine.kinds)}
        if engine.name in self.pythons and engine.requirements:
            found = versions(self.pythons[engine.name])
            about["versions"] = {name: found.get(name, "?") for name in engine.shows}
        return about


def _env_name(engine: Engine) -> str:
    """Variants of one peer share an environment."""
    return engine.name.partition("-")[0]


def _line(name: str, workload: Workload, repeat: int, outcome: Outcome) -> str:
    head = f"{repeat}  {workload.name:8}  {name:20}"
    if outcome.figures is None:
        return f"{head}  INVALID: {outcome.wrong[0][:300]}"
    f = outcome.figures
    memory = f"  peak {f.peak_mb:.0f} MB" if f.peak_mb is not None else ""
    return (
        f"{head}  whole {f.whole_s:7.3f} s  first {f.first_task_s:6.3f} s"
        f"  steady {f.steady_ms:7.3f} ms  CPU {f.engine_cpu_ms:6.2f} ms a task{memory}"
        f"  other load {f.other_load:.0%}"
    )


def run(options: argparse.Namespace) -> int:
    """Measure, record, report."""
    become_reaper()
    workloads = {
        name: GENERATORS[name](scale=options.scale, seed=options.seed) for name in options.workloads
    }
    engines = {name: ENGINES[name] for name in options.engines}
    scratch = Path(tempfile.mkdtemp(prefix="bench-", dir=options.scratch))
    session = Session(
        engines=engines,
        workloads=workloads,
        options=options,
        tools=compile_tools(options.cache),
        scratch=scratch,
    )
    session.install()
    options.results.mkdir(parents=True, exist_ok=True)
    path = options.results / f"{options.name}.json"
    for _ in session.measure():
        path.write_text(json.dumps(session.document(), indent=1) + "\n")
    print(f"figures: {path}", file=sys.stderr)
    _report(session.document(), docs=options.docs)
    session.tidy()
    invalid = [r for r in session.runs if r["wrong"]]
    if invalid:
        print(f"{len(invalid)} invalid runs, kept in {scratch}", file=sys.stderr)
    elif not options.keep:
        shutil.rmtree(scratch)
    return 1 if invalid else 0


def _report(document: dict[str, Any], *, docs: bool) -> None:
    print(report.tables(document))
    if docs:
        report.write_docs(document, ROOT / "docs")


def show(options: argparse.Namespace) -> int:
    """Write a report again."""
    document = json.loads((options.results / f"{options.name}.json").read_text())
    _report(document, docs=options.docs)
    return 0


def check(options: argparse.Namespace) -> int:
    """Check one log."""
    workload = from_json(options.workload.read_text())
    slots = options.slots or workload.slots
    found = violations(workload, read_log(options.log), slots=slots)
    print("\n".join(found) or f"{len(workload.tasks)} tasks, each once and after its dependencies")
    return 1 if found else 0


def list_all(_: argparse.Namespace) -> int:
    """Say what there is."""
    for name, engine in ENGINES.items():
        pinned = ", ".join(r for r in engine.requirements if not r.startswith("-e"))
        print(f"{name:20} {engine.title:36} {pinned}")
    print()
    for name, generate in GENERATORS.items():
        workload = generate(scale=1.0, seed=1)
        about = f"{len(workload.tasks)} tasks, {workload.slots} slots"
        print(f"{name:20} {about:24} {workload.question}")
    return 0


def positive(text: str) -> float:
    """Read a number above 0."""
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    sub = commands.add_parser("run", help="measure engines on workloads")
    sub.set_defaults(call=run)
    run_arguments(sub, ENGINES, GENERATORS, DEFAULT)
    again = commands.add_parser("report", help="print recorded figures again")
    again.set_defaults(call=show)
    again.add_argument("name", help="of the results file, without .json")
    for sub in (again, commands.choices["run"]):
        sub.add_argument("--docs", action="store_true", help="write docs/benchmarks.md and .svg")
        sub.add_argument("--results", type=Path, default=RESULTS, help="where <name>.json lies")
    checker = commands.add_parser("check", help="check the log of one run")
    checker.set_defaults(call=check)
    checker.add_argument("workload", type=Path, help="workload.json of the run")
    checker.add_argument("log", type=Path, help="tick.log of the run")
    checker.add_argument("--slots", type=int, help="how many tasks may run at once")
    commands.add_parser("list", help="list engines and workloads").set_defaults(call=list_all)
    return top


def run_arguments(
    sub: argparse.ArgumentParser,
    engines: Mapping[str, Engine],
    workloads: Mapping[str, Callable[..., Workload]],
    usual: Sequence[str],
) -> None:
    """Say how to measure some of these engines on some of these workloads."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    many: dict[str, Any] = {"nargs": "+", "metavar": "NAME"}
    sub.add_argument(
        "-e", "--engines", choices=engines, default=list(engines), **many, help="default: all"
    )
    sub.add_argument(
        "-w",
        "--workloads",
        choices=workloads,
        default=list(usual),
        **many,
        help=f"default: {' '.join(usual)}",
    )
    sub.add_argument("-r", "--repeats", type=int, default=5, help="timed rounds (default 5)")
    sub.add_argument("--name", default="latest", help="of the results file (default latest)")
    sub.add_argument("--note", default="", help="what a reader must know, e.g. a busy machine")
    sub.add_argument("--scale", type=positive, default=1.0, help="0.1: a tenth of the tasks")
    sub.add_argument("--slots", type=int, help="tasks at once (default: the workload's)")
    sub.add_argument("--seed", type=int, default=1, help="of workloads and order (default 1)")
    sub.add_argument("--timeout", type=positive, default=300.0, help="seconds a run may take")
    sub.add_argument("--cache", type=Path, default=cache / "euclid-dask-benchmarks")
    sub.add_argument(
        "--scratch",
        type=Path,
        help="where runs take place (default: TMPDIR); in memory, ratios are steadier",
    )
    sub.add_argument("--keep", action="store_true", help="keep the workdirs of valid runs too")


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
