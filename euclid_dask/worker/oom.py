"""How often the kernel has killed for lack of memory, among the processes that we share RAM with.

The kernel counts that by cgroup, and a batch job has one of its own. Where it cannot be read, and
where memory is not limited by cgroups, the count stays 0.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")
_NONE: Final = -1


def kills() -> int:
    """Return how many processes the kernel has killed so far in this process's cgroup."""
    counter = _counter()
    if counter == _NONE:
        return 0
    with suppress(OSError):
        return _number(os.pread(counter, 4096, 0)) or 0
    return 0


@cache
def _counter() -> int:
    """Return a descriptor of the file with the count, `_NONE` if there is none."""
    with suppress(OSError):
        for path in _candidates(_OWN.read_text(), _CGROUPS):
            with suppress(OSError):
                found = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                if _number(os.pread(found, 4096, 0)) is not None:
                    return found
                os.close(found)
    return _NONE


def _candidates(own: str, cgroups: Path) -> Iterator[Path]:
    """Yield where the count may be; `own` says in which cgroups this process is.

    In a container the names of cgroups may be those of the host, which are not seen here.
    """
    for line in own.splitlines():
        _, controllers, name = line.split(":", 2)
        if "memory" in controllers.split(","):
            folder, file = cgroups / "memory", "memory.oom_control"
        elif not controllers:
            folder, file = cgroups, "memory.events"
        else:
            continue
        yield folder / name.lstrip("/") / file
        yield folder / file


def _number(text: bytes) -> int | None:
    """Return the count in such a file, None if it is not there (old kernels)."""
    for line in text.splitlines():
        if line.startswith(b"oom_kill "):
            return int(line.split()[1])
    return None
