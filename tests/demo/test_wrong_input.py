"""What programs say when their input is wrong: status 1, one sentence, no output."""

import json

import numpy as np
import pytest
from astropy.io import fits


def assert_refused(bench, done, sentence, output="out.fits"):
    assert (done.returncode, done.stderr) == (1, f"{sentence}\n")
    assert not (bench.workdir / output).exists()
    assert not list(bench.workdir.rglob("*.part"))


def test_a_missing_file_is_named_with_its_port(bench):
    done = bench.start("cosmics", frame="nowhere.fits", cleaned="out.fits")
    assert_refused(bench, done, "cosmics: input 'frame' names 'nowhere.fits', which is not a file")


def test_a_missing_port_is_named(bench):
    done = bench.start("cosmics", frame="f.fits")
    assert_refused(
        bench,
        done,
        "cosmics: the command line is wrong: the following arguments are required: --cleaned",
    )


def test_a_file_that_is_no_fits_is_refused(bench):
    (bench.workdir / "frame.fits").write_text("these are no pixels")
    done = bench.start("background", frame="frame.fits", subtracted="out.fits")
    assert done.returncode == 1
    assert done.stderr.startswith("background: 'frame.fits' cannot be read as FITS: ")
    assert done.stderr.count("\n") == 1
    assert not (bench.workdir / "out.fits").exists()


def test_a_fits_file_that_is_cut_short_is_refused(bench):
    bench.frame("frame.fits", np.ones((64, 64)), 1.0)
    whole = (bench.workdir / "frame.fits").read_bytes()
    (bench.workdir / "frame.fits").write_bytes(whole[: len(whole) // 3])
    done = bench.start("background", frame="frame.fits", subtracted="out.fits")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "background: 'frame.fits' cannot be read as FITS: File may have been truncated"
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[", "'frames.json' is not a JSON list file"),
        ("[]", "the list 'frames.json' is empty"),
        ('{"a": 1}', "'frames.json' holds JSON, but no list"),
        ("[3]", "'frames.json' holds 3, which is not a path"),
        ('["gone.xml"]', "'frames.json' names 'gone.xml', which is not a file"),
    ],
)
def test_a_list_file_that_lists_no_files_is_refused(bench, text, sentence):
    (bench.workdir / "frames.json").write_text(text)
    done = bench.start("master_bias", frames="frames.json", master_bias="out.fits")
    assert_refused(bench, done, f"master_bias: {sentence}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("<a><FileName>x.fits</FileName></a>", "names 'data/x.fits', which is missing"),
        ("<a><FileName>None</FileName></a>", "names no file"),
    ],
)
def test_a_product_without_its_data_file_is_refused(bench, text, sentence):
    (bench.workdir / "bias.xml").write_text(text)
    frames = bench.list_file("frames.json", ["bias.xml"])
    done = bench.start("master_bias", frames=frames, master_bias="out.fits")
    assert_refused(bench, done, f"master_bias: the product 'bias.xml' {sentence}")


def test_rows_that_are_not_three_files_are_refused(bench):
    (bench.workdir / "f.fits").write_text("x")
    reduced = bench.list_file("reduced.json", [["f.fits", "f.fits"]])
    (bench.workdir / "solution.fits").write_text("x")
    done = bench.start("coadd", reduced=reduced, solution="solution.fits", coadd="out.xml")
    assert_refused(
        bench, done, "coadd: 'reduced.json' has 2 files, not three for each frame", "out.xml"
    )


def test_a_catalogue_from_elsewhere_matches_no_reference(by_hand, bench):
    field = by_hand("python").workdir
    rows = json.loads((field / "by_hand" / "reduced.json").read_text())
    absolute = bench.list_file("reduced.json", [str(field / row) for row in rows])
    with fits.open(field / "data" / "vis_reference_catalogue.fits") as hdus:
        hdus["LDAC_OBJECTS"].data["X_WORLD"] += 1.0
        hdus.writeto(bench.workdir / "elsewhere.fits")
    done = bench.start(
        "astrometry",
        reduced=absolute,
        reference_catalogue="elsewhere.fits",
        solution="out.fits",
    )
    assert_refused(
        bench,
        done,
        "astrometry: 0 sources of exposure 1, detector 1 match the reference catalogue, "
        "which is less than 5",
    )


def test_a_wrapper_without_its_tool_names_the_package_to_install(bench, monkeypatch):
    bench.frame("frame.fits", np.ones((64, 64)), 1.0)
    monkeypatch.setenv("PATH", "")
    done = bench.start("sex_detect", frame="frame.fits", detections="out.fits")
    assert_refused(
        bench,
        done,
        "sex_detect: the program 'source-extractor' is not installed "
        "(Debian package 'source-extractor')",
    )
