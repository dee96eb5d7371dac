"""How soon is all of a task gone that has crossed its limit?

Runs hogs by `euclid-dask run`, with its usual settings, and watches their processes from outside:
one that eats RAM in a grandchild, one that ignores SIGTERM when its walltime is over, and one whose
daemon has left its tree. The time is that from the last look at which the RAM was within its limit,
or from the end of the walltime, to the first look at which no process was left. The exit code is 1
if one of them is not killed, or later than the target.

    python -m benchmarks.limits [--repeats 3] [--grace 3] [--json]
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import machine
from euclid_dask.core.attempts import FailureKind
from euclid_dask.core.events import TaskErred, TaskStarted
from euclid_dask.runner.journal import read_journal
from euclid_dask.runner.workspace import Workspace
from euclid_dask.worker.procfs import Process, command_line, lives, living, send

TARGET_S = 5.0
LOOK_S = 0.02
PATIENCE_S = 120.0

FOOD = 400_000_000
WITH_GRANDCHILD = f"""
import subprocess, sys, time
eat = "import time; food = b'x' * {FOOD}; open('eaten', 'a').write('.'); time.sleep({{naps}})"
naps = {{naps}} if len(open("starts").readlines()) == 1 else 0
subprocess.run([sys.executable, "-c", eat.replace("{{naps}}", str(naps))], check=True)
open("python3/done.txt", "w").write("ok")
"""
STUBBORN = """
import signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(open("starts").readlines()) == 1:
    subprocess.run(["sh", "-c", "trap '' TERM; sleep {naps}; :"])
open("python3/done.txt", "w").write("ok")
"""
DAEMON = """
import os, time
if len(open("starts").readlines()) == 1:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execlpe("sleep", "sleep", "{naps}", {})
        os._exit(0)
    os.wait()
    time.sleep(100)
open("python3/done.txt", "w").write("ok")
"""
NOTED = "open('starts', 'a').write('started\\n')\n"
"""How each of them begins."""
PIPELINE = """\
from euclid_dask import ComputingResources, Executable, Output, pipeline

hog = Executable(
    "python3 {program}",
    outputs=[Output("done", mime_type="txt")],
    resources=ComputingResources(ram={ram}, walltime={walltime_s} / 3600),
)


@pipeline(outputs=("done",))
def one():
    return hog()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hog:
    """A program that crosses one of its limits: its RAM, in GB, or its walltime."""

    title: str
    script: str
    kind: FailureKind
    ram: float = 1.0
    walltime_s: float = 3600.0


HOGS = {
    "ram": Hog(
        title="eats RAM in a grandchild",
        script=WITH_GRANDCHILD,
        kind=FailureKind.MEMORY,
        ram=0.15,
    ),
    "stubborn": Hog(
        title="ignores SIGTERM, as its child does",
        script=STUBBORN,
        kind=FailureKind.WALLTIME,
        walltime_s=1.5,
    ),
    "daemon": Hog(
        title="has a daemon that forked twice",
        script=DAEMON,
        kind=FailureKind.WALLTIME,
        walltime_s=1.5,
    ),
}


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.limits",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=int, default=3, help="of each hog (default 3)")
    parser.add_argument("--grace", type=float, default=3.0, help="the --grace of run (default 3)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    load = machine.load_average()[0]
    with TemporaryDirectory() as folder:
        found = {
            name: [killed_after_s(hog, Path(folder), given.grace) for _ in range(given.repeats)]
            for name, hog in HOGS.items()
        }
        about = machine.describe(Path(folder))
    hogs = {name: figures(taken) for name, taken in found.items()}
    if given.json:
        print(json.dumps({"machine": about, "load": load, "target_s": TARGET_S, "hogs": hogs}))
    else:
        print(f"gone after the limit, {given.repeats} runs of each; load {load:.1f}")
        for name, row in hogs.items():
            times = "not killed" if row["max_s"] is None else "{median_s:.2f} s".format(**row)
            most = "" if row["max_s"] is None else "largest {max_s:.2f} s".format(**row)
            print(f"  {HOGS[name].title:36} {times:>10}  {most:16} {row['killed']} killed")
        print(f"  target: at most {TARGET_S:g} s")
    return int(any(after_s > TARGET_S for taken in found.values() for after_s in taken))


def figures(taken: list[float]) -> dict[str, Any]:
    """Return how many were killed, and after what times."""
    killed = [after_s for after_s in taken if after_s < inf]
    return {
        "runs": len(taken),
        "killed": len(killed),
        "median_s": round(statistics.median(killed), 3) if killed else None,
        "max_s": round(max(killed), 3) if killed else None,
    }


def killed_after_s(hog: Hog, folder: Path, grace_s: float) -> float:
    """Run a hog; return how long after it crossed its limit all of it was gone, inf if it lives."""
    naps = f"300.{os.getpid()}{time.time_ns() // 1000}"  # in all its command lines, in no others
    place = folder / naps
    place.mkdir()
    program = place / "program.py"
    program.write_text(NOTED + hog.script.replace("{naps}", naps))
    (place / "hog.py").write_text(
        PIPELINE.format(program=program, ram=hog.ram, walltime_s=hog.walltime_s)
    )
    words = ["run", "hog.py", "--workdir", "w", "--executor", "inline", "--larger-retries", "0"]
    words += ["--cores", "2", "--ram", "4GB", "--grace", str(grace_s), "--quiet"]
    with (place / "said").open("wb") as said:
        run = subprocess.Popen(
            [sys.executable, "-m", "euclid_dask", *words], cwd=place, stdout=said, stderr=said
        )
    try:
        within_s, gone_s = watch(run, naps, hog.ram * 1e9)
    finally:
        run.kill()
        run.wait()
        for process in tree(naps):
            send(process, signal.SIGKILL)
    workspace = Workspace(place / "w")
    events = list(read_journal(workspace.files(workspace.find(None)).journal))
    kinds = [event.failure.kind for event in events if isinstance(event, TaskErred)]
    if kinds != [hog.kind]:
        return inf
    if hog.kind is FailureKind.MEMORY:
        return gone_s - within_s
    (started_s,) = (event.at_s for event in events if isinstance(event, TaskStarted))
    return gone_s - started_s - hog.walltime_s


def watch(run: "subprocess.Popen[bytes]", naps: str, ram_bytes: float) -> tuple[float, float]:
    """Return when the hog was last seen within its RAM, and when it was gone, inf if it is not."""
    within_s, gone_s, is_beyond = 0.0, inf, False
    known: dict[int, Process] = {}  # one that is ending has no command line any more
    ends_s = time.time() + PATIENCE_S
    while time.time() < ends_s:
        has_ended, look_s = run.poll() is not None, time.time()
        processes = tree(naps)
        known |= {one.pid: one for one in processes}
        if any(lives(one) for one in known.values()):
            gone_s = inf
            is_beyond = is_beyond or sum(one.rss_bytes for one in processes) > ram_bytes
            within_s = within_s if is_beyond else look_s
        elif known:
            gone_s = min(gone_s, time.time())
        if has_ended:
            break
        time.sleep(LOOK_S)
    return within_s, gone_s


def tree(naps: str) -> list[Process]:
    """Return the living processes of a hog."""
    return [one for one in living() if naps in command_line(one.pid)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
