"""How long does `euclid-dask check` take for a script of 60 tasks?

    python -m benchmarks.check_time [--tasks 60] [--repeats 9] [--json]

Times the whole command from outside, beside an interpreter that does nothing, in turn.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKAGE = """\
from euclid_dask import ComputingResources, Executable, Input, Output

{definitions}
"""
EXECUTABLE = """\
step_{number} = Executable(
    "E-Run PROJECT 1.0 step_{number}",
    inputs=[Input("image"), Input("params")],
    outputs=[Output("result")],
    resources=ComputingResources(cores=1, ram=0.5, walltime=0.5),
)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        script = write_script(Path(folder), given.tasks)
        lines = {
            "python": [sys.executable, "-c", "pass"],
            "check": [sys.executable, "-m", "euclid_dask", "check", str(script)],
        }
        taken: dict[str, list[float]] = {name: [] for name in lines}
        for _ in range(given.repeats):
            for name, line in lines.items():
                begun = time.perf_counter()
                subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
                taken[name].append(time.perf_counter() - begun)
    figures = {
        name: {"median_s": statistics.median(found), "min_s": min(found), "max_s": max(found)}
        for name, found in taken.items()
    }
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, load " + str(
        os.getloadavg()[0]
    )
    if given.json:
        print(json.dumps({"tasks": given.tasks, "machine": machine, **figures}))
        return
    print(f"check of {given.tasks} tasks, {given.repeats} repeats in turn; {machine}")
    for name, row in figures.items():
        low, high = row["min_s"], row["max_s"]
        print(f"  {name:8} {row['median_s']:.3f} s  ({low:.3f} to {high:.3f})")


def write_script(folder: Path, tasks: int) -> Path:
    """Write a pipeline of a chain of `tasks` executables, and its package definition."""
    definitions = "\n".join(EXECUTABLE.format(number=number) for number in range(tasks))
    (folder / "pkgdef.py").write_text(PACKAGE.format(definitions=definitions))
    names = ", ".join(f"step_{number}" for number in range(tasks))
    calls = "\n".join(f"    image = step_{n}(image=image, params=params)" for n in range(tasks))
    script = folder / "script.py"
    script.write_text(
        f"from euclid_dask import pipeline\nfrom pkgdef import {names}\n\n"
        f'@pipeline(outputs=("result",))\ndef chain(image, params):\n{calls}\n    return image\n'
    )
    return script


if __name__ == "__main__":
    main()
