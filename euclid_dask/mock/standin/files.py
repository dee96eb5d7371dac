"""The files that a stand-in writes: valid, and the same for the same lineage.

A lineage is a list of names and values: who wrote the file, and the digests of all inputs. A file
holds no dates and no absolute paths.
"""

# ruff: noqa: PLC0415, PTH123  imports cost more than the work of a small stand-in

import posix

from euclid_dask.mock.standin.plans import OutputPlan

CHUNK = 1 << 20

_BLOCK = 2880
_CARD = 80
_FILE_NAME_LIMIT = 200
_MAGICS = {
    "bz2": b"BZh9",
    "gif": b"GIF89a",
    "gz": b"\x1f\x8b\x08\x00",
    "h5": b"\x89HDF\r\n\x1a\n",
    "hdf5": b"\x89HDF\r\n\x1a\n",
    "image": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff\xe0",
    "jpg": b"\xff\xd8\xff\xe0",
    "npy": b"\x93NUMPY",
    "pdf": b"%PDF-1.4\n",
    "png": b"\x89PNG\r\n\x1a\n",
    "zip": b"PK\x03\x04",
}
_ESCAPES = {34: '\\"', 92: "\\\\", **{code: f"\\u{code:04x}" for code in range(32)}}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from hashlib import _Hash as Digest

    Parts = Iterable[bytes]
    Chunks = Iterator[bytes]
    Lineage = list[tuple[str, str]]


def write_file(workdir: str, path: str, plan: OutputPlan, lineage: "Lineage", owner: str) -> str:
    """Write what `plan` says, with the files that it names; return its digest.

    `owner` makes the names of data files unique.
    """
    folder, _, name = path.rpartition("/")
    stem = name.rpartition(".")[0] or name
    if plan.depth:
        element = OutputPlan(plan.kind, plan.depth - 1, plan.dm_type, plan.items, plan.size)
        extension = "json" if plan.depth > 1 else plan.kind
        inside = f"{folder}/" if folder else ""
        entries = [f"{inside}{stem}_{number}.{extension}" for number in range(1, plan.items + 1)]
        for entry in entries:
            write_file(workdir, entry, element, lineage, owner)
        listing = f"[{', '.join(quoted(entry) for entry in entries)}]\n"
        content: Parts = [listing.encode()]
    elif plan.kind == "xml":
        unit = data_name(f"EUC_MOCK_{owner}_{stem}")
        data_lineage = [*lineage, ("file", unit)]
        checksum = write(f"{workdir}/data/{unit}", *_fits(data_lineage, plan.size))
        content = [_product(plan.dm_type or stem, lineage, path, unit, checksum)]
    else:
        content = _plain(plan, [*lineage, ("file", path)])
    return write(f"{workdir}/{path}", *content)


def data_name(stem: str) -> str:
    """Return the name of a FITS file in `data/`, legal and short enough."""
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in stem)
    if len(name.encode()) > _FILE_NAME_LIMIT or name != stem:
        name = f"{name[:120]}_{digest(stem.encode())[:12]}"
    return f"{name}.fits"


def product_type(dm_type: str) -> str:
    """Return the name of a product's root element for what a port declares as its type.

    >>> product_type("DpdVisRawFrame"), product_type("vis.raw_frame")
    ('DpdVisRawFrame', 'DpdVisRawFrame')
    """
    words = "".join(mark if mark.isascii() and mark.isalnum() else " " for mark in dm_type).split()
    name = "".join(word[0].upper() + word[1:] for word in words) or "File"
    return name if name.startswith("Dpd") else f"Dpd{name}"


def quoted(text: str) -> str:
    """Return a text as JSON."""
    return f'"{text.translate(_ESCAPES)}"'


def digest(*parts: bytes) -> str:
    """Return the MD5 of some bytes, as text."""
    found = new_digest()
    for part in parts:
        found.update(part)
    return found.hexdigest()


def new_digest(start: bytes = b"") -> "Digest":
    """Return an MD5 that has seen `start`: fast, and known to data containers."""
    try:
        from _md5 import md5  # type: ignore[import-not-found] # cheaper than hashlib
    except ImportError:
        from hashlib import md5
    found: Digest = md5(start)  # noqa: S324  no secret is kept by it
    return found


def write(path: str, *parts: bytes) -> str:
    """Write a file and return its digest; its folder is made if need be."""
    found = new_digest()
    try:
        file = open(path, "wb", buffering=0)  # noqa: SIM115
    except FileNotFoundError:
        _make_folder(path.rpartition("/")[0])
        file = open(path, "wb", buffering=0)  # noqa: SIM115
    with file:
        for part in parts:
            left = memoryview(part)
            while left:
                left = left[file.write(left) :]
            found.update(part)
    return found.hexdigest()


def _make_folder(path: str) -> None:
    for end in [at for at, letter in enumerate(path) if letter == "/" and at] + [len(path)]:
        try:
            posix.mkdir(path[:end])
        except FileExistsError:
            continue


def _plain(plan: OutputPlan, lineage: "Lineage") -> "Parts":
    """Return the content of a file of some format, filled up to its size."""
    kind = plan.kind.rpartition(".")[2].lower()
    if kind in ("fits", "fit", "fts"):
        return _fits(lineage, plan.size)
    if kind == "json":
        pairs = [f"  {quoted(name)}: {quoted(value)}" for name, value in lineage]
        short = "{\n" + ",\n".join(pairs)
        fill = plan.size - len(short.encode()) - 20
        filling = f',\n  "filling": "{"." * fill}"' if fill > 0 else ""
        return [f"{short}{filling}\n}}\n".encode()]
    text = "".join(f"{name}: {value}\n" for name, value in lineage)
    start = _MAGICS.get(kind, b"") + text.encode()
    return _Filled(start, b".", plan.size - len(start))


class _Filled:
    """Some bytes and then a filling, in chunks."""

    def __init__(self, start: bytes, filling: bytes, size: int) -> None:
        self._start = start
        self._filling = filling
        self._size = size

    def __iter__(self) -> "Chunks":
        yield self._start
        block = self._filling * (CHUNK if self._size > CHUNK else max(0, self._size))
        for left in range(self._size, 0, -CHUNK):
            yield block[:left]


def _fits(lineage: "Lineage", size: int) -> "Parts":
    """Return a minimal FITS file of at least `size` bytes, a multiple of 2880."""
    history = []
    for name, value in lineage:
        text = "".join(mark if " " <= mark <= "~" else "?" for mark in f"{name}: {value}")
        step = _CARD - len("HISTORY ")
        history += [f"HISTORY {text[at : at + step]}" for at in range(0, len(text), step)]
    blocks = -(-_CARD * (len(history) + 5) // _BLOCK)
    length = max(0, size - blocks * _BLOCK)
    axes = [f"NAXIS1  = {length:>20}"] if length else []
    cards = [
        f"SIMPLE  = {'T':>20}",
        f"BITPIX  = {8:>20}",
        f"NAXIS   = {len(axes):>20}",
        *axes,
        *history,
        "END",
    ]
    header = "".join(card.ljust(_CARD) for card in cards).ljust(blocks * _BLOCK)
    return _Filled(header.encode(), b"\0", -(-length // _BLOCK) * _BLOCK)


def _product(dm_type: str, lineage: "Lineage", path: str, unit: str, checksum: str) -> bytes:
    """Return a product in the style of real ones."""
    kind = product_type(dm_type)
    parameters = "".join(
        f"    <Parameter><Key>{_xml(name)}</Key><StringValue>{_xml(value)}</StringValue>"
        "</Parameter>\n"
        for name, value in lineage
    )
    identity = digest(*(f"{name}={value}\n".encode() for name, value in lineage), path.encode())
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<dpd:{kind} xmlns:dpd="http://euclid.esa.org/schema/dpd/mock/{kind[3:].lower()}">
  <Header>
    <ProductId>{kind}-{identity}</ProductId>
    <ProductType>{kind}</ProductType>
    <SoftwareName>euclid-dask-mock</SoftwareName>
    <SoftwareRelease>1</SoftwareRelease>
    <EuclidPipelineSoftwareRelease>0.0</EuclidPipelineSoftwareRelease>
    <ProdSDC>SDC-MOCK</ProdSDC>
    <DataSetRelease>MOCK</DataSetRelease>
    <Purpose>TEST</Purpose>
    <PlanId>None</PlanId>
    <PPOId>None</PPOId>
    <PipelineDefinitionId>None</PipelineDefinitionId>
    <ManualValidationStatus>UNKNOWN</ManualValidationStatus>
    <ToBePublished>0</ToBePublished>
    <Published>0</Published>
    <CreationDate>2000-01-01T00:00:00.000Z</CreationDate>
  </Header>
  <Data>
    <DataStorage format="fits">
      <DataContainer filestatus="PROPOSED" checksumMethod="MD5" checksumValue="{checksum}">
        <FileName>{_xml(unit)}</FileName>
      </DataContainer>
    </DataStorage>
  </Data>
  <Parameters>
{parameters}  </Parameters>
</dpd:{kind}>
""".encode()


def _xml(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(mark if mark >= " " else "?" for mark in text)
