"""Fit the world coordinates of all frames with SCAMP to the external reference catalogue.

The solution is a JSON object: for each frame, such as `E01-C2`, the header cards that SWarp reads.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from astromatic import folder, start
from files import read_reduced, write_json
from frames import MAGZERO, opened
from products import data_file
from program import Call, VisError, run

if TYPE_CHECKING:
    from pathlib import Path

DATED: Final = ("HISTORY", "COMMENT")
OPTIONS: Final = {
    "ASTREF_CATALOG": "FILE",
    "ASTREFCAT_NAME": "reference.cat",
    "ASTREFCENT_KEYS": "X_WORLD,Y_WORLD",
    "ASTREFERR_KEYS": "ERRA_WORLD,ERRB_WORLD,ERRTHETA_WORLD",
    "ASTREFMAG_KEY": "MAG",
    "ASTREFMAGERR_KEY": "MAGERR",
    "ASTREFOBSDATE_KEY": "OBSDATE",
    "POSITION_MAXERR": 0.1,
    "MATCH_RESOL": 0.5,  # the automatic resolution costs half a minute and half a gigabyte
    "POSANGLE_MAXERR": 1.0,
    "PIXSCALE_MAXERR": 1.05,
    "CROSSID_RADIUS": 1.0,
    "ASTRINSTRU_KEY": "FILTER,CCDID",
    "PHOTINSTRU_KEY": "FILTER",
    "MAGZERO_KEY": "MAGZERO",
    "MAGZERO_OUT": MAGZERO,
    "SN_THRESHOLDS": "20,100",
    "MOSAIC_TYPE": "UNCHANGED",
    "FWHM_THRESHOLDS": "1.0,20.0",
    "CHECKPLOT_TYPE": "NONE",
    "CHECKPLOT_DEV": "NULL",
    "MERGEDOUTCAT_TYPE": "NONE",
    "WRITE_XML": "N",
    "VERBOSE_TYPE": "QUIET",
    "NTHREADS": 1,
}
CUBIC_FROM: Final = 60
"""Reference objects in the field from which the distortion is fitted to the third degree."""


def frame_name(path: Path) -> str:
    """Return the name of a frame by its exposure and detector."""
    with opened(path) as hdus:
        header = hdus[0].header
        return f"E{header['EXPID']:02d}-C{header['CCDID']}"


def undated(head: str) -> str:
    """Return header cards without those that tell when they were made."""
    lines = [line for line in head.splitlines() if not line.startswith(DATED)]
    return "\n".join(lines) + "\n"


def step(call: Call) -> None:
    """Solve all frames."""
    target = call.target("solution")
    catalogue = data_file(call.source("reference_catalogue"), call.workdir)
    with folder(target) as at:
        shutil.copy(catalogue, at / "reference.cat")
        with opened(catalogue) as hdus:
            degree = 3 if len(hdus["LDAC_OBJECTS"].data) >= CUBIC_FROM else 1
        names = []
        for row in read_reduced(call.source("reduced"), call.workdir):
            names.append(frame_name(row.frame))
            shutil.copy(row.detections, at / f"{names[-1]}.cat")
        catalogues = [f"{name}.cat" for name in names]
        start("scamp", catalogues, {**OPTIONS, "DISTORT_DEGREES": degree}, at)
        heads = {name: at / f"{name}.head" for name in names}
        missing = [name for name, head in heads.items() if not head.is_file()]
        if missing:
            raise VisError(f"SCAMP found no solution for {', '.join(missing)}")
        texts = {name: undated(head.read_text(errors="replace")) for name, head in heads.items()}
        write_json(target, texts)


if __name__ == "__main__":
    run(step, inputs=("reduced", "reference_catalogue"), outputs=("solution",))
