"""The scheduler file: where the scheduler of a workspace listens now.

A runner that comes back has a new scheduler and writes the file anew, so it is read again and
again. Its form is Dask's own, so `dask worker --scheduler-file` understands it.
"""

import json
import os
from pathlib import Path
from typing import Final

FILE: Final = "scheduler.json"


def write_address(records: Path, address: str, scheduler: str) -> None:
    """Write where the scheduler `scheduler` (its id) listens; the file is there whole or not."""
    half = records / f".{FILE}.{os.getpid()}"
    half.unlink(missing_ok=True)
    content = {"type": "Scheduler", "id": scheduler, "address": address}
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    half.rename(records / FILE)


def read_address(path: Path) -> str:
    """Return where the scheduler listens, "" if that is not known.

    The folder is opened first: by that NFS asks its server whether what it remembers is still so.
    """
    try:
        os.close(os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        found = json.loads(path.read_bytes())["address"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return found if isinstance(found, str) else ""
