"""What a measurement needs beside the project: a compiled task program, an environment per engine.

All of it lives in one cache directory, keyed by what it was made from, so that peers never touch
the environment of the project.
"""

import hashlib
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

NATIVE = Path(__file__).parent / "native"
ROOT = Path(__file__).parent.parent


class UnavailableError(Exception):
    """An engine or a tool cannot be had here; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The compiled programs."""

    tick: Path
    spawner: Path


def compile_tools(cache: Path) -> Tools:
    """Compile the task program and the spawner, once per source text.

    Raises:
        UnavailableError: there is no gcc, or it fails.
    """
    return Tools(tick=_compile("tick", cache), spawner=_compile("spawner", cache))


def _compile(name: str, cache: Path) -> Path:
    source = NATIVE / f"{name}.c"
    target = cache / "bin" / _key(source.read_text()) / name
    if not target.exists():
        gcc = shutil.which("gcc")
        if gcc is None:
            raise UnavailableError("gcc is not installed: the task program is compiled")
        target.parent.mkdir(parents=True, exist_ok=True)
        _call([gcc, "-O2", "-Wall", "-Wextra", "-o", str(target), str(source)])
    return target


def environment(cache: Path, name: str, requirements: tuple[str, ...]) -> Path:
    """Return the Python of the engine's own environment, made on first use.

    Raises:
        UnavailableError: pip cannot install it; the reason is its last line.
    """
    sources = "".join((ROOT / "pyproject.toml").read_text() for r in requirements if r[:2] == "-e")
    key = _key(sys.version + sysconfig.get_platform() + "\n".join(requirements) + sources)
    root = cache / "envs" / f"{name}-{key}"
    python, ready = root / "bin" / "python", root / ".ready"
    if not ready.exists():
        shutil.rmtree(root, ignore_errors=True)
        venv.create(root, with_pip=True, symlinks=True)
        _call([str(python), "-m", "pip", "install", "-q", *_arguments(requirements)])
        ready.touch()
    return python


@cache
def versions(python: Path) -> dict[str, str]:
    """Return the version of every package in an environment."""
    text = _call([str(python), "-m", "pip", "list", "--format=freeze", "--exclude=pip"])
    pairs = (line.partition("==") for line in text.splitlines() if "==" in line)
    return {name: version for name, _, version in pairs}


def _arguments(requirements: tuple[str, ...]) -> list[str]:
    return [word for requirement in requirements for word in requirement.split(" ")]


def _call(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines() or ["no message"]
        errors = [line for line in lines if "error" in line.lower()] or lines
        raise UnavailableError(errors[-1][:300])
    return result.stdout


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
