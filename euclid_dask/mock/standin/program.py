"""A stand-in for a science program: uses resources like one, and writes outputs that are valid.

This package is copied beside the stand-ins, so it knows nothing of ours. It is started thousands
of times: it imports only what is built into the interpreter, and what costs more where it is
needed. What it writes depends on the seed, the task and the content of all inputs.
"""

import posix
import sys
import time

from euclid_dask.mock.standin.files import digest, write, write_file
from euclid_dask.mock.standin.load import burn, burn_in_child, busy_shares, touch, write_and_read
from euclid_dask.mock.standin.plans import (
    Plans,
    ProgramPlan,
    RefusedError,
    matching,
    parse_options,
    plan_of_task,
    prefix_length,
)
from euclid_dask.mock.standin.reading import digest_file

EXIT_FAILED = 1
EXIT_REFUSED = 2
EXIT_UNKNOWN = 127

_BROKEN = {"xml": b"<broken", "json": b"[", "list": b"["}
_INTERPRETERS = ("bash", "env", "java", "perl", "python", "sh")


def main(plans: Plans) -> None:
    """Run the stand-in that the command line means, and end the process."""
    try:
        code = run(plans, sys.argv)
    except RefusedError as error:
        _say(2, f"{sys.argv[0].rpartition('/')[2]} (stand-in): {error}")
        code = EXIT_REFUSED
    except OSError as error:
        _say(2, f"{sys.argv[0].rpartition('/')[2]} (stand-in): {error}")
        code = EXIT_FAILED
    posix._exit(code)  # noqa: SLF001  the interpreter has nothing to tidy up


def run(plans: Plans, argv: list[str]) -> int:
    """Behave as the executable that `argv` means; return the exit code."""
    words = [argv[0].rpartition("/")[2], *argv[1:]]
    found = matching(plans, words)
    if not found:
        return _no_stand_in(plans, argv, words)
    first = ProgramPlan(**found[0])  # type: ignore[arg-type]
    options = parse_options(words[prefix_length(first, words) :])
    logdir = options.get("logdir", "")
    task = logdir.rstrip("/").rpartition("/")[2]
    plan = first if len(found) == 1 else plan_of_task(found, options, task)
    if not task:
        paths = [options[port] for port in plan.outputs if port in options]
        folder = paths[0].rpartition("/")[0] if paths else ""
        task = folder.rpartition("/")[2] or plan.name
    return Stand(plan, task, options).run()


class Stand:
    """One run of a stand-in."""

    def __init__(self, plan: ProgramPlan, task: str, options: dict[str, str]) -> None:
        self.plan = plan
        self.task = task
        self.options = options
        self.workdir = options.get("workdir") or "."
        self.lineage = [("executable", plan.name), ("task", task), ("seed", str(plan.seed))]

    def run(self) -> int:
        """Check, use resources, fail or write the outputs; return the exit code."""
        plan = self.plan
        began_s = time.monotonic()
        low, high = plan.duration
        until_s = began_s + low + (high - low) * chance(plan.seed, self.task, "duration")
        self._check_outputs()
        self._read_inputs()
        self._use(until_s)
        broken = False
        if self._is_to_fail():
            if plan.failure != "bad-output" or not plan.outputs:
                return self._fail()
            broken = True
        for number, (port, output) in enumerate(plan.outputs.items()):
            path = self.options[port]
            if broken and number == 0:
                kind = "list" if output.depth else output.kind
                write(f"{self.workdir}/{path}", _BROKEN.get(kind, b""))
            else:
                lineage = [*self.lineage, ("output", port)]
                write_file(self.workdir, path, output, lineage, self.task)
        _say(1, f"{plan.name} (stand-in): {self.task} wrote {len(plan.outputs)} outputs")
        return 0

    def _check_outputs(self) -> None:
        missing = [port for port in self.plan.outputs if not self.options.get(port)]
        if missing:
            raise RefusedError(f"no file is given for output {missing[0]}: --{missing[0]}=FILE")

    def _read_inputs(self) -> None:
        for port in self.plan.inputs:
            value = self.options.get(port)
            if value is None or value == "None":
                continue
            if value in self.plan.texts:
                self.lineage.append((f"text {port}", value))
                continue
            found = digest_file(self.workdir, value, f"input {port}")
            self.lineage.append((f"input {port}", f"{value} {found}"))

    def _use(self, until_s: float) -> None:
        """Use cores, RAM and disk until the time has come."""
        plan = self.plan
        shares = busy_shares(plan.cores, plan.cpu)
        children = [burn_in_child(share, until_s) for share in shares[1:]]
        held = touch(plan.ram) if plan.ram else b""
        if plan.io:
            scratch = self.options.get("logdir") or "."
            folder = scratch if scratch.startswith("/") else f"{self.workdir}/{scratch}"
            write_and_read(f"{folder}/scratch.{posix.getpid()}", plan.io)
        burn(shares[0] if shares else 0.0, until_s)
        for child in children:
            posix.waitpid(child, 0)
        del held

    def _is_to_fail(self) -> bool:
        plan = self.plan
        if chance(plan.seed, self.task, "failure") >= plan.failure_rate:
            return False
        if not plan.failing_attempts:
            return True
        attempt = posix.environ.get(b"EUCLID_DASK_ATTEMPT", b"1")
        return not attempt.isdigit() or int(attempt) <= plan.failing_attempts

    def _fail(self) -> int:
        plan = self.plan
        if plan.failure == "signal":
            posix.kill(posix.getpid(), 9)
        while plan.failure == "hang":
            time.sleep(3600)  # noqa: TID251  a program that hangs
        _say(
            2,
            f"{plan.name} (stand-in): {self.task} fails as planned: failure_rate is "
            f"{plan.failure_rate:g}, seed is {plan.seed}",
        )
        return EXIT_FAILED


def chance(seed: int, task: str, what: str) -> float:
    """Return a number from 0 up to 1 that is always the same for the same arguments."""
    return int(digest(f"{seed} {what} {task}".encode())[:12], 16) / float(1 << 48)


def _no_stand_in(plans: Plans, argv: list[str], words: list[str]) -> int:
    """Start the real program if it is an interpreter; else say what there is."""
    if words[0].startswith(_INTERPRETERS):
        here = argv[0].rpartition("/")[0]
        for raw in posix.environ.get(b"PATH", b"").split(b":"):
            folder = raw.decode("utf-8", "surrogateescape")
            if folder and folder != here:
                try:
                    posix.execv(f"{folder}/{words[0]}", argv)
                except OSError:
                    continue
    commands = sorted(" ".join(plan["command"]) for plan in plans.values())  # type: ignore[arg-type]
    known = [command for command in commands if command.split(" ")[0] == words[0]]
    _say(2, f"{' '.join(words[:6])}: there is no stand-in for this; there are: {'; '.join(known)}")
    return EXIT_UNKNOWN


def _say(descriptor: int, text: str) -> None:
    posix.write(descriptor, f"{text}\n".encode("utf-8", "surrogateescape"))
