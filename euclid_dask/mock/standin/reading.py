"""The files that a stand-in reads: their digests, and whether all that they name exists."""

# ruff: noqa: PLC0415, PTH123  imports cost more than the work of a small stand-in

import posix

from euclid_dask.mock.standin.files import CHUNK, digest, new_digest
from euclid_dask.mock.standin.plans import RefusedError

_PARSE_LIMIT = 64 << 20

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Texts = Iterator[str]


def digest_file(workdir: str, path: str, what: str) -> str:
    """Return the digest of a file, of what a list file names included.

    Raises:
        RefusedError: It does not exist, or a file that it names does not.
    """
    full = path if path.startswith("/") else f"{workdir}/{path}"
    try:
        file = open(full, "rb", buffering=0)  # noqa: SIM115
    except OSError as error:
        if "/" not in path and "." not in path:
            return digest(path.encode())  # an element of a list that is no file
        raise RefusedError(f"{what}: {path}: {error.strerror}") from None
    with file:
        start = file.read(CHUNK)
        if start.lstrip()[:1] in (b"[", b"<") and posix.fstat(file.fileno()).st_size < _PARSE_LIMIT:
            return _digest_naming(workdir, path, start + file.readall(), what)
        found = new_digest(start)
        while chunk := file.read(CHUNK):
            found.update(chunk)
        return found.hexdigest()


def file_names(product: bytes) -> list[str]:
    """Return the texts of all FileName elements of a product."""
    found: list[str] = []
    for part in product.split(b"FileName")[1:]:
        tag, bracket, rest = part.partition(b">")
        text, _, end = rest.partition(b"<")
        if bracket and not tag.rstrip().endswith(b"/") and end.startswith(b"/"):
            name = text.strip().decode("utf-8", "replace")
            for code, letter in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
                name = name.replace(code, letter)
            found += [name] if name not in ("", "None") else []
    return found


def texts_of(content: bytes) -> list[str] | None:
    """Return all texts of a JSON list, of lists in it too; None if it is no JSON list."""
    try:
        value = _parse_json(content.decode())
    except (ValueError, StopIteration):
        return None
    return list(_texts(value)) if isinstance(value, list) else None


def _parse_json(text: str) -> object:
    """Parse JSON without the json module if that can be: it takes longer than all the rest."""
    text = text.strip()
    try:
        from _json import make_scanner

        scan = make_scanner(_Rules)  # type: ignore[arg-type]
    except (ImportError, AttributeError, TypeError):
        from json import loads

        return loads(text)
    value, end = scan(text, 0)
    if end != len(text):
        raise ValueError(text[end : end + 20])
    result: object = value
    return result


class _Rules:
    """What the scanner of `_json` asks for."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}


def _texts(value: object) -> "Texts":
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry)


def _digest_naming(workdir: str, path: str, content: bytes, what: str) -> str:
    """Return the digest of a list or a product, after a look at the files that it names."""
    if content.lstrip()[:1] == b"<":
        for name in file_names(content):
            try:
                posix.stat(f"{workdir}/data/{name}")
            except OSError as error:
                text = f"{what}: {path} names data/{name}: {error.strerror}"
                raise RefusedError(text) from None
        return digest(content)
    entries = texts_of(content) or []
    named = [digest_file(workdir, entry, f"{what}: {path}") for entry in entries if entry != path]
    return digest(content, *(found.encode() for found in named))
