"""What the file systems of this host can do beyond the standard library.

Source: Linux manual pages renameat2(2), sync_file_range(2), ioctl_ficlone(2),
proc_pid_mountinfo(5).
"""

import ctypes
import errno
import fcntl
import os
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

StrPath: TypeAlias = str | os.PathLike[str]
AT_FDCWD: Final = -100
RENAME_NOREPLACE: Final = 1
SYNC_FILE_RANGE_WRITE: Final = 2
FICLONE: Final = 0x40049409
NOT_THERE: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})
"""What a file system answers that does not know how to rename without replacing."""


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def rename_noreplace(source: StrPath, target: StrPath) -> None:
    """Give the file `source` the name `target`, at once, unless there is one.

    Raises:
        FileExistsError: when `target` is there; it stays as it is.
        OSError: EINVAL and its like (`NOT_THERE`) when the file system cannot do it, as on NFS.
    """
    paths = (os.fsencode(source), os.fsencode(target))
    failed = _libc().renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_NOREPLACE)
    if failed:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(target))


def link_noreplace(source: Path, target: Path) -> None:
    """Do the same by a second name, on a file system that has hard links."""
    os.link(source, target, follow_symlinks=False)
    source.unlink()


def publish(source: StrPath, target: StrPath) -> None:
    """Give `source` the name `target`, in the best way there is, and never replace.

    Raises:
        FileExistsError: when another file is at `target`. NFS may lose the answer to a call that
            was done; that it is our own file is seen by its inode.
        OSError: when the file system can refuse to replace in no way at all.
    """
    ours = os.stat(source, follow_symlinks=False)  # noqa: PTH116  often, and of no Path
    try:
        try:
            rename_noreplace(source, target)
        except OSError as error:
            if error.errno not in NOT_THERE:
                raise
            link_noreplace(Path(source), Path(target))
    except (FileExistsError, FileNotFoundError):
        there = Path(target).stat(follow_symlinks=False)
        if not os.path.samestat(ours, there):
            raise
        Path(source).unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file of ours durably: what is there is replaced at once, by all of it."""
    part = path.with_name(f".{path.name}.part-whole")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_directory(path.parent)


def begin_sync(fd: int) -> None:
    """Have the disk begin to write what it has not yet of a file, without waiting for it.

    It only makes the fsync that must follow shorter, and that tells what failed.
    """
    everything = ctypes.c_int64(0)
    _libc().sync_file_range(fd, everything, everything, SYNC_FILE_RANGE_WRITE)


def sync_file(path: StrPath) -> None:
    """Make the bytes of a file durable, whoever wrote them."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(path: StrPath) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file_system(path: Path) -> None:
    """Write all that waits in memory for the file system of a directory, at once; see syncfs(2).

    Kernels before 5.8 do not tell here what failed: `sync_file` of each file does.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _libc().syncfs(fd):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(fd)


def clone(source_fd: int, target_fd: int) -> None:
    """Make an empty file share the content of another on the same file system, without copying.

    Raises:
        OSError: when the file system has no reflinks, or the two are not on one.
    """
    fcntl.ioctl(target_fd, FICLONE, source_fd)


def filesystem_type(path: Path) -> str:
    """Return the type of the file system that `path` is on, as `ext4`, `nfs4`, `lustre`.

    It is "" where the system does not tell.
    """
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    found = ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            found = after.split()[0]
    return found
