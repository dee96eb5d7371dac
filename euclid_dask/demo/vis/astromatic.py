"""Start the astromatic programs: the files they want, their options, their complaints."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from astropy.io import fits
from frames import MAGZERO, Frame, opened, read_frame
from program import VisError
from sources import APERTURE_PX, kernel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PACKAGES: Final = {
    "source-extractor": "source-extractor",
    "psfex": "psfex",
    "scamp": "scamp",
    "SWarp": "swarp",
}
VIGNET_PX: Final = 35
CATALOGUE_COLUMNS: Final = (
    "NUMBER",
    "X_IMAGE",
    "Y_IMAGE",
    "XWIN_IMAGE",
    "YWIN_IMAGE",
    "ALPHAWIN_J2000",
    "DELTAWIN_J2000",
    "ERRAWIN_IMAGE",
    "ERRBWIN_IMAGE",
    "ERRTHETAWIN_IMAGE",
    "FLUX_AUTO",
    "FLUXERR_AUTO",
    "MAG_AUTO",
    "MAGERR_AUTO",
    "FLUX_APER(1)",
    "FLUXERR_APER(1)",
    "MAG_APER(1)",
    "MAGERR_APER(1)",
    "KRON_RADIUS",
    "FLUX_RADIUS",
    "FWHM_IMAGE",
    "A_IMAGE",
    "B_IMAGE",
    "THETA_IMAGE",
    "ELONGATION",
    "SNR_WIN",
    "FLUX_MAX",
    "FLAGS",
    "FLAGS_WIN",
)


def start(program: str, arguments: Sequence[str], options: Mapping[str, object], at: Path) -> None:
    """Run an astromatic program in a folder.

    Raises:
        VisError: it is not installed, or it fails.
    """
    binary = shutil.which(program)
    if binary is None:
        raise VisError(
            f"the program '{program}' is not installed (Debian package '{PACKAGES[program]}')"
        )
    line = [binary, *arguments]
    for name, value in options.items():
        line += [f"-{name}", str(value)]
    done = subprocess.run(line, cwd=at, capture_output=True, text=True, errors="replace")  # noqa: PLW1510
    if done.returncode != 0:
        words = [text for text in (done.stderr + done.stdout).splitlines() if text.strip()]
        reason = words[-1].strip() if words else "it says nothing"
        raise VisError(f"{program} ended with status {done.returncode}: {reason}")


@contextmanager
def folder(target: Path) -> Iterator[Path]:
    """Give a folder beside an output that is gone afterwards."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as name:
        yield Path(name).resolve()


def unpack(path: Path, at: Path, stem: str) -> Frame:
    """Write image, weight and flags of a frame to the three files that the programs want."""
    frame = read_frame(path)
    fits.PrimaryHDU(frame.image, frame.header).writeto(at / f"{stem}.fits")
    fits.PrimaryHDU(frame.weight).writeto(at / f"{stem}.weight.fits")
    fits.PrimaryHDU(frame.flag.astype(np.int16)).writeto(at / f"{stem}.flag.fits")
    return frame


def extract(at: Path, stem: str, threshold: float, *, stamps: bool) -> None:
    """Run source-extractor on an unpacked frame; writes `<stem>.cat` in FITS_LDAC.

    Args:
        at: folder of the frame.
        stem: of its files.
        threshold: detection threshold in units of the noise.
        stamps: whether each source comes with its flags and its pixels, as PSFEx wants.
    """
    columns = list(CATALOGUE_COLUMNS)
    flags: dict[str, object] = {}
    if stamps:
        columns += ["IMAFLAGS_ISO", f"VIGNET({VIGNET_PX},{VIGNET_PX})"]
        flags = {"FLAG_IMAGE": f"{stem}.flag.fits"}
    (at / "columns.param").write_text("\n".join(columns) + "\n")
    rows = [" ".join(f"{value:.6f}" for value in row) for row in kernel()]
    (at / "kernel.conv").write_text("CONV NORM\n" + "\n".join(rows) + "\n")
    options: dict[str, object] = {
        "CATALOG_TYPE": "FITS_LDAC",
        "CATALOG_NAME": f"{stem}.cat",
        "PARAMETERS_NAME": "columns.param",
        "FILTER_NAME": "kernel.conv",
        "DETECT_THRESH": threshold,
        "ANALYSIS_THRESH": threshold,
        "DETECT_MINAREA": 5,
        "PHOT_APERTURES": 2 * APERTURE_PX,
        "PIXEL_SCALE": 0,
        "SEEING_FWHM": 0.55,
        "BACK_SIZE": 128,
        "GAIN_KEY": "GAIN",
        "SATUR_KEY": "SATURATE",
        "MAG_ZEROPOINT": MAGZERO,
        "WEIGHT_TYPE": "MAP_WEIGHT",
        "WEIGHT_IMAGE": f"{stem}.weight.fits",
        "VERBOSE_TYPE": "QUIET",
        "WRITE_XML": "N",
        **flags,
    }
    start("source-extractor", [f"{stem}.fits"], options, at)


def ldac_objects(path: Path) -> Any:
    """Return the table of a FITS_LDAC catalogue.

    Raises:
        VisError: it is empty.
    """
    with opened(path) as hdus:
        objects = hdus["LDAC_OBJECTS"].data
        if not len(objects):
            raise VisError(f"no source was detected in '{path.stem}'")
        return objects
