"""Counts copies in three ways that know nothing of each other, and must agree.

The registry says what its transfers wrote; the disks say how many files have that content; the
kernel says how many bytes the processes wrote. A copy by way of a temporary file shows in the last
one only. Links count in none of them.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from euclid_dask.data.hashing import CHUNK_BYTES, hash_chunks, mismatch, wanted
from euclid_dask.data.model import File, Transfer
from euclid_dask.data.stage import Manifest, Method


def copied_bytes(transfers: Iterable[Transfer]) -> int:
    """Return how many bytes transfers wrote, as the registry has it."""
    return sum(transfer.bytes_copied for transfer in transfers)


def files_with_content(file: File, roots: Iterable[Path]) -> int:
    """Return how many files below some directories have the content of `file`.

    Names of one file, and links to it, count once; a reflink counts as one more.
    """
    inodes: dict[tuple[int, int], bool] = {}
    for root in roots:
        for directory, _, names in os.walk(root):
            for path in (Path(directory, name) for name in names):
                status = path.lstat()
                key = (status.st_dev, status.st_ino)
                if key not in inodes and status.st_size == file.size and path.is_file():
                    inodes[key] = not path.is_symlink() and _has_content(path, file)
    return sum(inodes.values())


def written_bytes(processes: Iterable[int]) -> int:
    """Return how many bytes processes, and children they waited for, wrote to disks.

    File systems in memory are not counted.
    Source: Linux manual page proc_pid_io(5), `write_bytes`.
    """
    return sum(_written(process) for process in processes)


def staged_bytes(manifests: Iterable[Manifest]) -> Mapping[Method, int]:
    """Return how many bytes were staged by each method; all but those copied were avoided."""
    counts = Counter[Method]()
    for manifest in manifests:
        for entry in manifest.entries:
            counts[entry.method] += entry.file.size
    return counts


def _has_content(path: Path, file: File) -> bool:
    with path.open("rb") as opened:
        hasher = hash_chunks(iter(lambda: opened.read(CHUNK_BYTES), b""), wanted(file))
    return not mismatch(file, hasher.size, hasher.checksums())


def _written(process: int) -> int:
    for line in Path(f"/proc/{process}/io").read_text().splitlines():
        name, _, value = line.partition(": ")
        if name == "write_bytes":
            return int(value)
    return 0
