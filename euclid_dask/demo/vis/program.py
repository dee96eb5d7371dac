"""What a program of the demo is: a command line, one step, an exit code.

Rule 1: a program is told files and nothing else: `--workdir`, `--logdir`, one option a port.
Rule 2: wrong input ends a program with status 1 and one sentence on stderr.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn


class VisError(Exception):
    """An input cannot be used; the message is one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the command line said.

    Args:
        workdir: the folder that all paths are relative to.
        paths: relative path of each port that was given.
        options: value of each literal option.
    """

    workdir: Path
    paths: Mapping[str, str]
    options: Mapping[str, float]

    def source(self, port: str) -> Path:
        """Return the file of an input port.

        Raises:
            VisError: the file does not exist.
        """
        path = self.workdir / self.paths[port]
        if not path.is_file():
            raise VisError(f"input '{port}' names '{self.paths[port]}', which is not a file")
        return path

    def target(self, port: str) -> Path:
        """Return the file of an output port, in a folder that exists."""
        path = self.workdir / self.paths[port]
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class _Parser(argparse.ArgumentParser):
    """A parser that complains in one sentence."""

    def error(self, message: str) -> NoReturn:
        raise VisError(f"the command line is wrong: {message}")


def run(
    step: Callable[[Call], None],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    options: Mapping[str, float] | None = None,
) -> NoReturn:
    """Read the command line, do one step and leave the process.

    Args:
        step: the science.
        inputs: names of the input ports.
        outputs: names of the output ports.
        options: name and default of each literal option.
    """
    defaults = dict(options or {})
    parser = _Parser(description=step.__doc__, allow_abbrev=False)
    parser.add_argument("--workdir", required=True, type=Path, help="folder of all files")
    parser.add_argument("--logdir", default="logs", help="folder of log files; not used")
    for port in inputs:
        parser.add_argument(f"--{port}", required=True, help="input, relative to the workdir")
    for port in outputs:
        parser.add_argument(f"--{port}", required=True, help="output, relative to the workdir")
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    try:
        given = vars(parser.parse_args())
        call = Call(
            workdir=given["workdir"],
            paths={port: given[port] for port in (*inputs, *outputs)},
            options={name: given[name] for name in defaults},
        )
        if not call.workdir.is_dir():
            raise VisError(f"the workdir '{call.workdir}' is not a folder")  # noqa: TRY301
        step(call)
    except (VisError, OSError) as error:
        reason = " ".join(str(error).split())
        sys.exit(f"{Path(sys.argv[0]).stem}: {reason}")
    sys.exit(0)
