"""Credentials of storages: read from a file that only its owner can read, and never shown.

An access row holds the *name* of a credential. Names and credentials are in a TOML file,

    [sdc-fr]
    user = "archive"
    password = "..."

    [sdc-ch]
    user = "archive"
    key = "~/.ssh/id_ed25519"

or in a netrc file, where the names are the hosts' (Source: manual page netrc(5)).
"""

import netrc
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value
from euclid_dask.data.regular import regular


class Credential(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one proves who one is with. Printing it shows nothing of it."""

    user: str = ""
    password: str = ""
    token: str = ""
    """A bearer token for HTTP, in place of user and password."""
    key: str = ""
    """The path of a private key for SSH."""
    passphrase: str = ""
    """What the private key is encrypted with."""

    def __repr__(self) -> str:
        return "Credential(...)"

    def __rich_repr__(self) -> list[tuple[str, object]]:  # msgspec's would show all fields
        return []


NOBODY = Credential()
"""For storages that ask for none."""


def read_credentials(path: Path) -> Mapping[str, Credential]:
    """Return the credentials in a file, by name; a file called `netrc` or `.netrc` is one.

    Raises:
        InputError: when it cannot be read, others may read it, or it is wrong; what it holds is
            not told.
    """
    try:
        if regular(path).stat().st_mode & 0o077:
            raise InputError(
                f"{path}: others than its owner may read or change it", hint=f"chmod 600 {path}"
            )
        read = _read_netrc if path.name.endswith("netrc") else _read_toml
        return read(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def _read_netrc(path: Path) -> Mapping[str, Credential]:
    try:
        hosts = netrc.netrc(str(path)).hosts
    except netrc.NetrcParseError as error:  # its text may quote a password
        raise InputError(f"{path}:{error.lineno}: this is no netrc file") from None
    return {
        host: Credential(user=user or "", password=password or "")
        for host, (user, _, password) in hosts.items()
    }


def _read_toml(path: Path) -> Mapping[str, Credential]:
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), dict[str, Credential])
    except (ValueError, msgspec.ValidationError) as error:
        raise InputError(
            f"{path}: {error}", hint="one table a credential, as [sdc-fr] with user and password"
        ) from None


def credential_named(name: str, credentials: Mapping[str, Credential]) -> Credential:
    """Return the credential of this name; "" is nobody's.

    Raises:
        InputError: when there is none.
    """
    if not name:
        return NOBODY
    try:
        return credentials[name]
    except KeyError:
        known = ", ".join(sorted(credentials)) or "none"
        raise InputError(
            f"there is no credential {name!r}", hint=f"the site has: {known}"
        ) from None
