"""The archive's query text on its way into a URL; what it means, the archive knows best.

    Header.ManualValidationStatus.ManualValidationStatus!="INVALID"&&Data.TileIndex==90346

Conditions are joined by `&&` or `&`. In a URL they stand beside our own parameters, so a condition
must not be taken for one of those.
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from euclid_dask.core.errors import InputError
from euclid_dask.data.names import shown

_CONDITION: Final = re.compile(r'(?:"[^"]*"|\'[^\']*\'|[^&"\'])+')
_FIELD: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_SPATIAL: Final = re.compile(r"spatial_query\s*=")
_TYPE: Final = re.compile(r"[A-Za-z_]\w*")
_KEPT: Final = "=!*(),:-+.'\""
HINT: Final = 'like: Header.DataSetRelease=SC8_MAIN_V0&&Data.TileIndex==90346&&Header.X!="INVALID"'


def url_conditions(text: str) -> str:
    """Return a query's text as it stands in a URL.

    Raises:
        InputError: A condition has no field, or a quote is not closed.

    >>> url_conditions('Header.Purpose!="A & B" && Data.TileIndex<5')
    'Header.Purpose!="A%20%26%20B"&&Data.TileIndex%3C5'
    """
    return "&&".join(quote(one, safe=_KEPT) for one in conditions(text))


def conditions(text: str) -> list[str]:
    """Return the conditions of a query's text.

    Raises:
        InputError: A condition has no field, or a quote is not closed.

    >>> conditions("Header.X=1&&Data.Y like *z*")
    ['Header.X=1', 'Data.Y like *z*']
    """
    return [_checked(one) for one in _split(text)]


def check_field(text: str) -> str:
    """Return `text` if it can be the path of a field, as `Header.ProductId`.

    Raises:
        InputError: It cannot.
    """
    if not _FIELD.fullmatch(text):
        raise InputError(f"{shown(text)} is no field", hint="like: Header.ProductId")
    return text


def check_type(text: str) -> str:
    """Return `text` if it can be a type of products, as `DpdVisRawFrame`.

    Raises:
        InputError: It cannot.
    """
    if not _TYPE.fullmatch(text):
        raise InputError(f"{shown(text)} is no type of products", hint="like: DpdVisRawFrame")
    return text


def _split(text: str) -> Iterator[str]:
    end = 0
    for found in _CONDITION.finditer(text):
        if text[end : found.start()].strip() not in {"", "&", "&&"}:
            break
        end = found.end()
        if found[0].strip():
            yield found[0].strip()
    if text[end:].strip():
        raise InputError(f"the query cannot be read from {shown(text[end:])} on", hint=HINT)


def _checked(condition: str) -> str:
    field = _FIELD.match(condition)
    rest = condition[field.end() :].lstrip() if field else ""
    if field and re.match(r"==|!=|<=|>=|=|<|>|like\b", rest):
        return condition
    if _SPATIAL.match(condition):
        return condition
    raise InputError(f"{shown(condition)} is no condition of a query", hint=HINT)
