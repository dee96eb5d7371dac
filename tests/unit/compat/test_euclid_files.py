"""The package for executables: files by name, products, lists."""

import json
import os
import stat
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import euclid_files
import pytest
from euclid_files.writing import write_whole

from euclid_dask.data.names import check_name
from euclid_dask.data.products import read_product

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "products"
PACKAGE = Path(euclid_files.__file__).parent
CONTAINER = "Data.FrameFitsFile.DataContainer"
QPF = SAMPLES / "qpf__DpdVisObservationFrame_2016style.xml"


def test_it_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    (tmp_path / "euclid_files").symlink_to(PACKAGE)
    program = """
        import sys
        sys.path.insert(0, sys.argv[1])
        import euclid_files
        print(euclid_files.open_product(sys.argv[2]).files[0])
        print(sorted({name.partition(".")[0] for name in sys.modules}
                     - sys.stdlib_module_names - {"__main__", "sitecustomize"}))
    """
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", textwrap.dedent(program), tmp_path, QPF],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "EUC_VIS_RAW_W-91100-2_20200707T151811Z.fits",
        "['euclid_files']",
    ]


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.xml")), ids=lambda path: path.stem)
def test_a_sample_is_the_same_product_when_it_is_written(sample: Path, tmp_path: Path) -> None:
    product = euclid_files.open_product(sample)
    euclid_files.write_product(product, tmp_path / "new.xml")
    known = read_product(sample)
    assert read_product(tmp_path / "new.xml") == known
    assert product.files == [file.name for file in known.files]
    assert product.type == known.type


def test_a_product_is_written_with_another_file(tmp_path: Path) -> None:
    product = euclid_files.open_product(QPF)
    assert product.text("Header.ProductId") == "91100"
    product.set("Header.ProductId", "a & b")
    product.set_file(CONTAINER, "new.fits", checksum=("Adler32", "00620062"))
    euclid_files.write_product(product, tmp_path / "new.xml")
    written = read_product(tmp_path / "new.xml")
    (file,) = written.files
    assert written.product_id == "a & b"
    assert (file.name, file.status) == ("new.fits", "PROPOSED")
    assert file.checksum is not None
    assert file.checksum.value == "00620062"
    assert file.format == "le1.visRawImage"


def test_a_path_that_is_there_twice_takes_a_number(tmp_path: Path) -> None:
    path = tmp_path / "p.xml"
    path.write_text("<a:D xmlns:a='u'><C><F>1</F></C><C><F>2</F></C></a:D>")
    product = euclid_files.open_product(path)
    assert product.texts("C.F") == ["1", "2"]
    with pytest.raises(KeyError, match=r"has C\.F 2 times: say which"):
        product.text("C.F")
    with pytest.raises(KeyError, match=r"has no C\.G"):
        product.set("C.G", "1")
    with pytest.raises(KeyError, match=r"has no C\.F number 2"):
        product.set("C.F", "1", 2)
    product.set("C.F", "3", 1)
    assert product.texts("C.F") == ["1", "3"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no element found"),
        ("<D>", "no element found"),
        ("<!DOCTYPE D [<!ENTITY a 'b'>]><D>&a;</D>", "it has a DOCTYPE, which is refused"),
    ],
)
def test_what_is_no_product_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "p.xml"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"is no data product: {reason}"):
        euclid_files.open_product(path)


def test_a_text_that_no_xml_can_have_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "p.xml"
    path.write_text("as it was")
    product = euclid_files.open_product(QPF)
    product.set("Header.ProductId", "a\x01")
    with pytest.raises(ValueError, match="would be no XML"):
        euclid_files.write_product(product, path)
    assert path.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "", ".x", "-x", "None", "x.part-1-1", "é"])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no file can be named"):
        euclid_files.check_name(name)
    with pytest.raises(ValueError, match="no file can be named"):
        euclid_files.path(name)
    with pytest.raises(ValueError, match="no file can be named"):
        euclid_files.open_product(QPF).set_file(CONTAINER, name)


def test_a_file_is_where_the_manifest_says_or_in_data(tmp_path: Path) -> None:
    assert euclid_files.path("data/x.fits", tmp_path) == tmp_path / "data" / "x.fits"
    entries = [{"place": "input/x.fits"}, {"place": "../y.fits"}, {"place": "/z.fits"}]
    (tmp_path / "stage.json").write_text(json.dumps({"zone": "z", "entries": entries}))
    assert euclid_files.path("x.fits", tmp_path) == tmp_path / "input" / "x.fits"
    assert euclid_files.path("y.fits", tmp_path) == tmp_path / "data" / "y.fits"
    assert euclid_files.path("z.fits", tmp_path) == tmp_path / "z.fits"
    assert euclid_files.path("n.fits", tmp_path) == tmp_path / "data" / "n.fits"


def test_a_new_name_is_one_of_ours_and_never_twice_the_same() -> None:
    names = {euclid_files.new_name("VIS", "COADD", "W 91100/2", "01.00") for _ in range(50)}
    assert len(names) > 1
    for name in names:
        assert check_name(name) == name
        assert name.startswith("EUC_VIS_COADD_W-91100-2_")
        assert name.endswith("Z_01.00.fits")
    at = datetime(2020, 7, 7, 15, 18, 11, 5, tzinfo=UTC)
    assert (
        euclid_files.new_name("SHE", "X", "", "10.01", "fits.gz", at=at)
        == "EUC_SHE_X_20200707T151811.000005Z_10.01.fits.gz"
    )
    with pytest.raises(ValueError, match=r"a release is like 01\.00"):
        euclid_files.new_name("SHE", "X", "", "1")


def test_lists_are_written_whole_and_read_flat(tmp_path: Path) -> None:
    path = tmp_path / "l.json"
    euclid_files.write_list([("a.xml",), ("b.xml",)], path)
    assert json.loads(path.read_text()) == [["a.xml"], ["b.xml"]]
    assert euclid_files.read_list(path) == ["a.xml", "b.xml"]
    euclid_files.write_list([], path)
    assert euclid_files.read_list(path) == []
    path.write_text("{}")
    with pytest.raises(ValueError, match="is no list file"):
        euclid_files.read_list(path)
    with pytest.raises(TypeError):
        euclid_files.write_list([{1}], path)
    assert os.listdir(tmp_path) == ["l.json"]  # noqa: PTH208


def test_two_threads_that_write_one_file_leave_one_that_is_whole(tmp_path, monkeypatch):
    both, synced, fsync = threading.Barrier(2), [], os.fsync

    def syncing(number: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(number).st_mode)
        synced.append(is_folder)
        if not is_folder:
            both.wait(60)
        fsync(number)

    monkeypatch.setattr(os, "fsync", syncing)
    path = tmp_path / "x.json"
    contents = [b"a" * 1000, b"b" * 1000]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda content: write_whole(path, content), contents))
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]
    assert sorted(synced) == [False, False, True, True]
