"""What the figures were measured on."""

import os
import platform
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def describe(scratch: Path) -> dict[str, Any]:
    """Describe the machine, the Python and the code that is measured."""
    return {
        "cpu": _first(r"model name\s*: (.*)", "/proc/cpuinfo"),
        "cores": os.cpu_count(),
        "ram_gb": round(int(_first(r"MemTotal:\s*(\d+)", "/proc/meminfo") or 0) / 2**20, 1),
        "kernel": platform.release(),
        "system": _first(r'PRETTY_NAME="(.*)"', "/etc/os-release"),
        "python": platform.python_version(),
        "python_optimized": "--enable-optimizations"
        in (sysconfig.get_config_var("CONFIG_ARGS") or ""),
        "python_compiler": platform.python_compiler(),
        "gcc": _line(["gcc", "--version"]),
        "scratch": _filesystem(scratch),
        "commit": _line(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]),
        "uncommitted": bool(_line(["git", "-C", str(ROOT), "status", "--porcelain", "-uno"])),
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
    }


def load_average() -> tuple[float, float, float]:
    """Processes waiting to run, averaged over 1, 5 and 15 minutes."""
    return os.getloadavg()


def _first(pattern: str, path: str) -> str:
    file = Path(path)
    match = re.search(pattern, file.read_text()) if file.exists() else None
    return match[1].strip() if match else ""


def _line(command: list[str]) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return (result.stdout.splitlines() or [""])[0] if result.returncode == 0 else ""


def _filesystem(path: Path) -> str:
    """The type of the file system that holds `path`: creating files costs differently on each."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    holding = [m for m in mounts if path.resolve().is_relative_to(m[1])]
    return max(holding, key=lambda m: len(m[1]))[2] if holding else ""
