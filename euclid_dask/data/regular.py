"""Files that are given to be read to their end; to read a pipe or a device may never end.

What a shell opens for us, by `<(command)` or as standard input, does end.
"""

import errno
from pathlib import Path
from typing import Final

_OPENED: Final = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")


def regular(path: Path) -> Path:
    """Return `path`, unless it is a pipe or a device.

    Raises:
        OSError: It is one.
    """
    if str(path).startswith(_OPENED):
        return path
    if path.is_fifo() or path.is_char_device():
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
    return path
