"""Roots of storages: the URLs that a registry keeps, in one spelling, and without secrets."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from euclid_dask.core.errors import InputError

FSSPEC: Final = "fsspec+"
"""What is before the protocol of a file system of fsspec, as in `fsspec+gcs://bucket/data`."""
FAMILIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "file": "file",
        "sftp": "sftp",
        "http": "http",
        "https": "http",
        "dav": "dav",
        "davs": "dav",
        "s3": "s3",
        "s3+http": "s3",
        "ftp": "ftp",
        "ftps": "ftp",
        "dss": "dss",
        "dss+http": "dss",
    }
)
"""The schemes that roots may have, and the family of drivers of each; those of fsspec besides."""


def family_of(scheme: str) -> str:
    """Return the family of drivers that a scheme belongs to, the empty text if there is none."""
    is_fsspec = scheme.startswith(FSSPEC) and len(scheme) > len(FSSPEC)
    return "fsspec" if is_fsspec else FAMILIES.get(scheme, "")


def check_root(text: str) -> str:
    """Return the root of a storage in its one spelling, without a slash at its end.

    Raises:
        InputError: It is no such URL, names a host where there is none, or holds a secret; the
            message does not repeat it.

    >>> check_root("SFTP://Host:22/data//raw/")
    'sftp://host:22/data/raw'
    """
    url = _split(text)
    if url.username is not None or url.password is not None:
        raise InputError(
            "a root URL must not have a user or password",
            hint="name a credential instead; the site's configuration holds it",
        )
    if "?" in text or "#" in text:
        raise InputError("a root URL must not have a query or a fragment")
    path = _path(url.path)
    if url.scheme == "file":
        if url.netloc or not url.path.startswith("/"):
            first = url.netloc or url.path.partition("/")[0]
            raise InputError(
                f"file://{first}/...: the first step is taken for a host",
                hint=f"write file:///{first}/...",
            )
        return f"file://{path or '/'}"
    if family_of(url.scheme) == "fsspec":
        return f"{url.scheme}://{url.netloc}{path}"
    if not url.hostname:
        raise InputError(f"{url.scheme}://: this root URL names no host")
    if not _encodes(url.hostname):
        raise InputError(f"{url.scheme}://: the host of this root URL has no possible name")
    return f"{url.scheme}://{url.netloc.lower()}{path}"


def _encodes(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def _split(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise InputError(f"this root is no URL: {error}") from None
    if not family_of(url.scheme):
        raise InputError(
            f"a root URL begins with one of {', '.join(sorted(FAMILIES))}, {FSSPEC}*, and ://",
            hint="a directory is file:///path/of/it",
        )
    if port == 0 or any(not letter.isprintable() or letter in " \\" for letter in text):
        raise InputError("a root URL has no port 0, no blanks and no characters that are not seen")
    return url


def _path(path: str) -> str:
    steps = [step for step in path.split("/") if step]
    if any(unquote(step) in {".", ".."} or "/" in unquote(step) for step in steps):
        raise InputError("a root URL must not have the steps '.' or '..', written in any way")
    return "".join(f"/{step}" for step in steps)
