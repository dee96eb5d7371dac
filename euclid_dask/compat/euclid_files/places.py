"""Where a file of a task is: what was staged says so, or it is in `data/`."""

from __future__ import annotations

import json
from pathlib import Path

from euclid_files.names import check_name

MANIFEST = "stage.json"


def path(name: str, workdir: str | Path = ".") -> Path:
    """Return where the data file `name` is, or is to be written: below `workdir`.

    Args:
        name: As a product has it; `data/` in front does not matter.
        workdir: The `--workdir` of the executable.

    Raises:
        ValueError: No file can have this name.
    """
    wanted = check_name(name.removeprefix("data/"))
    for entry in _staged(Path(workdir) / MANIFEST):
        place = entry.get("place", "")
        if place.rpartition("/")[2] == wanted and ".." not in place.split("/"):
            return Path(workdir) / place.lstrip("/")
    return Path(workdir) / "data" / wanted


def _staged(manifest: Path) -> list[dict[str, str]]:
    try:
        entries: list[dict[str, str]] = json.loads(manifest.read_bytes())["entries"]
    except FileNotFoundError:
        return []
    return entries
