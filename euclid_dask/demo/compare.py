"""Compare the products of two workdirs, value for value.

    python compare.py A B [--all]

Products are found by their file names, wherever the runs put them: the combined image, the
catalogue, the report of the check, the quicklook and the astrometric solution. `--all` compares
every file that has the same path below both folders. Images, tables, header keywords, JSON and
the pixels of pictures are compared; dates, checksums and comments are not.
"""

from __future__ import annotations

import argparse
import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.io import fits  # type: ignore[import-untyped]
from PIL import Image

PRODUCTS: Final = (
    "coadd.xml",
    "catalogue.fits",
    "report.json",
    "quicklook.png",
    "solution.fits",
    "solution.json",
)
SUFFIXES: Final = (".xml", ".fits", ".json", ".png")
DATED_TABLE: Final = "LDAC_IMHEAD"  # header cards as text, the time of extraction among them
UNCOMPARED: Final = {"COMMENT", "HISTORY", "", "CHECKSUM", "DATASUM", "DATE"}


class DifferenceError(Exception):
    """The two sides differ; the message says where."""


def main() -> int:
    """Compare two workdirs; return 1 at the first difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    parser.add_argument("--all", action="store_true", help="every file of the same path")
    given = parser.parse_args()
    try:
        pairs = list((common if given.all else products)(given.a, given.b))
        for name, one, other in pairs:
            compare(name, one, other, (given.a, given.b))
    except (DifferenceError, OSError) as error:
        sys.stderr.write(f"compare: {error}\n")
        return 1
    sys.stdout.write(f"{len(pairs)} files are equal\n")
    return 0


def products(a: Path, b: Path) -> Iterator[tuple[str, Path, Path]]:
    """Yield name and both files of each product.

    Raises:
        DifferenceError: a product is on one side only, or twice, or there is none at all.
    """
    seen = False
    for name in PRODUCTS:
        found = [[path for path in files(root) if path.name == name] for root in (a, b)]
        counts = [len(paths) for paths in found]
        if counts == [0, 0]:
            continue
        if counts != [1, 1]:
            raise DifferenceError(f"{name} is there {counts[0]} and {counts[1]} times")
        seen = True
        yield name, found[0][0], found[1][0]
    if not seen:
        raise DifferenceError(f"neither '{a}' nor '{b}' holds a product")


def common(a: Path, b: Path) -> Iterator[tuple[str, Path, Path]]:
    """Yield relative path and both files of everything that both sides have."""
    names = {path.relative_to(a) for path in files(a)} & {path.relative_to(b) for path in files(b)}
    for name in sorted(names):
        yield str(name), a / name, b / name
    if not names:
        raise DifferenceError(f"'{a}' and '{b}' have no file in common")


def files(root: Path) -> Iterator[Path]:
    """Yield the files below a folder that can be compared, hidden folders left out."""
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.suffix in SUFFIXES and path.is_file() and not hidden:
            yield path


def compare(name: str, a: Path, b: Path, roots: tuple[Path, Path]) -> None:
    """Compare two files.

    Raises:
        DifferenceError: they differ.
    """
    match a.suffix:
        case ".fits":
            compare_fits(name, a, b)
        case ".json":
            compare_json(name, json.loads(a.read_text()), json.loads(b.read_text()))
        case ".png":
            pixels = [np.asarray(Image.open(path)) for path in (a, b)]
            compare_arrays(name, pixels[0], pixels[1])
        case _:
            compare_products(name, a, b, roots)


def compare_products(name: str, a: Path, b: Path, roots: tuple[Path, Path]) -> None:
    """Compare the type of two products and the data files that they name, in their order."""
    trees = [ET.parse(path).getroot() for path in (a, b)]  # noqa: S314 (our own products)
    if trees[0].tag != trees[1].tag:
        raise DifferenceError(f"{name}: {trees[0].tag} is not {trees[1].tag}")
    named = [[element.text or "" for element in tree.iter("FileName")] for tree in trees]
    if len(named[0]) != len(named[1]):
        raise DifferenceError(f"{name} names {len(named[0])} and {len(named[1])} files")
    for one, other in zip(*named, strict=True):
        compare_fits(f"{name}: {one}", roots[0] / "data" / one, roots[1] / "data" / other)


def compare_json(name: str, a: Any, b: Any) -> None:
    """Compare two JSON values, and say which part differs."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        for key in a:
            compare_json(f"{name}: {key}", a[key], b[key])
    elif a != b:
        raise DifferenceError(f"{name}: {a} is not {b}")


def compare_fits(name: str, a: Path, b: Path) -> None:
    """Compare keywords, images and table columns of two FITS files."""
    with fits.open(a) as one, fits.open(b) as other:
        if len(one) != len(other):
            raise DifferenceError(f"{name} has {len(one)} and {len(other)} extensions")
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            if left.name == DATED_TABLE:
                continue
            place = f"{name}[{left.name or index}]"
            compare_json(place, _keywords(left.header), _keywords(right.header))
            if isinstance(left, fits.BinTableHDU):
                for column in left.columns.names:
                    compare_arrays(f"{place}.{column}", left.data[column], right.data[column])
            else:
                compare_arrays(place, left.data, right.data)


def _keywords(header: fits.Header) -> dict[str, Any]:
    return {key: value for key, value in header.items() if key not in UNCOMPARED}


def compare_arrays(name: str, a: Any, b: Any) -> None:
    """Compare two arrays, not-a-number equal to itself."""
    if a is None or b is None:
        if a is not b:
            raise DifferenceError(f"{name} has data on one side only")
        return
    if a.shape != b.shape:
        raise DifferenceError(f"{name} has the shapes {a.shape} and {b.shape}")
    nan = (a != a) & (b != b)  # noqa: PLR0124 (also for columns that are not numbers)
    different = np.argwhere((a != b) & ~nan)
    if len(different):
        at = tuple(int(i) for i in different[0])
        raise DifferenceError(
            f"{name} differs in {len(different)} values, first at {list(at)}: {a[at]}, {b[at]}"
        )


if __name__ == "__main__":
    sys.exit(main())
