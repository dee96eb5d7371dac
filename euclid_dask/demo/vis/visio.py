"""What every program of the demo shares: its command line, list files, products, FITS frames.

Rule 1: a program is told files and nothing else: `--workdir`, `--logdir`, one option a port.
Rule 2: a file appears under its own name only when it is whole.
Rule 3: wrong input ends a program with status 1 and one sentence on stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

# One core is what the package definition asks for; and sums in one thread always come out alike.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import numpy as np  # noqa: E402
from astropy.io import fits  # noqa: E402
from astropy.utils.exceptions import AstropyUserWarning  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

Image = NDArray[np.float32]
Flags = NDArray[np.uint8]
Floats = NDArray[np.float64]
Table = NDArray[Any]

HOT: Final = 1
DEAD: Final = 2
SATURATED: Final = 4
COSMIC: Final = 8
BAD: Final = HOT | DEAD | COSMIC
MAGZERO: Final = 30.75
"""Magnitude of one electron in the whole exposure, in every calibrated image."""

NAMESPACE: Final = "http://euclid.esa.org/schema/dpd/vis"
JSON_LIST_OPENS: Final = b"["


class VisError(Exception):
    """An input cannot be used; the message is one sentence."""


# --- the command line


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the command line said.

    Args:
        workdir: the folder that all paths are relative to.
        paths: relative path of each port that was given.
        options: value of each literal option.
    """

    workdir: Path
    paths: Mapping[str, str]
    options: Mapping[str, float]

    def source(self, port: str) -> Path:
        """Return the file of an input port.

        Raises:
            VisError: the file does not exist.
        """
        path = self.workdir / self.paths[port]
        if not path.is_file():
            raise VisError(f"input '{port}' names '{self.paths[port]}', which is not a file")
        return path

    def target(self, port: str) -> Path:
        """Return the file of an output port, in a folder that exists."""
        path = self.workdir / self.paths[port]
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class _Parser(argparse.ArgumentParser):
    """A parser that complains in one sentence."""

    def error(self, message: str) -> NoReturn:
        raise VisError(f"the command line is wrong: {message}")


def run(
    step: Callable[[Call], None],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    options: Mapping[str, float] | None = None,
) -> NoReturn:
    """Read the command line, do one step and leave the process.

    Args:
        step: the science.
        inputs: names of the input ports.
        outputs: names of the output ports.
        options: name and default of each literal option.
    """
    defaults = dict(options or {})
    parser = _Parser(description=step.__doc__, allow_abbrev=False)
    parser.add_argument("--workdir", required=True, type=Path, help="folder of all files")
    parser.add_argument("--logdir", default="logs", help="folder of log files; not used")
    for port in inputs:
        parser.add_argument(f"--{port}", required=True, help="input, relative to the workdir")
    for port in outputs:
        parser.add_argument(f"--{port}", required=True, help="output, relative to the workdir")
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    try:
        given = vars(parser.parse_args())
        call = Call(
            workdir=given["workdir"],
            paths={port: given[port] for port in (*inputs, *outputs)},
            options={name: given[name] for name in defaults},
        )
        if not call.workdir.is_dir():
            raise VisError(f"the workdir '{call.workdir}' is not a folder")  # noqa: TRY301
        step(call)
    except (VisError, OSError) as error:
        reason = " ".join(str(error).split())
        sys.exit(f"{Path(sys.argv[0]).stem}: {reason}")
    sys.exit(0)


# --- whole files only


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`, and rename it to `path` when the block ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write a JSON file with sorted keys."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


# --- list files


def is_list_file(path: Path) -> bool:
    """Tell whether a file holds a JSON list, whatever its name says."""
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith(JSON_LIST_OPENS)


def read_rows(path: Path, workdir: Path) -> list[Any]:
    """Read a list file; elements that name list files are replaced by what those hold.

    So a split in a split, whose join is a list of list files, reads as a list of lists.

    Raises:
        VisError: it is not a JSON list, or an element is not a file.
    """
    try:
        elements = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError):
        raise VisError(f"'{path.name}' is not a JSON list file") from None
    if not isinstance(elements, list):
        raise VisError(f"'{path.name}' holds JSON, but no list")
    return [_element(element, path, workdir) for element in elements]


def _element(element: object, owner: Path, workdir: Path) -> Any:
    if isinstance(element, list):
        return [_element(inner, owner, workdir) for inner in element]
    if not isinstance(element, str):
        raise VisError(f"'{owner.name}' holds {element!r}, which is not a path")
    path = workdir / element
    if not path.is_file():
        raise VisError(f"'{owner.name}' names '{element}', which is not a file")
    return read_rows(path, workdir) if is_list_file(path) else path


def read_paths(path: Path, workdir: Path) -> list[Path]:
    """Read a list file, or lists of lists, as one flat list of at least one path."""
    paths = list(_flatten(read_rows(path, workdir)))
    if not paths:
        raise VisError(f"the list '{path.name}' is empty")
    return paths


def _flatten(rows: Iterable[Any]) -> Iterator[Path]:
    for row in rows:
        if isinstance(row, list):
            yield from _flatten(row)
        else:
            yield row


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduced:
    """The files of one reduced detector frame."""

    frame: Path
    detections: Path
    psf: Path


def read_reduced(path: Path, workdir: Path) -> list[Reduced]:
    """Read the rows (frame, detections, psf) of all exposures and detectors, in their order.

    Raises:
        VisError: a row does not hold three files, or there is no row.
    """
    paths = read_paths(path, workdir)
    if len(paths) % 3:
        raise VisError(f"'{path.name}' has {len(paths)} files, not three for each frame")
    return [
        Reduced(frame=frame, detections=detections, psf=psf)
        for frame, detections, psf in zip(paths[::3], paths[1::3], paths[2::3], strict=True)
    ]


# --- products


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
    """Write a product whose id is its own path's name."""
    write_text(path, product_text(product_type, path.stem.upper(), files))


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
    """Return where in `data/` the file of an output product goes: one name a task and port."""
    folder = call.workdir / "data"
    folder.mkdir(exist_ok=True)
    stem = Path(call.paths[port]).with_suffix("").as_posix().replace("/", "-")
    return folder / f"{stem}.fits"


# --- FITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A calibrated image.

    Args:
        image: electrons.
        weight: inverse variance, 1/electron^2; 0 where the pixel is of no use.
        flag: bits HOT, DEAD, SATURATED, COSMIC.
        header: keywords, the world coordinates among them.
    """

    image: Image
    weight: Image
    flag: Flags
    header: fits.Header


@contextmanager
def opened(path: Path) -> Iterator[fits.HDUList]:
    """Open a FITS file for reading.

    Raises:
        VisError: it is no FITS file, is cut short, or lacks something that the block asks for.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="File may have been truncated")
            with fits.open(path, memmap=False) as hdus:
                yield hdus
    except (OSError, KeyError, IndexError, TypeError, ValueError, AstropyUserWarning) as error:
        raise VisError(f"'{path.name}' cannot be read as FITS: {error}") from error


def write_fits(path: Path, hdus: Sequence[Any]) -> None:
    """Write a FITS file."""
    with whole(path) as temporary:
        fits.HDUList(list(hdus)).writeto(temporary, overwrite=True, output_verify="silentfix")


def read_frame(path: Path) -> Frame:
    """Read a calibrated image."""
    with opened(path) as hdus:
        return Frame(
            image=np.ascontiguousarray(hdus[0].data, dtype=np.float32),
            weight=np.ascontiguousarray(hdus["WEIGHT"].data, dtype=np.float32),
            flag=np.ascontiguousarray(hdus["FLAG"].data, dtype=np.uint8),
            header=hdus[0].header,
        )


def write_frame(path: Path, frame: Frame) -> None:
    """Write a calibrated image."""
    write_fits(
        path,
        (
            fits.PrimaryHDU(frame.image, frame.header),
            fits.ImageHDU(frame.weight, name="WEIGHT"),
            fits.ImageHDU(frame.flag, name="FLAG"),
        ),
    )


def read_table(path: Path, name: str) -> tuple[Table, fits.Header]:
    """Read the table `name` of a FITS file, and the header of its primary part."""
    with opened(path) as hdus:
        # column by column: the raw records hold logical values as letters
        columns = {key: np.asarray(hdus[name].data[key]) for key in hdus[name].columns.names}
        kinds = [(key, values.dtype.newbyteorder("=")) for key, values in columns.items()]
        table = np.empty(len(hdus[name].data), dtype=kinds)
        for key, values in columns.items():
            table[key] = values
        return table, hdus[0].header


def table_hdu(columns: Mapping[str, Any], name: str) -> fits.BinTableHDU:
    """Return a table extension; 64-bit floats stay so, the others keep their own kind."""
    formats = {"f8": "D", "f4": "E", "i8": "K", "i4": "J", "i2": "I", "b1": "L"}
    arrays = {key: np.asarray(values) for key, values in columns.items()}
    cards = [
        fits.Column(key, formats[array.dtype.str[1:]], array=array) for key, array in arrays.items()
    ]
    return fits.BinTableHDU.from_columns(cards, name=name)


def by_detector(paths: Iterable[Path], ccd: int) -> Path:
    """Return the one file of a detector.

    Raises:
        VisError: there is none, or more than one.
    """
    found = []
    for path in paths:
        with opened(path) as hdus:
            if hdus[0].header["CCDID"] == ccd:
                found.append(path)
    if len(found) != 1:
        raise VisError(f"{len(found)} calibration files are of detector {ccd}, not one")
    return found[0]


def mad_sigma(values: NDArray[Any]) -> float:
    """Return the scatter of values as the width of a Gaussian, by the median deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
