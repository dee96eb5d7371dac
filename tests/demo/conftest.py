"""Small frames made by hand, and a way to start the demo's programs on them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

try:
    import numpy as np
    from astropy.io import fits
except ImportError:
    if os.environ.get("CI") == "true":
        raise
    # every test is skipped, by its module or by `_science_modules`

DEMO = Path(__file__).resolve().parents[2] / "euclid_dask" / "demo"
MODULES = ("astropy.io.fits", "numpy", "scipy", "sep", "astroscrappy", "PIL")
ASTROMATIC = ("source-extractor", "psfex", "scamp", "SWarp")
SIZE = 64
OVERSCAN = 8


def skip_or_fail(reason: str) -> None:
    """Skip here, but fail where everything must be installed."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def _science_modules() -> None:
    for module in MODULES:
        try:
            import_module(module)
        except ImportError:
            skip_or_fail(f"the demo needs {module}: install euclid_dask[demo]")


@pytest.fixture(scope="session")
def astromatic() -> None:
    for tool in ASTROMATIC:
        if shutil.which(tool) is None:
            skip_or_fail(f"the astromatic flavour needs {tool}, which is not installed")


@pytest.fixture(scope="session")
def demo() -> Path:
    """Return the folder of the demo."""
    return DEMO


@dataclass(frozen=True)
class Bench:
    """A workdir, and the programs to try in it."""

    workdir: Path

    def start(self, program: str, *options: str, **ports: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the demo to its end, whatever comes out."""
        line = [sys.executable, str(DEMO / "vis" / f"{program}.py"), f"--workdir={self.workdir}"]
        line += [*options, *(f"--{port}={path}" for port, path in ports.items())]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    def make(self, program: str, *options: str, **ports: str) -> None:
        """Run a program that must succeed."""
        done = self.start(program, *options, **ports)
        assert done.returncode == 0, done.stderr

    def list_file(self, name: str, elements: Sequence[object]) -> str:
        """Write a list file; return its name."""
        (self.workdir / name).write_text(json.dumps(elements))
        return name

    def fits(self, name: str, image: Any, header: dict[str, Any], **extensions: Any) -> str:
        """Write a FITS file; return its name."""
        hdus = [fits.PrimaryHDU(image, fits.Header(header))]
        hdus += [fits.ImageHDU(data, name=key) for key, data in extensions.items()]
        fits.HDUList(hdus).writeto(self.workdir / name)
        return name

    def image(self, name: str, extension: int | str = 0) -> Any:
        """Read an image."""
        with fits.open(self.workdir / name, memmap=False) as hdus:
            return hdus[extension].data.astype(float)

    def raw(self, name: str, light: Any, *, ccd: int = 1, exptime_s: float = 100.0) -> str:
        """Write a raw frame: light in ADU above an overscan of 1000 ADU."""
        counts = np.full((SIZE, SIZE + OVERSCAN), 1000.0)
        counts[:, :SIZE] += light
        header = {
            "CCDID": ccd,
            "EXPID": 1,
            "EXPTIME": exptime_s,
            "GAIN": 2.0,
            "RDNOISE": 5.0,
            "SATURATE": 60000,
            "DATASEC": f"[1:{SIZE},1:{SIZE}]",
        }
        return self.fits(name, np.rint(counts).astype(np.uint16), header)

    def frame(self, name: str, image: Any, noise: float) -> str:
        """Write a calibrated frame without a flaw."""
        header = {"CCDID": 1, "EXPID": 1, "RDNOISE": 5.0, "SATURATE": 1e5, "GAIN": 1.0}
        return self.fits(
            name,
            image.astype(np.float32),
            header,
            WEIGHT=np.full(image.shape, noise**-2, dtype=np.float32),
            FLAG=np.zeros(image.shape, dtype=np.uint8),
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return an empty workdir."""
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def field(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Return a workdir as the simulator fills it; copy it, do not write into it."""
    bench = Bench(tmp_path_factory.mktemp("field"))
    bench.make("simulate", "--size=256", "--exposures=2", "--detectors=1")
    return bench


@pytest.fixture(scope="session")
def by_hand(field: Bench, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bench]:
    """Return a function that gives the workdir of a flavour after the shell script."""
    done: dict[str, Bench] = {}

    def reduced(flavour: str) -> Bench:
        if flavour not in done:
            workdir = tmp_path_factory.mktemp(flavour) / "workdir"
            shutil.copytree(field.workdir, workdir)
            line = ["bash", str(DEMO / "by_hand.sh"), str(workdir), flavour]
            result = subprocess.run(
                line,
                env={**os.environ, "PYTHON": sys.executable},
                capture_output=True,
                text=True,
                check=False,
            )
            assert result.returncode == 0, result.stderr
            done[flavour] = Bench(workdir)
        return done[flavour]

    return reduced


@pytest.fixture
def stars() -> Callable[..., Any]:
    """Return a function that draws round Gaussian stars of one flux."""

    def draw(size: int, places: Sequence[tuple[float, float]], flux: float, sigma_px: float) -> Any:
        y, x = np.mgrid[:size, :size]
        image = np.zeros((size, size))
        for column, row in places:
            squared = (x - column) ** 2 + (y - row) ** 2
            peak = flux / (2 * np.pi * sigma_px**2)
            image += peak * np.exp(-0.5 * squared / sigma_px**2)
        return image

    return draw
