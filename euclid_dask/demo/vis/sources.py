"""Detect and measure sources in an image whose background is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import sep
from frames import Floats, Image, Table
from program import VisError

if TYPE_CHECKING:
    from numpy.typing import NDArray

APERTURE_PX: Final = 6.0
KRON_FACTOR: Final = 2.5
KRON_LEAST_PX: Final = 3.5
KERNEL_SIGMA_PX: Final = 0.85
PIXEL_STACK: Final = 1_000_000
PARTLY_UNUSABLE: Final = 256
"""Flag beside those of sep: pixels without weight inside the aperture."""


def kernel() -> Image:
    """Return the 5x5 Gaussian that detection convolves with."""
    along = np.arange(-2, 3) ** 2
    weights = np.exp(-0.5 * (along[:, None] + along[None, :]) / KERNEL_SIGMA_PX**2)
    normal: Image = (weights / weights.sum()).astype(np.float32)
    return normal


def measure(
    image: Image, weight: Image, saturated: NDArray[Any], threshold: float
) -> dict[str, NDArray[Any]]:
    """Return the columns of a catalogue, sorted by y, then x.

    Args:
        image: background-subtracted.
        weight: inverse variance; 0 where the pixel is of no use.
        saturated: not 0 where a pixel was full.
        threshold: detection threshold in units of the noise.

    Raises:
        VisError: nothing is found, or more than sep can hold.
    """
    unusable = weight <= 0
    noise = np.where(unusable, 1e9, 1 / np.sqrt(np.where(unusable, 1, weight)))
    noise = noise.astype(np.float32)
    sep.set_extract_pixstack(max(PIXEL_STACK, image.size // 4))
    try:
        found = sep.extract(
            image,
            threshold,
            err=noise,
            mask=unusable,
            minarea=5,
            filter_kernel=kernel(),
            filter_type="conv",
        )
    except Exception as error:  # sep raises the bare Exception
        raise VisError(f"the detection failed: {error}") from error
    if not len(found):
        raise VisError("no source was detected")
    found = found[np.lexsort((found["x"], found["y"]))]
    return _columns(found, image, noise, unusable, saturated)


def _columns(
    found: Table, image: Image, noise: Image, unusable: NDArray[np.bool_], saturated: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    x, y, a, b, theta = (found[key].astype(float) for key in ("x", "y", "a", "b", "theta"))
    theta = np.clip(theta, -np.pi / 2, np.pi / 2)
    a, b = np.maximum(a, 0.3), np.maximum(b, 0.3)
    flux, error, flags = sep.sum_circle(image, x, y, APERTURE_PX, err=noise, mask=unusable)
    full, _, _ = sep.sum_circle((saturated > 0).astype(np.float32), x, y, APERTURE_PX)
    kron, _ = sep.kron_radius(image, x, y, a, b, theta, 6.0, mask=unusable)
    kron = np.maximum(KRON_FACTOR * np.nan_to_num(kron), KRON_LEAST_PX / np.sqrt(a * b))
    auto, auto_error, _ = sep.sum_ellipse(image, x, y, a, b, theta, kron, err=noise, mask=unusable)
    radius, _ = sep.flux_radius(image, x, y, 6.0 * a, 0.5, normflux=auto, subpix=5)
    radius = np.maximum(radius, 0.5)
    x_win, y_win, win_flags = sep.winpos(image, x, y, radius / 1.1774, mask=unusable)
    lost = (win_flags > 0) | (np.hypot(x_win - x, y_win - y) > 1.0)
    ours = np.where(flags & sep.APER_HASMASKED, PARTLY_UNUSABLE, 0)
    return {
        "NUMBER": np.arange(1, len(found) + 1, dtype=np.int32),
        "X_IMAGE": np.where(lost, x, x_win) + 1,
        "Y_IMAGE": np.where(lost, y, y_win) + 1,
        "FLUX_APER": flux,
        "FLUXERR_APER": error,
        "FLUX_AUTO": auto,
        "FLUXERR_AUTO": auto_error,
        "KRON_RADIUS": kron,
        "FLUX_RADIUS": radius,
        "FWHM_IMAGE": 2 * radius,
        "A_IMAGE": a,
        "B_IMAGE": b,
        "THETA_IMAGE": np.rad2deg(theta),
        "SNR": flux / np.maximum(error, 1e-9),
        "PEAK": found["peak"].astype(float),
        "SATURATED": full > 0.5,
        "FLAGS": (found["flag"] | ours).astype(np.int32),
    }


def point_like(table: Table, least_snr: float) -> NDArray[np.bool_]:
    """Tell which sources are clean, bright and of the commonest small size: stars.

    Args:
        table: columns of `measure`.
        least_snr: signal to noise from which a source counts.
    """
    usable = (table["FLAGS"] == 0) & ~table["SATURATED"] & (table["SNR"] > least_snr)
    size = table["FWHM_IMAGE"]
    sizes: Floats = np.sort(size[usable & (size > 1.5) & (size < 6.0)])
    if sizes.size < 3:
        few: NDArray[np.bool_] = usable & (size > 1.5) & (size < 6.0)
        return few
    half = max(3, sizes.size // 3)
    widths = sizes[half - 1 :] - sizes[: sizes.size - half + 1]
    start = int(np.argmin(widths))
    middle = float(np.median(sizes[start : start + half]))
    stars: NDArray[np.bool_] = usable & (np.abs(size - middle) < max(0.12 * middle, 0.2))
    return stars
