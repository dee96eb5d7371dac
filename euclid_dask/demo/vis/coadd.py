"""Resample all frames onto one grid of the sky and combine them: clipped weighted mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from files import Reduced, read_reduced
from frames import BAD, MAGZERO, SATURATED, Floats, Frame, Image, opened, read_frame, write_fits
from products import new_data_file, write_product
from program import Call, VisError, run
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SCALE_DEG: Final = 0.2 / 3600
MARGIN_PX: Final = 8
NODE_PX: Final = 32
CLIP_SIGMA: Final = 5.0
CLIP_SHARE: Final = 0.3
Key = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One exposure on the grid: image, inverse variance, 1 where saturated."""

    image: Image
    weight: Image
    saturated: Image


def read_solution(path: Path) -> dict[Key, fits.Header]:
    """Return the solved header of each (exposure, detector)."""
    with opened(path) as hdus:
        headers = [hdu.header for hdu in hdus[1:]]
    for header in headers:
        header.remove("NAXIS")  # there is no image here: that of the frame is meant
    return {(header["EXPID"], header["CCDID"]): header for header in headers}


def grid(headers: Sequence[fits.Header]) -> tuple[WCS, tuple[int, int]]:
    """Return north-up world coordinates that hold all frames, and the shape (rows, columns)."""
    corners = []
    for header in headers:
        right, top = header["IMWIDTH"] - 0.5, header["IMHEIGHT"] - 0.5
        x = np.array([-0.5, right, -0.5, right])
        y = np.array([-0.5, -0.5, top, top])
        corners.append(WCS(header).all_pix2world(x, y, 0))
    sky = np.concatenate(corners, axis=1)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.crval = np.round((sky.min(axis=1) + sky.max(axis=1)) / 2, 6)
    wcs.wcs.cdelt = [-SCALE_DEG, SCALE_DEG]
    wcs.wcs.crpix = [1, 1]
    x, y = wcs.wcs_world2pix(*sky, 1)
    low = np.floor([x.min(), y.min()]) - MARGIN_PX
    high = np.ceil([x.max(), y.max()]) + MARGIN_PX
    wcs.wcs.crpix = [float(1 - low[0]), float(1 - low[1])]
    columns, rows = (high - low + 1).astype(int)
    return wcs, (int(rows), int(columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The part of the grid that a frame covers, and its pixels there, from 0."""

    rows: slice
    columns: slice
    x: Floats
    y: Floats


def window(header: fits.Header, wcs: WCS, shape: tuple[int, int]) -> Window:
    """Return which pixel of a frame each point of the grid looks at.

    The map is exact on a coarse mesh and smooth in between, so linear interpolation does.
    """
    frame = WCS(header)
    width, height = header["IMWIDTH"], header["IMHEIGHT"]
    edge_x = np.linspace(0, width - 1, 9)
    edge_y = np.linspace(0, height - 1, 9)
    x = np.concatenate([edge_x, edge_x, np.zeros(9), np.full(9, width - 1.0)])
    y = np.concatenate([np.zeros(9), np.full(9, height - 1.0), edge_y, edge_y])
    on_x, on_y = wcs.wcs_world2pix(*frame.all_pix2world(x, y, 0), 0)
    left, bottom = max(0, int(on_x.min()) - 2), max(0, int(on_y.min()) - 2)
    right = min(shape[1], int(on_x.max()) + 3)
    top = min(shape[0], int(on_y.max()) + 3)
    node_x = np.arange(left, right + NODE_PX, NODE_PX)
    node_y = np.arange(bottom, top + NODE_PX, NODE_PX)
    mesh_x, mesh_y = np.meshgrid(node_x, node_y)
    sky = wcs.wcs_pix2world(mesh_x.ravel(), mesh_y.ravel(), 0)
    exact = frame.all_world2pix(*sky, 0, tolerance=1e-6, maxiter=30, detect_divergence=False)
    at = np.meshgrid(
        np.arange(top - bottom) / NODE_PX, np.arange(right - left) / NODE_PX, indexing="ij"
    )
    smooth = [
        ndimage.map_coordinates(values.reshape(mesh_x.shape), at, order=1) for values in exact
    ]
    return Window(rows=slice(bottom, top), columns=slice(left, right), x=smooth[0], y=smooth[1])


def resample(frame: Frame, window: Window, scale: float) -> Layer:
    """Return a frame on its window of the grid, its fluxes times `scale`."""
    at = np.array([window.y, window.x])
    height, width = frame.image.shape
    inside = (at[0] > 0) & (at[0] < height - 1) & (at[1] > 0) & (at[1] < width - 1)
    image = ndimage.map_coordinates(frame.image, at, order=3, mode="nearest", output=np.float32)
    bad = ((frame.flag & BAD) > 0) | (frame.weight <= 0)
    touched = ndimage.map_coordinates(bad.astype(np.float32), at, order=1, output=np.float32)
    nearest = np.clip(np.rint(at).astype(np.intp), 0, [[[height - 1]], [[width - 1]]])
    weight = np.where(bad, np.median(frame.weight), frame.weight)[nearest[0], nearest[1]]
    saturated = ((frame.flag & SATURATED) > 0)[nearest[0], nearest[1]]
    usable = inside & (touched < 0.01)
    return Layer(
        image=np.where(usable, image * np.float32(scale), 0).astype(np.float32),
        weight=np.where(usable, weight / np.float32(scale**2), 0).astype(np.float32),
        saturated=(saturated & inside).astype(np.float32),
    )


def stack(layers: Sequence[Layer]) -> tuple[Image, Image, Image]:
    """Return the clipped weighted mean, its inverse variance, and 1 where saturated.

    A value is clipped when it is far from the median of its pixel: by `CLIP_SIGMA` of its noise
    plus a share of the flux, which allows for exposures of different sharpness.
    """
    images = np.array([layer.image for layer in layers])
    weights = np.array([layer.weight for layer in layers])
    usable = weights > 0
    count = usable.sum(axis=0)
    middle = _median(images, usable, count)
    noise = 1 / np.sqrt(np.where(usable, weights, 1))
    limit = CLIP_SIGMA * noise + CLIP_SHARE * np.abs(middle)
    weights[(np.abs(images - middle) > limit) & (count > 2)] = 0
    total = weights.sum(axis=0)
    mean = (images * weights).sum(axis=0) / np.where(total > 0, total, 1)
    saturated = np.max([layer.saturated for layer in layers], axis=0)
    return mean.astype(np.float32), total.astype(np.float32), saturated


def _median(images: Image, usable: NDArray[np.bool_], count: NDArray[np.intp]) -> Image:
    """Return the median over the usable layers; 0 where there is none."""
    ordered = np.sort(np.where(usable, images, np.inf), axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(images) - 1)
    pair = [np.take_along_axis(ordered, at[None], axis=0)[0] for at in (low, high)]
    pair = [np.where(count > 0, values, 0) for values in pair]
    middle: Image = (0.5 * (pair[0] + pair[1])).astype(np.float32)
    return middle


def layers_of(
    rows: Sequence[Reduced], solution: Mapping[Key, fits.Header], wcs: WCS, shape: tuple[int, int]
) -> list[Layer]:
    """Return one layer an exposure: detectors of one exposure lie side by side."""
    layers: dict[int, Layer] = {}
    for row in rows:
        frame = read_frame(row.frame)
        key = (frame.header["EXPID"], frame.header["CCDID"])
        if key not in solution:
            raise VisError(f"exposure {key[0]}, detector {key[1]} has no solution")
        if key[0] not in layers:
            empty = [np.zeros(shape, dtype=np.float32) for _ in range(3)]
            layers[key[0]] = Layer(image=empty[0], weight=empty[1], saturated=empty[2])
        layer, header = layers[key[0]], solution[key]
        place = window(header, wcs, shape)
        part = resample(frame, place, header["FLXSCALE"])
        here = (place.rows, place.columns)
        new = (part.weight > 0) & (layer.weight[here] == 0)
        layer.image[here][new] = part.image[new]
        layer.weight[here][new] = part.weight[new]
        np.maximum(layer.saturated[here], part.saturated, out=layer.saturated[here])
    return list(layers.values())


def step(call: Call) -> None:
    """Combine all frames into one image of the field."""
    rows = read_reduced(call.source("reduced"), call.workdir)
    solution = read_solution(call.source("solution"))
    if not solution:
        raise VisError("the solution holds no frame")
    wcs, shape = grid(list(solution.values()))
    image, weight, saturated = stack(layers_of(rows, solution, wcs, shape))
    header = wcs.to_header()
    header["BUNIT"] = "electron"
    header["MAGTOTAL"] = (MAGZERO, "magnitude of 1 electron")
    header["NFRAMES"] = len(rows)
    widths = []
    for row in rows:
        with opened(row.psf) as hdus:
            widths.append(hdus[0].header["FWHM"])
    header["PSFFWHM"] = (float(np.median(widths)), "of the frames, pixels")
    data = new_data_file(call, "coadd")
    hdus = (
        fits.PrimaryHDU(image, header),
        fits.ImageHDU(weight, name="WEIGHT"),
        fits.ImageHDU(saturated.astype(np.uint8) * SATURATED, name="FLAG"),
    )
    write_fits(data, hdus)
    write_product(call.target("coadd"), "DpdVisStackedFrame", {"DataStorage": data.name})


if __name__ == "__main__":
    run(step, inputs=("reduced", "solution"), outputs=("coadd",))
