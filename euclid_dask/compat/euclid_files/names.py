"""Names of data files, as `EUC_VIS_RAW_W-91100_20200707T151811.123456Z_01.00.fits`."""

from __future__ import annotations

import re
from datetime import datetime, timezone

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+=,@-]{0,199}")
_PART = re.compile(r"\.part-[^.]*\Z")
_NOT_IN_A_FIELD = re.compile(r"[^A-Za-z0-9.+-]+")
_RELEASE = re.compile(r"[0-9]{2}\.[0-9]{2}")


def check_name(name: str) -> str:
    """Return `name`, if a file can have it.

    Raises:
        ValueError: It cannot: it is a path, or has letters that some system reads otherwise.
    """
    if not _NAME.fullmatch(name) or name.lower() in {"none", "null", "nul"} or _PART.search(name):
        raise ValueError(
            f"no file can be named {name!a}: a name has at most 200 letters, digits, and any of "
            "_ . : + = , @ - after the first"
        )
    return name


def new_name(
    unit: str,
    kind: str,
    instance: str,
    release: str,
    extension: str = "fits",
    *,
    at: datetime | None = None,
) -> str:
    """Return the name of a new file; two calls give two names, but for the same microsecond.

    Args:
        unit: The processing function, as `VIS` or `SHE`.
        kind: What it is, as `COADD`.
        instance: What tells it from its siblings, as an observation and a detector: `W-91100-2`.
        release: The release, as `01.00`.
        extension: What comes after the last dot.
        at: When it was made, in UTC; default: now.

    Raises:
        ValueError: A field cannot be part of a name.

    >>> new_name("VIS", "COADD", "W 91100", "01.00", at=datetime(2020, 7, 7, 15, 18, 11, 5000))
    'EUC_VIS_COADD_W-91100_20200707T151811.005000Z_01.00.fits'
    """
    if not _RELEASE.fullmatch(release):
        raise ValueError(f"a release is like 01.00, and not {release!a}")
    at = at or datetime.now(timezone.utc)  # noqa: TID251, UP017  an executable has no clock of ours
    fields = [_NOT_IN_A_FIELD.sub("-", field).strip("-") for field in (unit, kind, instance)]
    stamp = at.strftime("%Y%m%dT%H%M%S.%fZ")
    return check_name("_".join(["EUC", *filter(None, fields), stamp, release]) + f".{extension}")
