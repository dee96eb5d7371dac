"""Simulate what a small VIS-like camera delivers: raw exposures, calibrations, catalogues, lists.

Called once, on an empty workdir, before the pipeline. Writes FITS files to `data/`, products and
list files beside it, and `vis.isf`, the pipeline's input file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import numpy as np
import sky
from astropy.io import fits
from camera import EXPTIME_S, GAP_PX, Camera, Detector, Exposed, aim, build_detector, look
from files import write_json, write_text
from frames import table_hdu, write_fits
from products import product_text
from program import VisError
from sky import Sky

GAIN: Final = 2.0  # electron/ADU
READ_NOISE_E: Final = 5.0
BIAS_ADU: Final = 1000.0
FLAT_EXPTIME_S: Final = 5.0
FLAT_E: Final = 40000.0
SATURATION_ADU: Final = 60000
OVERSCAN_PX: Final = 32
CALIBRATIONS: Final = 5
REFERENCE_MAG: Final = 22.0
REFERENCE_ERROR_DEG: Final = 0.015 / 3600
REFERENCE_MAG_ERROR: Final = 0.02
EPOCH_YR: Final = 2026.0
SMALLEST_PX: Final = 128


def write_raw(
    camera: Camera, name: str, light: Exposed, detector: Detector, rng: np.random.Generator
) -> str:
    """Read out a detector into `data/<name>.fits`; write and name the product."""
    size = camera.size
    counts = rng.poisson(np.clip(light.electrons, 0, 3e7)) / GAIN
    level = BIAS_ADU + 20 * detector.number + rng.normal(0, 3)
    full = level + rng.normal(0, READ_NOISE_E / GAIN, (size, size + OVERSCAN_PX))
    full[:, :size] += counts + detector.pattern
    header = fits.Header(
        {
            "OBSTYPE": light.kind,
            "CCDID": detector.number,
            "EXPTIME": light.exptime_s,
            "GAIN": GAIN,
            "RDNOISE": READ_NOISE_E,
            "SATURATE": SATURATION_ADU,
            "FILTER": "VIS",
            "INSTRUME": "VISSIM",
            "DATASEC": f"[1:{size},1:{size}]",
            "BIASSEC": f"[{size + 1}:{size + OVERSCAN_PX},1:{size}]",
        }
    )
    header.update(light.keywords)
    pixels = np.clip(np.rint(full), 0, 65535).astype(np.uint16)
    write_fits(camera.root / "data" / f"{name}.fits", [fits.PrimaryHDU(pixels, header)])
    product = "DpdVisRawFrame" if light.kind == "SCIENCE" else f"DpdVis{light.kind.title()}Frame"
    return write_xml(camera, name, product, "DataStorage")


def write_xml(camera: Camera, name: str, product_type: str, storage: str) -> str:
    """Write the product of `data/<name>.fits`; return the product's name."""
    text = product_text(product_type, name.upper(), {storage: f"{name}.fits"})
    write_text(camera.root / f"{name}.xml", text)
    return f"{name}.xml"


def write_calibrations(camera: Camera, detectors: list[Detector]) -> None:
    """Write bias, dark and flat frames, and one list of lists a kind: detectors, then frames."""
    black = np.zeros((camera.size, camera.size))
    kinds = ("bias", "dark", "flat")
    names: dict[str, list[list[str]]] = {kind: [] for kind in kinds}
    for detector in detectors:
        flat_dark = detector.dark_e_s * FLAT_EXPTIME_S
        dark = Exposed(electrons=detector.dark_e_s * EXPTIME_S, kind="DARK", exptime_s=EXPTIME_S)
        for kind in kinds:
            names[kind].append([])
        for i in range(CALIBRATIONS):
            lamp = FLAT_E * (1 + 0.03 * i)
            lights = {
                "bias": Exposed(electrons=black, kind="BIAS", exptime_s=0.0),
                "dark": dark,
                "flat": Exposed(
                    electrons=detector.flat * lamp + flat_dark,
                    kind="FLAT",
                    exptime_s=FLAT_EXPTIME_S,
                ),
            }
            for stream, (kind, light) in enumerate(lights.items()):
                name = f"vis_{kind}_{i + 1:02d}_c{detector.number}"
                rng = camera.chance(4, stream, detector.number, i)
                product = write_raw(camera, name, light, detector, rng)
                names[kind][-1].append(product)
    for kind in kinds:
        write_json(camera.root / f"{kind}_frames.json", names[kind])


def write_exposures(camera: Camera, field_sky: Sky, detectors: list[Detector]) -> None:
    """Write the raw exposures, a list of detectors for each, and the list of these lists.

    The lists are files of their own, since a list of lists of one element would be taken for a
    flat list, as runners of pipelines once wrote them.
    """
    exposures = []
    for number in range(1, camera.exposures + 1):
        pointing = aim(camera, number)
        frames = []
        for detector in detectors:
            light = look(camera, field_sky, pointing, detector)
            name = f"vis_raw_e{number:02d}_c{detector.number}"
            rng = camera.chance(5, number, detector.number)
            frames.append(write_raw(camera, name, light, detector, rng))
        exposures.append(f"exposure_{number:02d}.json")
        write_json(camera.root / exposures[-1], frames)
    write_json(camera.root / "exposures.json", exposures)


def write_catalogues(camera: Camera, field_sky: Sky) -> None:
    """Write the truth, and the bright objects with errors as the external reference."""
    truth = {
        "RA": field_sky.ra_deg,
        "DEC": field_sky.dec_deg,
        "MAG": field_sky.mag,
        "STAR": field_sky.star,
        "RADIUS": field_sky.radius_arcsec,
        "AXIS_RATIO": field_sky.axis_ratio,
        "ANGLE": field_sky.angle_rad,
        "BULGE": field_sky.bulge,
    }
    path = camera.root / "data" / "vis_truth_catalogue.fits"
    write_fits(path, [fits.PrimaryHDU(), table_hdu(truth, "TRUTH")])
    write_xml(camera, "vis_truth_catalogue", "DpdVisTruthCatalogue", "CatalogueStorage")

    rng = camera.chance(6)
    bright = field_sky.mag < REFERENCE_MAG
    count = int(np.count_nonzero(bright))
    ra_error_deg = REFERENCE_ERROR_DEG / np.cos(np.deg2rad(sky.DEC_DEG))
    error = np.full(count, REFERENCE_ERROR_DEG, dtype=np.float32)
    mag_error = np.full(count, REFERENCE_MAG_ERROR, dtype=np.float32)
    reference = {
        "X_WORLD": field_sky.ra_deg[bright] + rng.normal(0, ra_error_deg, count),
        "Y_WORLD": field_sky.dec_deg[bright] + rng.normal(0, REFERENCE_ERROR_DEG, count),
        "ERRA_WORLD": error,
        "ERRB_WORLD": error,
        "ERRTHETA_WORLD": np.zeros(count, dtype=np.float32),
        "MAG": (field_sky.mag[bright] + rng.normal(0, mag_error)).astype(np.float32),
        "MAGERR": mag_error,
        "OBSDATE": np.full(count, EPOCH_YR),
    }
    path = camera.root / "data" / "vis_reference_catalogue.fits"
    write_fits(path, [fits.PrimaryHDU(), _ldac_head(), table_hdu(reference, "LDAC_OBJECTS")])
    write_xml(camera, "vis_reference_catalogue", "DpdVisReferenceCatalogue", "CatalogueStorage")


def _ldac_head() -> fits.BinTableHDU:
    """Return the header table that the FITS_LDAC format of the astromatic programs wants."""
    cards = fits.Header().tostring(endcard=True, padding=True)
    column = fits.Column("Field Header Card", f"{len(cards)}A", array=np.array([cards]))
    return fits.BinTableHDU.from_columns([column], name="LDAC_IMHEAD")


def write_isf(camera: Camera) -> None:
    """Write the input file of the pipeline."""
    what = f"{camera.exposures} exposures of {camera.detectors} detectors of {camera.size} pixels"
    lines = (
        f"# {what}, seed {camera.seed}",
        "exposures=exposures.json",
        "bias_frames=bias_frames.json",
        "dark_frames=dark_frames.json",
        "flat_frames=flat_frames.json",
        "reference_catalogue=vis_reference_catalogue.xml",
        "truth_catalogue=vis_truth_catalogue.xml",
    )
    write_text(camera.root / "vis.isf", "\n".join(lines) + "\n")


def simulate(camera: Camera) -> None:
    """Write everything."""
    (camera.root / "data").mkdir(parents=True, exist_ok=True)
    dither_x, dither_y = (step * camera.exposures / 2 for step in camera.step_px)
    half_width = camera.detectors * (camera.size + GAP_PX) / 2 + dither_x + 40
    field_sky = sky.populate(camera.chance(0), half_width, camera.size / 2 + dither_y + 40)
    detectors = [build_detector(camera, number + 1) for number in range(camera.detectors)]
    write_calibrations(camera, detectors)
    write_exposures(camera, field_sky, detectors)
    write_catalogues(camera, field_sky)
    write_isf(camera)


def main() -> None:
    """Read the command line and simulate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--workdir", required=True, type=Path, help="folder to fill")
    parser.add_argument("--logdir", default="logs", help="folder of log files; not used")
    parser.add_argument("--size", type=int, default=1024, help="width of a detector, pixels")
    parser.add_argument("--exposures", type=int, default=4)
    parser.add_argument("--detectors", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.size < SMALLEST_PX or given.exposures < 1 or given.detectors < 1 or given.seed < 0:
        sys.exit(
            f"simulate: --size must be at least {SMALLEST_PX}, --exposures and --detectors "
            "at least 1, --seed at least 0"
        )
    camera = Camera(
        root=given.workdir,
        size=given.size,
        exposures=given.exposures,
        detectors=given.detectors,
        seed=given.seed,
    )
    try:
        simulate(camera)
    except (VisError, OSError) as error:
        sys.exit(f"simulate: {error}")


if __name__ == "__main__":
    main()
