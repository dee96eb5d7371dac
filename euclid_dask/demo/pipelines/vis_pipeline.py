"""What the VIS pipelines of both flavours share: calibration, and the cleaning of one frame."""

from typing import Any

from vis_python import (
    vis_background,
    vis_correct,
    vis_cosmics,
    vis_master_bias,
    vis_master_dark,
    vis_master_flat,
)

from euclid_dask import nested, parallel


@parallel(iterable="bias_frames")
def make_biases(bias_frames: Any) -> Any:
    """Make the master bias of each detector."""
    return vis_master_bias(frames=bias_frames)


@parallel(iterable="dark_frames")
def make_darks(dark_frames: Any, master_biases: Any) -> Any:
    """Make the master dark of each detector, which picks its bias from the list."""
    return vis_master_dark(frames=dark_frames, master_biases=master_biases)


@parallel(iterable="flat_frames")
def make_flats(flat_frames: Any, master_biases: Any, master_darks: Any) -> Any:
    """Make the master flat of each detector."""
    return vis_master_flat(
        frames=flat_frames, master_biases=master_biases, master_darks=master_darks
    )


@nested()
def calibrate(bias_frames: Any, dark_frames: Any, flat_frames: Any) -> Any:
    """Make the lists of all master frames, one element a detector."""
    master_biases = make_biases(bias_frames=bias_frames)
    master_darks = make_darks(dark_frames=dark_frames, master_biases=master_biases)
    master_flats = make_flats(
        flat_frames=flat_frames, master_biases=master_biases, master_darks=master_darks
    )
    return master_biases, master_darks, master_flats


def clean(raw: Any, master_biases: Any, master_darks: Any, master_flats: Any) -> Any:
    """Make a science frame of a raw one. Undecorated: its tasks belong to the caller's scope."""
    corrected = vis_correct(
        raw=raw,
        master_biases=master_biases,
        master_darks=master_darks,
        master_flats=master_flats,
    )
    cleaned = vis_cosmics(frame=corrected)
    return vis_background(frame=cleaned)
