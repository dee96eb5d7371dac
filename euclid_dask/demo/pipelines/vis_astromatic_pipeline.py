"""The VIS pipeline, astromatic flavour: raw exposures to a checked catalogue of the field."""

from typing import Any

from vis_astromatic import psfex_psf, scamp_astrometry, sex_catalogue, sex_detect, swarp_coadd
from vis_pipeline import calibrate, clean
from vis_python import vis_check, vis_quicklook

from euclid_dask import parallel, pipeline


@parallel(iterable="raw")
def reduce_detector(raw: Any, master_biases: Any, master_darks: Any, master_flats: Any) -> Any:
    """Reduce one detector's frame: clean it, find its sources, measure its sharpness."""
    frame = clean(raw, master_biases, master_darks, master_flats)
    detections = sex_detect(frame=frame)
    psf = psfex_psf(detections=detections)
    return frame, detections, psf


@parallel(iterable="exposure")
def reduce_exposure(exposure: Any, master_biases: Any, master_darks: Any, master_flats: Any) -> Any:
    """Reduce all detectors of one exposure; the result is the list of its frames."""
    return reduce_detector(
        raw=exposure,
        master_biases=master_biases,
        master_darks=master_darks,
        master_flats=master_flats,
    )


@pipeline(outputs=("coadd", "catalogue", "check", "quicklook", "solution"))
def vis_astromatic_pipeline(
    exposures: Any,
    bias_frames: Any,
    dark_frames: Any,
    flat_frames: Any,
    reference_catalogue: Any,
    truth_catalogue: Any,
) -> Any:
    """Calibrate, reduce every frame, solve, combine, measure, compare with the truth."""
    master_biases, master_darks, master_flats = calibrate(
        bias_frames=bias_frames, dark_frames=dark_frames, flat_frames=flat_frames
    )
    reduced = reduce_exposure(
        exposure=exposures,
        master_biases=master_biases,
        master_darks=master_darks,
        master_flats=master_flats,
    )
    solution = scamp_astrometry(reduced=reduced, reference_catalogue=reference_catalogue)
    coadd = swarp_coadd(reduced=reduced, solution=solution)
    catalogue = sex_catalogue(coadd=coadd)
    report = vis_check(catalogue=catalogue, truth_catalogue=truth_catalogue)
    quicklook = vis_quicklook(coadd=coadd, catalogue=catalogue)
    return coadd, catalogue, report, quicklook, solution
