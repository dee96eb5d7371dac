"""Which file system a path is on: SQLite's locks and shared memory do not hold between hosts."""

from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mountinfo")
# fmt: off
_SHARED: Final = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "gfs", "gfs2", "glusterfs", "gpfs",
    "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs",
    "vboxsf", "wekafs"
})
# fmt: on


def file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system that `path` is on, as `ext4` or `fuse.sshfs`.

    Args:
        path: Absolute, without symbolic links.
        mounts: The text of `/proc/self/mountinfo`.

    Source: proc_pid_mountinfo(5).
    """
    best, kind = Path("/"), ""
    for line in mounts.splitlines():
        place, _, rest = line.partition(" - ")
        point = Path(_unescaped(place.split(" ")[4]))
        if path.is_relative_to(point) and len(point.parts) >= len(best.parts):
            best, kind = point, rest.split(" ")[0]
    return kind


def is_shared(kind: str) -> bool:
    """Tell whether a file system of this type may be mounted by several hosts at once."""
    return kind in _SHARED or kind.startswith("fuse.")


def _unescaped(text: str) -> str:
    # blank, tab, newline and backslash are written as \040 and the like
    return (
        text.encode("utf-8", "surrogateescape")
        .decode("unicode_escape")
        .encode("latin-1")
        .decode("utf-8", "surrogateescape")
    )
