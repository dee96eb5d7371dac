"""The whole field: what the simulator writes, and what the pipeline makes of it."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits


def compare(demo, a, b, *options):
    line = [sys.executable, str(demo / "compare.py"), str(a), str(b), *options]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_one_more_exposure_changes_no_calibration(bench):
    for name, exposures in (("two", 2), ("three", 3)):
        (bench.workdir / name).mkdir()
        bench.make(
            "simulate",
            f"--workdir={bench.workdir / name}",
            "--size=128",
            "--detectors=1",
            f"--exposures={exposures}",
        )
    two, three = (bench.image(f"{name}/data/vis_bias_01_c1.fits") for name in ("two", "three"))
    np.testing.assert_array_equal(two, three)


def test_another_seed_gives_another_field(bench):
    options = ("--size=128", "--detectors=1", "--exposures=1")
    for seed in (1, 2):
        (bench.workdir / str(seed)).mkdir()
        bench.make("simulate", f"--workdir={bench.workdir / str(seed)}", f"--seed={seed}", *options)
    one, two = (bench.image(f"{seed}/data/vis_raw_e01_c1.fits") for seed in (1, 2))
    assert not np.array_equal(one, two)


def test_the_input_file_names_files_that_exist(field):
    lines = (field.workdir / "vis.isf").read_text().splitlines()
    ports = dict(line.split("=") for line in lines if not line.startswith("#"))
    assert sorted(ports) == [
        "bias_frames",
        "dark_frames",
        "exposures",
        "flat_frames",
        "reference_catalogue",
        "truth_catalogue",
    ]
    assert all((field.workdir / path).is_file() for path in ports.values())


def test_every_product_names_a_data_file_that_exists(field):
    products = sorted(field.workdir.glob("*.xml"))
    assert len(products) == 2 + 15 + 2
    for product in products:
        name = product.read_text().split("<FileName>")[1].split("<")[0]
        assert (field.workdir / "data" / name).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("flavour", ["python", "astromatic"])
def test_the_catalogue_is_near_the_truth(by_hand, flavour, request):
    if flavour == "astromatic":
        request.getfixturevalue("astromatic")
    path = by_hand(flavour).workdir / "vis_check" / "report.json"
    report = json.loads(path.read_text())
    assert report["completeness"]["18-21"] > 0.9
    assert report["completeness"]["21-23"] > 0.85
    for axis in ("ra", "dec"):
        assert abs(report["astrometry_mas"][f"{axis}_offset"]) < 20
        assert report["astrometry_mas"][f"{axis}_scatter"] < 20
    assert abs(report["photometry_mag"]["aper_offset"]) < 0.1
    assert report["photometry_mag"]["aper_scatter"] < 0.03


@pytest.mark.slow
def test_the_coadd_is_a_product_that_names_its_image(by_hand):
    bench = by_hand("python")
    text = (bench.workdir / "vis_coadd" / "coadd.xml").read_text()
    assert "DpdVisStackedFrame" in text
    (name,) = re.findall("<FileName>(vis_coadd-coadd-.*[.]fits)</FileName>", text)
    with fits.open(bench.workdir / "data" / name) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "WEIGHT", "FLAG"]


@pytest.mark.slow
def test_a_program_gives_the_same_values_again(by_hand, demo, tmp_path):
    first = by_hand("python")
    shutil.copytree(first.workdir, tmp_path / "again")
    again = type(first)(tmp_path / "again")
    again.make(
        "coadd",
        reduced="by_hand/reduced.json",
        solution="vis_astrometry/solution.fits",
        coadd="vis_coadd/coadd.xml",
    )
    done = compare(demo, first.workdir, again.workdir)
    assert (done.returncode, done.stdout) == (0, "5 files are equal\n")


@pytest.mark.slow
def test_one_different_pixel_is_found(by_hand, demo, tmp_path):
    first = by_hand("python").workdir
    shutil.copytree(first, tmp_path / "other")
    (coadd,) = (tmp_path / "other" / "data").glob("vis_coadd-coadd-*.fits")
    with fits.open(coadd, mode="update") as hdus:
        hdus[0].data[100, 90] += 1.0
    done = compare(demo, first, tmp_path / "other")
    assert done.returncode == 1
    assert "[PRIMARY] differs in 1 values, first at [100, 90]" in done.stderr


def test_folders_without_products_are_not_equal(demo, tmp_path):
    done = compare(demo, tmp_path, tmp_path)
    assert done.returncode == 1
    assert "holds a product" in done.stderr
