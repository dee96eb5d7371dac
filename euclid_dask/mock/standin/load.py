"""The resources that a stand-in uses: cores, RAM that is resident, disk."""

# ruff: noqa: PTH123  imports cost more than the work of a small stand-in

import posix
import time

_CHUNK = 1 << 20
_PAGE = 4096


def touch(ram_bytes: int) -> bytearray:
    """Return memory that fills the process up to `ram_bytes`, every page of it resident."""
    with open("/proc/self/statm", "rb", buffering=0) as file:
        resident = int(file.read().split()[1]) * _PAGE
    memory = bytearray(max(0, ram_bytes - resident))
    memory[::_PAGE] = b"\1" * len(range(0, len(memory), _PAGE))
    return memory


def burn(share: float, until_s: float) -> None:
    """Keep this process busy for a share (0 to 1) of the time until then."""
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    while (now_s := time.monotonic()) < until_s:
        if time.process_time() - began_cpu_s < share * (now_s - began_s):
            for _ in range(5000):
                pass
        else:
            step_s = 0.02 if share else until_s - now_s
            time.sleep(min(step_s, until_s - now_s))  # noqa: TID251  it stands in for work


def write_and_read(path: str, size: int) -> None:
    """Write a scratch file of that many bytes, read it again and remove it."""
    block = b"io" * (_CHUNK // 2)
    try:
        with open(path, "wb", buffering=0) as file:
            file.writelines(block[: size - start] for start in range(0, size, _CHUNK))
        with open(path, "rb", buffering=0) as file:
            while file.read(_CHUNK):
                pass
    finally:
        posix.unlink(path)


def burn_in_child(share: float, until_s: float) -> int:
    """Burn in a child; return its process id."""
    child = posix.fork()
    if not child:
        burn(share, until_s)
        posix._exit(0)  # noqa: SLF001
    return child


def busy_shares(cores: float, cpu: float) -> list[float]:
    """Return how busy each process is to keep `cores` busy for the share `cpu` of the time."""
    if not cpu:
        return []
    whole = int(cores)
    rest = cores - whole
    return [cpu] * whole + ([cpu * rest] if rest > 0 else [])
