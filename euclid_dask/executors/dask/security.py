"""Who may join a scheduler of ours: those who hold the files of its own certificate authority.

The authority is made once in a workspace and signs one certificate, for all members. Its key is
then forgotten, so nobody else is ever let in. The files are for their owner only; those of
somebody else, or that others could have written, are refused.
"""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Final

from distributed import Security

from euclid_dask.core.errors import WorkdirError
from euclid_dask.worker.clock import now_s

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate

FOLDER: Final = "tls"
_AUTHORITY, _CERTIFICATE, _KEY = "authority.pem", "member.pem", "member.key"
_ROOT: Final = 0
_OTHERS: Final = 0o077
_YEARS: Final = 10
_SLACK: Final = timedelta(days=1)
"""Clocks of hosts differ."""


def membership(records: Path) -> Security:
    """Return what a member needs, from the files beside the scheduler file.

    Raises:
        OSError: There are none, or they are not ours to read.
        WorkdirError: They are not ours, or empty.
    """
    folder = records / FOLDER
    authority, certificate, key = (str(folder / name) for name in (_AUTHORITY, _CERTIFICATE, _KEY))
    for path in (str(folder), authority, certificate, key):
        _check(path, folder)
    return Security(  # type: ignore[no-untyped-call]
        require_encryption=True,
        tls_ca_file=authority,
        **{
            f"tls_{role}_{part}": path
            for role in ("scheduler", "worker", "client")
            for part, path in (("cert", certificate), ("key", key))
        },
    )


def make_membership(records: Path) -> Security:
    """Return what a member needs; make the files if there are none."""
    folder = records / FOLDER
    if not folder.is_dir():
        half = Path(mkdtemp(prefix=f".{FOLDER}-", dir=records))  # for its owner only
        try:
            _make_files(half)
            half.rename(folder)
        except BaseException:
            shutil.rmtree(half, ignore_errors=True)
            raise
    return membership(records)


def _check(path: str, folder: Path) -> None:
    """Refuse what others could have written, and what a crash of the host has left.

    Raises:
        OSError: It is not there, or cannot be read.
        WorkdirError: It is of no use.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.fstat(file)
    finally:
        os.close(file)
    wrong = ""
    if os.geteuid() not in (_ROOT, found.st_uid):  # root may be somebody else on a file server
        wrong = "belongs to somebody else"
    elif found.st_mode & _OTHERS:
        wrong = f"may be used by others ({found.st_mode & 0o777:o})"
    elif not found.st_size:
        wrong = "is empty"
    if wrong:
        raise WorkdirError(
            f"{path} {wrong}",
            hint=f"remove {folder} while no runner and no pilot uses it; it is made anew",
        )


def _make_files(folder: Path) -> None:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - seldom needed
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    pem = serialization.Encoding.PEM
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _certificate("euclid-dask authority", authority_key, "euclid-dask authority", None)
    member = _certificate("euclid-dask member", key, "euclid-dask authority", authority_key)
    contents = {
        _AUTHORITY: authority.public_bytes(pem),
        _CERTIFICATE: member.public_bytes(pem),
        _KEY: key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    }
    for name, content in contents.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(here)
    finally:
        os.close(here)


def _certificate(
    name: str,
    key: "EllipticCurvePrivateKey",
    issuer: str,
    issuer_key: "EllipticCurvePrivateKey | None",
) -> "Certificate":
    """Return a certificate; without the key of an issuer it is that of an authority."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415

    now = datetime.fromtimestamp(now_s(), UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SLACK)
        .not_valid_after(now + timedelta(days=365 * _YEARS))
        .add_extension(
            x509.BasicConstraints(ca=issuer_key is None, path_length=None), critical=True
        )
        .sign(issuer_key or key, hashes.SHA256())
    )
