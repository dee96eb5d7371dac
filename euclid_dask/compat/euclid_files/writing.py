"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file beside its place, and rename it when it is complete and on the disk.

    Raises:
        OSError: It cannot be written; nothing is left, and what was there is as it was.
    """
    target = Path(path)
    half = target.with_name(f".{target.name}.part-{os.getpid()}-{threading.get_ident()}")
    try:
        with half.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        half.replace(target)
        _sync_directory(target.parent)
    except BaseException:
        if half.exists():
            half.unlink()
        raise


def _sync_directory(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
