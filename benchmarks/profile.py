"""Where does the time of a short task go? A sampling profiler (py-spy) beside `euclid-dask run`.

    python -m benchmarks.profile                    bag and chains, as a table
    python -m benchmarks.profile --docs             the same into docs/benchmarks.md
    python -m benchmarks.profile -w scatter --json

Samples of all threads that are not idle, 500 times a second, are counted for the room of
`euclid_dask` whose frame is innermost; beside it stands the call that it was in. Samples that wait
for a lock, a queue or a child are left out: what remains is what the runner's process does for a
task, starting it included. Sampling stops the process for moments, so compare shares, not seconds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import machine
from benchmarks.engines import Job
from benchmarks.engines.ours import ENGINES, OURS
from benchmarks.envs import compile_tools, environment
from benchmarks.report import replace_between, table
from benchmarks.run import ROOT
from benchmarks.workloads import GENERATORS, Workload

BEGIN, END = "<!-- profile: begin -->", "<!-- profile: end -->"
RATE = 500
SAMPLER = ("py-spy==0.4.3",)
CALLS = 3
"""How many calls are named for each room."""
WAITS = frozenset(
    {"Condition.wait", "wait", "_worker", "QueueInbox.take", "Child.wait", "accept", "select"}
)
"""Calls that only wait; a sampler that looks from outside cannot tell all of them."""


@dataclass(slots=True)
class Room:
    """Samples of one room, and the calls they were in."""

    samples: int = 0
    calls: Counter[str] = field(default_factory=Counter)


def rooms(lines: Iterable[str]) -> dict[str, Room]:
    """Count folded stacks (`outer (file:line);...;inner (file:line) COUNT`) by room, without waits.

    >>> found = rooms(["run (euclid_dask/runner/loop.py:1);fsync (os.py:2) 3"])
    >>> found["runner/loop"].samples, dict(found["runner/loop"].calls)
    (3, {'fsync': 3})
    """
    found: dict[str, Room] = {}
    for line in lines:
        stack, _, count = line.rstrip().rpartition(" ")
        frames = stack.split(";")
        call = frames[-1].partition(" (")[0]
        if call in WAITS:
            continue
        room = found.setdefault(_room(frames), Room())
        room.samples += int(count)
        room.calls[call] += int(count)
    return dict(sorted(found.items(), key=lambda item: -item[1].samples))


def _room(frames: list[str]) -> str:
    if any("importlib._bootstrap>" in frame for frame in frames):
        return "imports"
    for frame in reversed(frames):
        _, inside, place = frame.rpartition("euclid_dask/")
        if inside:
            return place.partition(".py:")[0]
    return "Python's own"


def profile(name: str, workload: Workload, cache: Path, scratch: Path) -> dict[str, Room]:
    """Run a workload under the profiler.

    Raises:
        UnavailableError: py-spy cannot be installed, or there is no gcc.
        CalledProcessError: the run failed.
    """
    tools = compile_tools(cache)
    sampler = environment(cache, "py-spy", SAMPLER).parent / "py-spy"
    workdir, stacks = scratch / workload.name, scratch / f"{workload.name}.stacks"
    for folder in ("out", "logs"):
        (workdir / folder).mkdir(parents=True)
    job = Job(
        workload=workload,
        slots=workload.slots,
        workdir=workdir,
        tick=tools.tick,
        spawner=tools.spawner,
        python=environment(cache, "ours", OURS),
    )
    engine = next(engine for engine in ENGINES if engine.name == name)
    record = ["record", "--format=raw", f"--rate={RATE}", "--full-filenames", f"--output={stacks}"]
    subprocess.run(
        [str(sampler), *record, "--", str(job.python), *engine.prepare(job)],
        env={**os.environ, "TICK_LOG": str(workdir / "tick.log")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return rooms(stacks.read_text().splitlines())


def shown(workload: Workload, found: dict[str, Room], most: int) -> str:
    """Return the table of one workload in Markdown."""
    total = sum(room.samples for room in found.values())
    rows = []
    for name, room in list(found.items())[:most]:
        calls = ", ".join(
            f"`{call}` {samples / total:.0%}"
            for call, samples in room.calls.most_common(CALLS)
            if samples / total >= 0.01
        )
        rows.append([f"`{name}`", f"{room.samples / total:.0%}", calls])
    about = f"`{workload.name}`, {len(workload.tasks)} tasks, {total} samples at work:"
    return f"{about}\n\n{table(['where', 'share', 'of that, in'], rows)}"


def main(arguments: list[str]) -> int:
    """Profile and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [engine.name for engine in ENGINES]
    parser.add_argument(
        "-w", "--workloads", nargs="+", choices=GENERATORS, default=["bag", "chains"]
    )
    parser.add_argument("-e", "--engine", choices=names, default="ours", help="(default ours)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the workloads (default 1)")
    parser.add_argument("--rows", type=int, default=12, help="of each table (default 12)")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/euclid-dask-benchmarks")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        found = {}
        for name in options.workloads:
            workload = GENERATORS[name](scale=options.scale, seed=1)
            found[name] = (
                workload,
                profile(options.engine, workload, options.cache, Path(scratch)),
            )
        about = machine.describe(Path(scratch))
    if options.json:
        counted = {
            name: {room: {"samples": r.samples, "calls": r.calls} for room, r in all_rooms.items()}
            for name, (_, all_rooms) in found.items()
        }
        print(json.dumps({"machine": about, "rate": RATE, "samples": counted}, indent=1))
        return 0
    text = "\n".join(shown(*one, options.rows) for one in found.values())
    if options.docs:
        replace_between(ROOT / "docs" / "benchmarks.md", BEGIN, END, text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
