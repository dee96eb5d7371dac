"""From an access row to the driver that its root's scheme asks for."""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from euclid_dask.core.errors import InputError
from euclid_dask.core.seams import Clock
from euclid_dask.data.archive.dss import open_store
from euclid_dask.data.credentials import Credential, credential_named
from euclid_dask.data.markers import GuardedDriver
from euclid_dask.data.model import Access, Storage
from euclid_dask.data.storage import StorageDriver
from euclid_dask.data.storages.exchange import HttpClient
from euclid_dask.data.storages.file import FileDriver
from euclid_dask.data.storages.ftp import FtpDriver, Server
from euclid_dask.data.storages.http import HttpDriver, proof_of
from euclid_dask.data.storages.patience import Patience, patience
from euclid_dask.data.storages.s3 import S3Driver
from euclid_dask.data.storages.s3_signing import signer
from euclid_dask.data.storages.webdav import WebdavDriver

OPTIONS: Mapping[str, frozenset[str]] = {
    "file": frozenset(),
    "sftp": frozenset({"timeout_s", "known_hosts"}),
    "http": frozenset({"timeout_s", "min_rate", "ca_file"}),
    "dav": frozenset({"timeout_s", "min_rate", "ca_file"}),
    "s3": frozenset({"timeout_s", "min_rate", "ca_file", "region"}),
    "ftp": frozenset({"timeout_s", "min_rate", "ca_file"}),
    "dss": frozenset({"timeout_s", "min_rate", "ca_file"}),
}
"""The options of an access row, by family of schemes."""
FAMILIES: Mapping[str, str] = {
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
"""The schemes that roots may have."""


def open_storage(
    storage: Storage, access: Access, credentials: Mapping[str, Credential], clock: Clock
) -> StorageDriver:
    """Return the driver of a storage that is guarded by its marker, if it has one."""
    driver = open_driver(access, credentials, clock)
    return GuardedDriver(driver, storage.marker) if storage.marker else driver


def open_driver(
    access: Access, credentials: Mapping[str, Credential], clock: Clock
) -> StorageDriver:
    """Return the driver of a storage as one zone reaches it; nothing is connected yet.

    Raises:
        InputError: when the access row is wrong, or its credential is missing.
    """
    root = checked_root(access.root)
    family = FAMILIES[root.scheme]
    if unknown := sorted(set(access.options) - OPTIONS[family]):
        raise InputError(
            f"storage {access.storage}, zone {access.zone}: {root.scheme} has no option "
            f"{unknown[0]!r}",
            hint=f"its options are: {', '.join(sorted(OPTIONS[family])) or 'none'}",
        )
    credential = credential_named(access.credential, credentials)
    return _opened(root, access.options, credential, clock)


def checked_root(root: str) -> SplitResult:
    """Return the parts of a storage's root.

    >>> checked_root("sftp://archive.example:2222/data/euclid").path
    '/data/euclid'

    Raises:
        InputError: when it is no root that can be used, and why.
    """
    try:
        url = urlsplit(root)
        port = url.port
    except ValueError as error:
        raise InputError(f"the root {_shown(root)} is no URL: {error}") from error
    for wrong, why in (
        (url.scheme not in FAMILIES, f"its scheme is none of: {', '.join(FAMILIES)}"),
        ("@" in url.netloc, "user and password belong into the site's credentials"),
        ("?" in root or "#" in root, "it must have no query and no fragment"),
        (url.scheme == "file" and bool(url.netloc), "a file has no host: file:///path"),
        (url.scheme != "file" and not url.hostname, "it has no host"),
        (port == 0, "it has port 0"),
        (url.path[:1] != "/" and (url.scheme == "file" or url.path != ""), "it has no path"),
        (not _encodes(url.hostname or "host"), "its host has no possible name"),
        (bool({".", ".."} & set(url.path.split("/"))), "its path has steps '.' or '..'"),
    ):
        if wrong:
            raise InputError(f"the root {_shown(root)} cannot be used: {why}")
    return url


def _encodes(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def _shown(root: str) -> str:
    """Return a root without what may be a password."""
    scheme, found, rest = root.partition("://")
    return repr(re.split("[?#]", f"{scheme}{found}{rest.rpartition('@')[2]}")[0])


def _opened(
    root: SplitResult, options: Mapping[str, str], credential: Credential, clock: Clock
) -> StorageDriver:
    wait = patience(options)
    family = FAMILIES[root.scheme]
    if family == "file":
        return FileDriver(Path(unquote(root.path)))
    if family == "ftp":
        return _ftp(root, options, credential, wait)
    if family == "sftp":
        return _sftp(root, options, credential, wait)
    return _over_http(root, options, credential, wait, clock)


def _ftp(
    root: SplitResult, options: Mapping[str, str], credential: Credential, wait: Patience
) -> StorageDriver:
    server = Server(
        host=root.hostname or "",
        port=root.port or 21,
        credential=credential,
        patience=wait,
        tls=root.scheme == "ftps",
        ca_file=options.get("ca_file", ""),
    )
    return FtpDriver(server, unquote(root.path))


def _sftp(
    root: SplitResult, options: Mapping[str, str], credential: Credential, wait: Patience
) -> StorageDriver:
    try:  # asyncssh is not installed everywhere, and takes long to import
        from euclid_dask.data.storages.sftp import SftpDriver  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            f"{root.geturl()}: asyncssh is not installed",
            hint="pip install 'euclid-dask[sftp]'",
        ) from error
    address = (root.hostname or "", root.port or 22)
    known_hosts = options.get("known_hosts", "")
    return SftpDriver(address, unquote(root.path), credential, wait, known_hosts)


def _over_http(
    root: SplitResult,
    options: Mapping[str, str],
    credential: Credential,
    wait: Patience,
    clock: Clock,
) -> StorageDriver:
    tls = root.scheme in {"https", "davs", "s3", "dss"}
    url = root._replace(scheme="https" if tls else "http").geturl()
    ca_file = options.get("ca_file", "")
    match FAMILIES[root.scheme]:
        case "http":
            return HttpDriver(url, HttpClient(wait, proof_of(credential), ca_file))
        case "dav":
            return WebdavDriver(url, HttpClient(wait, proof_of(credential), ca_file))
        case "dss":
            return open_store(url, credential, wait, ca_file)
        case _:
            sign = signer(credential, options.get("region", "us-east-1"), clock.now_s)
            return S3Driver(url, HttpClient(wait, sign, ca_file))
