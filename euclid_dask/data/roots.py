"""Roots of storages: the URLs that a registry keeps, in one spelling, and without secrets."""

from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from euclid_dask.core.errors import InputError

SCHEMES: Final = frozenset(
    {
        *("file", "memory", "sftp", "ftp", "ftps", "http", "https", "dav", "davs"),
        *("s3", "s3+http", "dss", "dss+http"),
    }
)


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
    if url.scheme in {"file", "memory"}:
        if url.netloc:
            raise InputError(
                f"{url.scheme}://{url.netloc}/...: the first step is taken for a host",
                hint=f"write {url.scheme}:///{url.netloc}/...",
            )
        return f"{url.scheme}://{path or '/'}"
    if not url.hostname:
        raise InputError(f"{url.scheme}://: this root URL names no host")
    return f"{url.scheme}://{url.netloc.lower()}{path}"


def _split(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise InputError(f"this root is no URL: {error}") from None
    if url.scheme not in SCHEMES:
        raise InputError(
            f"a root URL begins with one of {', '.join(sorted(SCHEMES))}, and ://",
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
