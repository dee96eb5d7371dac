"""Products: XML files that name data files in `data/`."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from files import write_text
from program import Call, VisError

NAMESPACE: Final = "http://euclid.esa.org/schema/dpd/vis"


def product_text(product_type: str, product_id: str, files: Mapping[str, str]) -> str:
    """Return the XML of a product.

    Args:
        product_type: such as `DpdVisRawFrame`.
        product_id: unique among the products.
        files: name of the storage element and of its file in `data/`.
    """
    ET.register_namespace("ns", f"{NAMESPACE}/{product_type.removeprefix('DpdVis').lower()}")
    space = f"{NAMESPACE}/{product_type.removeprefix('DpdVis').lower()}"
    root = ET.Element(f"{{{space}}}{product_type}")
    header = ET.SubElement(root, "Header")
    for tag, text in (
        ("ProductId", product_id),
        ("ProductType", product_type),
        ("SoftwareName", "VIS_DEMO"),
        ("SoftwareRelease", "1.0"),
        ("EuclidPipelineSoftwareRelease", "1.0"),
        ("ProdSDC", "SDC-DEMO"),
        ("DataSetRelease", "DEMO"),
        ("Purpose", "TEST"),
        ("ManualValidationStatus", "UNKNOWN"),
        ("Curator", "VIS_DEMO"),
        ("CreationDate", _now()),
    ):
        ET.SubElement(header, tag).text = text
    body = ET.SubElement(root, "Data")
    for storage, name in files.items():
        container = ET.SubElement(ET.SubElement(body, storage), "DataContainer")
        container.set("filestatus", "COMMITTED")
        ET.SubElement(container, "FileName").text = name
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _now() -> str:
    now = datetime.now(UTC)  # noqa: TID251 (a science program: nobody hands it a clock)
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def write_product(path: Path, product_type: str, files: Mapping[str, str]) -> None:
    """Write a product with an id that no other has, however often its pipeline runs."""
    write_text(path, product_text(product_type, f"{path.stem.upper()}-{uuid4()}", files))


def product_files(path: Path, workdir: Path) -> list[Path]:
    """Return the data files that a product names.

    Raises:
        VisError: it is no product, names no file, or names one that is missing.
    """
    try:
        root = ET.parse(path).getroot()  # noqa: S314 (our own products)
    except ET.ParseError as error:
        raise VisError(f"'{path.name}' is not a product: {error}") from None
    names = [(element.text or "").strip() for element in root.iter("FileName")]
    files = [workdir / "data" / name for name in names if name not in {"", "None"}]
    if not files:
        raise VisError(f"the product '{path.name}' names no file")
    for file in files:
        if not file.is_file():
            raise VisError(f"the product '{path.name}' names 'data/{file.name}', which is missing")
    return files


def data_file(path: Path, workdir: Path) -> Path:
    """Return the first data file of a product, or the file itself when it is no product."""
    with path.open("rb") as file:
        opening = file.read(64).lstrip()
    return product_files(path, workdir)[0] if opening.startswith(b"<") else path


def new_data_file(call: Call, port: str) -> Path:
    """Return where in `data/` the file of an output product goes: each call gives another name."""
    folder = call.workdir / "data"
    folder.mkdir(exist_ok=True)
    stem = Path(call.paths[port]).with_suffix("").as_posix().replace("/", "-")
    return folder / f"{stem}-{uuid4()}.fits"
