"""From an access row to the driver that its root's scheme asks for."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from euclid_dask.core.errors import InputError
from euclid_dask.core.seams import Clock
from euclid_dask.data.archive.dss import open_store
from euclid_dask.data.credentials import Credential, credential_named
from euclid_dask.data.markers import GuardedDriver
from euclid_dask.data.model import Access, Storage
from euclid_dask.data.roots import FSSPEC, check_root, family_of
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
"""The options of an access row, by family of schemes; those of fsspec are its file systems'."""


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
    root = urlsplit(check_root(access.root))
    family = family_of(root.scheme)
    known = OPTIONS.get(family, frozenset(access.options))
    if unknown := sorted(set(access.options) - known):
        raise InputError(
            f"storage {access.storage}, zone {access.zone}: {root.scheme} has no option "
            f"{unknown[0]!r}",
            hint=f"its options are: {', '.join(sorted(known)) or 'none'}",
        )
    credential = credential_named(access.credential, credentials)
    return _opened(root, access.options, credential, clock)


def _opened(
    root: SplitResult, options: Mapping[str, str], credential: Credential, clock: Clock
) -> StorageDriver:
    family = family_of(root.scheme)
    if family == "file":
        return FileDriver(Path(unquote(root.path)))
    if family == "fsspec":
        return _fsspec(root, options, credential)
    wait = patience(options)
    if family == "ftp":
        return _ftp(root, options, credential, wait)
    if family == "sftp":
        return _sftp(root, options, credential, wait)
    return _over_http(root, options, credential, wait, clock)


def _fsspec(root: SplitResult, options: Mapping[str, str], credential: Credential) -> StorageDriver:
    # what it imports, few have
    from euclid_dask.data.storages.through_fsspec import open_fsspec  # noqa: PLC0415

    names = ("username", credential.user), ("password", credential.password)
    proof = {name: value for name, value in (*names, ("token", credential.token)) if value}
    protocol = root.scheme.removeprefix(FSSPEC)
    return open_fsspec(protocol, f"{root.netloc}{unquote(root.path)}", {**proof, **options})


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
    match family_of(root.scheme):
        case "http":
            return HttpDriver(url, HttpClient(wait, proof_of(credential), ca_file))
        case "dav":
            return WebdavDriver(url, HttpClient(wait, proof_of(credential), ca_file))
        case "dss":
            return open_store(url, credential, wait, ca_file)
        case _:
            sign = signer(credential, options.get("region", "us-east-1"), clock.now_s)
            return S3Driver(url, HttpClient(wait, sign, ca_file))
