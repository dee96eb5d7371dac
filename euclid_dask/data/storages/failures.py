"""What kind of failure an exception of the system is: one table for all drivers."""

import errno
import ssl
from collections.abc import Mapping
from pathlib import Path
from traceback import extract_tb
from types import MappingProxyType
from typing import Final

from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import StorageError

KINDS: Final[Mapping[int, ErrorClass]] = MappingProxyType(
    {
        errno.ENOENT: ErrorClass.MISSING,
        errno.ENOTDIR: ErrorClass.MISSING,
        errno.EEXIST: ErrorClass.EXISTS,
        errno.ENOSPC: ErrorClass.FULL,
        errno.EDQUOT: ErrorClass.FULL,
        errno.EACCES: ErrorClass.POLICY,
        errno.EPERM: ErrorClass.POLICY,
        errno.EROFS: ErrorClass.POLICY,
        errno.EFBIG: ErrorClass.POLICY,
        errno.EISDIR: ErrorClass.POLICY,
        errno.ELOOP: ErrorClass.POLICY,
        errno.EINVAL: ErrorClass.POLICY,
        errno.ENAMETOOLONG: ErrorClass.POLICY,
        errno.ENXIO: ErrorClass.POLICY,
        errno.EMFILE: ErrorClass.BUSY,
        errno.ENFILE: ErrorClass.BUSY,
        errno.ETIMEDOUT: ErrorClass.TIMEOUT,
        errno.ESTALE: ErrorClass.NETWORK,
        errno.EHOSTUNREACH: ErrorClass.NETWORK,
        errno.ENETUNREACH: ErrorClass.NETWORK,
        errno.ENOTCONN: ErrorClass.NETWORK,
    }
)
"""An errno that is not here is of a device: IO."""


def kind_of(error: OSError) -> ErrorClass:
    """Return what kind of failure `error` is."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return ErrorClass.AUTH
    if isinstance(error, TimeoutError):
        return ErrorClass.TIMEOUT
    if isinstance(error, ConnectionError | ssl.SSLError) or error.errno is None:
        return ErrorClass.NETWORK
    if error.errno < 0:  # of getaddrinfo: the name of the host
        return ErrorClass.NETWORK
    return KINDS.get(error.errno, ErrorClass.IO)


def failure(error: OSError, where: str) -> StorageError:
    """Return the error that tells of `error` at `where`, which is told without credentials."""
    return StorageError(kind_of(error), f"{where}: {error.strerror or error}")


def mistake(error: Exception) -> StorageError:
    """Return the error that tells of one that nobody foresaw, and where it came from."""
    place = extract_tb(error.__traceback__)[-1]
    told = f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
    return StorageError(ErrorClass.BUG, f"a mistake of euclid-dask: {told}")


class failures_of:  # noqa: N801  it is called as a function
    """Raise exceptions of the system, in a `with`, as StorageError."""

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            raise failure(error, self._where) from error
