"""Checksums of a file's content, all of them in one pass over its bytes.

`adler32` (which archives declare) and `xxh3` (fast, 128 bits) guard against accidents and are
always taken; `md5` and `sha256` where somebody declared one.
"""

import hashlib
import re
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final, Protocol

import xxhash

from euclid_dask.core.errors import InputError
from euclid_dask.data.model import Checksum, File

OURS: Final = ("adler32", "xxh3")
"""The algorithms that are always taken."""

CHUNK_BYTES: Final = 1 << 20
"""How much is read at once."""


class Digest(Protocol):
    """What each algorithm offers."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""

    def hexdigest(self) -> str:
        """Return the digits so far."""


class _Adler32:
    def __init__(self) -> None:
        self._value = 1

    def update(self, data: bytes, /) -> None:
        self._value = zlib.adler32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


_ALGORITHMS: Final[Mapping[str, Callable[[], Digest]]] = MappingProxyType(
    {
        "adler32": _Adler32,
        "xxh3": xxhash.xxh3_128,
        "md5": lambda: hashlib.md5(usedforsecurity=False),
        "sha256": hashlib.sha256,
    }
)
_DIGITS: Final[Mapping[str, int]] = MappingProxyType(
    {"adler32": 8, "xxh3": 32, "md5": 32, "sha256": 64}
)


class Hasher:
    """Takes the bytes of a file as they pass by, and counts them."""

    def __init__(self, algorithms: Iterable[str] = ()) -> None:
        """Take `OURS` and these algorithms."""
        self._digests = {name: _ALGORITHMS[name]() for name in {*OURS, *algorithms}}
        self.size = 0

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self.size += len(data)
        for digest in self._digests.values():
            digest.update(data)

    @contextmanager
    def beside(self) -> Iterator[Callable[[bytes], None]]:
        """Give what takes blocks, each while the next is read and written: a thread an algorithm.

        All have been taken when the context ends.
        """
        with ThreadPoolExecutor(len(self._digests), "hasher") as pool:
            begun: list[Future[None]] = []

            def update(data: bytes) -> None:
                nonlocal begun
                for one in begun:
                    one.result()
                self.size += len(data)
                begun = [pool.submit(digest.update, data) for digest in self._digests.values()]

            yield update
            for one in begun:
                one.result()

    def checksums(self) -> tuple[Checksum, ...]:
        """Return the checksums of what was taken so far."""
        return tuple(
            Checksum(algorithm=name, value=digest.hexdigest())
            for name, digest in sorted(self._digests.items())
        )


def hash_chunks(chunks: Iterable[bytes], algorithms: Iterable[str] = ()) -> Hasher:
    """Return a hasher that has taken all of `chunks`."""
    hasher = Hasher(algorithms)
    for chunk in chunks:
        hasher.update(chunk)
    return hasher


def declared(algorithm: str, value: str) -> Checksum:
    """Return a checksum as a product or an archive tells it, as `Adler32` and `1A2B3`.

    Raises:
        InputError: It is none: an unknown algorithm, letters, or too many digits.
    """
    name = algorithm.strip().lower().replace("-", "")
    if name not in _ALGORITHMS:
        raise InputError(
            f"checksum method {algorithm!r} is not known",
            hint=f"known are: {', '.join(sorted(_ALGORITHMS))}",
        )
    digits = value.strip().lower()
    padded = digits.zfill(_DIGITS[name]) if digits and name == "adler32" else digits
    if not re.fullmatch(f"[0-9a-f]{{{_DIGITS[name]}}}", padded):
        raise InputError(
            f"{value!r} is not a checksum of {name}",
            hint=f"it has {_DIGITS[name]} hexadecimal digits",
        )
    return Checksum(algorithm=name, value=padded, declared=True)


def wanted(file: File) -> Collection[str]:
    """Return the algorithms by which the content of `file` is known."""
    return {checksum.algorithm for checksum in file.checksums}


def mismatch(file: File, size: int, checksums: Iterable[Checksum]) -> str:
    """Return in what a content differs from that of `file`; "" if it is the same.

    All that is known must agree: a size alone, or one of several checksums, is not enough.
    """
    if size != file.size:
        return f"{file.name} has {file.size} bytes, and not {size}"
    found = {checksum.algorithm: checksum.value for checksum in checksums}
    for known in file.checksums:
        if found.get(known.algorithm) != known.value:
            value = found.get(known.algorithm, "unknown")
            return f"{known.algorithm} of {file.name} is {known.value}, and not {value}"
    return ""
