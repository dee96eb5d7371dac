"""Files that are given to be read to their end; to read a pipe or a device may never end."""

import errno
from pathlib import Path


def regular(path: Path) -> Path:
    """Return `path`, unless it is a pipe or a device.

    Raises:
        OSError: It is one.
    """
    if path.is_fifo() or path.is_char_device():
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
    return path
