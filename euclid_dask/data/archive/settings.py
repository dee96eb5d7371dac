"""Where an archive is, and what is asked of it: one TOML file, without secrets."""

import tomllib
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value, replace
from euclid_dask.data.regular import regular
from euclid_dask.data.roots import check_root

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

EXAMPLE: Final = """\
metadata = "https://eas-dps-rest-ops.esac.esa.int"   # answers /REST with tables
products = "https://eas-dps-cps-ops.esac.esa.int"    # answers /NewEuclidXML with XML
ingest = "https://eas-dps-mis-ops.esac.esa.int"      # takes products by XML-RPC
files = ["https://euclid-dss.roe.ac.uk:443"]         # file stores (DSS), the nearest first
project = "TEST"                                     # or EUCLID
credentials = "~/.netrc"                             # by host; only its owner may read it
# ca_file = "/etc/ssl/site.pem"                      # certificates to trust besides the system's
# parallel = 4                                       # files that are retrieved at once
# tries = 5                                          # of a request that fails in passing
# longest_wait_s = 600                               # that a server may ask for
# longest_query_s = 3600                             # that a query for products may take
"""
_HINT: Final = "`euclid-dask archive new > archive.toml` writes one to edit"


class ArchiveSettings(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One archive, as one user sees it."""

    metadata: str
    """The URL of the server that answers queries with tables."""
    products: str = ""
    """The URL of the server that answers queries with products; "" is that of `metadata`."""
    ingest: str = ""
    """The URL of the server that takes products; "" when nothing is to be put."""
    files: tuple[str, ...] = ()
    """The URLs of file stores, the nearest first; files are stored in the first."""
    project: str = "TEST"
    """Which of its data: `EUCLID` or `TEST`."""
    sdc: str = ""
    """The science data centre where this is, as `SDC-CH`, for orders and exports."""
    credentials: str = ""
    """The file with users and passwords: netrc, or TOML by name; "" when none are asked for."""
    credential: str = ""
    """The name of the credential for all servers; "" takes those of each server's host."""
    ca_file: str = ""
    """Certificates to trust besides the system's."""
    parallel: int = 4
    """How many files are retrieved at once."""
    tries: int = 5
    """How often a request is sent that fails in a way that may pass."""
    longest_wait_s: float = 600.0
    """The longest wait that a server may ask for; if it asks for more, we end and say so."""
    longest_query_s: float = 3600.0
    """The longest time that a query may take."""


def read_settings(path: Path) -> ArchiveSettings:
    """Return what a file says of an archive.

    Raises:
        InputError: It cannot be read, or is wrong.
    """
    try:
        given = msgspec.convert(tomllib.loads(regular(path).read_text()), ArchiveSettings)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", hint=_HINT) from error
    except (ValueError, msgspec.ValidationError) as error:
        raise InputError(f"{path}: {error}", hint=_HINT) from None
    try:
        return checked(given)
    except InputError as error:
        raise InputError(f"{path}: {error.message}", hint=error.hint) from None


def checked(given: ArchiveSettings) -> ArchiveSettings:
    """Return settings with all URLs in their one spelling.

    Raises:
        InputError: A URL is none, holds a secret, or would send one in clear; a number is wrong.
    """
    if min(given.parallel, given.tries) < 1:
        raise InputError("parallel and tries are 1 or more")
    return replace(
        given,
        metadata=_server("metadata", given.metadata),
        products=_server("products", given.products or given.metadata),
        ingest=_server("ingest", given.ingest) if given.ingest else "",
        files=tuple(_server("files", url) for url in given.files),
    )


def _server(key: str, text: str) -> str:
    try:
        root = check_root(text)
    except InputError as error:
        raise InputError(f"{key}: {error.message}", hint=error.hint) from None
    url = urlsplit(root)
    if url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK):
        return root
    raise InputError(
        f"{key}: an archive is spoken to by https://, and not by {url.scheme}://",
        hint="a password would go over the line in clear",
    )
