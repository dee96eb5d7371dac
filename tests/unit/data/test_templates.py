"""Products that are written by a template."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euclid_dask.core.errors import InputError, SiteError
from euclid_dask.data.model import Checksum
from euclid_dask.data.products import read_product
from euclid_dask.data.templates import Texts, write_product

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "products"
QPF = SAMPLES / "qpf__DpdVisObservationFrame_2016style.xml"
FILE = "Data.FrameFitsFile.DataContainer.FileName"
MD5 = "d41d8cd98f00b204e9800998ecf8427e"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new.xml"


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.xml")), ids=lambda path: path.stem)
def test_a_template_without_changes_is_written_as_it_says(sample: Path, target: Path) -> None:
    write_product(sample, target, {})
    paths = ["Data.ObservationSequence.ObservationId", "Data.Filter.Name", "Parameters.Parameter"]
    assert read_product(target, paths) == read_product(sample, paths)
    assert list(target.parent.iterdir()) == [target]


def test_all_but_the_texts_that_change_stays(target: Path) -> None:
    write_product(QPF, target, {"Header.ProductId": "p & <q>", "Data.ImgNumber": "7"})
    assert target.read_text() == QPF.read_text().replace(
        '<?xml version="1.0"?>', '<?xml version="1.0" encoding="UTF-8"?>\n'
    ).replace("<ProductId>91100<", "<ProductId>p &amp; &lt;q&gt;<").replace(
        "<ImgNumber>144<", "<ImgNumber>7<"
    )


def test_a_new_file_has_a_new_status_and_checksum(tmp_path: Path, target: Path) -> None:
    template = tmp_path / "old.xml"
    template.write_text(
        "<D><Header><ProductId>p</ProductId></Header><C checksumValue='1' checksumMethod='MD5' "
        "filestatus='ARCHIVED'><FileName>old</FileName></C>"
        "<C filestatus='ARCHIVED' checksumValue='1' checksumMethod='MD5'><FileName/></C></D>"
    )
    checksums = {"a": Checksum(algorithm="md5", value=MD5)}
    write_product(template, target, {"C.FileName": ["a", "b"]}, checksums)
    first, second = read_product(target).files
    assert (first.name, first.status) == ("a", "PROPOSED")
    assert first.checksum == Checksum(algorithm="md5", value=MD5, declared=True)
    assert (second.name, second.status, second.checksum) == ("b", "PROPOSED", None)
    assert read_product(target).problems == ()


def test_who_reads_the_old_product_reads_it_to_its_end(target: Path) -> None:
    target.write_text("as it was")
    with target.open() as reader:
        write_product(QPF, target, {})
        assert reader.read() == "as it was"
    assert read_product(target) == read_product(QPF)


def test_a_template_in_another_encoding_becomes_utf_8(tmp_path: Path, target: Path) -> None:
    template = tmp_path / "old.xml"
    text = "<D><Header><ProductId>é</ProductId></Header><a b='&quot;&#10;'/></D>"
    template.write_bytes(text.encode("utf-16"))
    write_product(template, target, {})
    assert target.read_text("utf-8").endswith(
        "<D><Header><ProductId>é</ProductId></Header><a b='\"&#10;'></a></D>\n"
    )


BAD: dict[str, tuple[Texts, str]] = {
    "no such path": ({"Data.Nothing": "1"}, "has no Data.Nothing"),
    "too many texts": ({"Data.ImgNumber": ["1", "2"]}, "has Data.ImgNumber 1 times, and 2 are"),
    "too few texts": ({"Data.Parameters.Status.Name": []}, "Status.Name 1 times, and 0 are given"),
    "elements in it": ({"Data.ExposureTime": "1"}, "has elements in Data.ExposureTime, so it can"),
    "a name that is a path": ({FILE: "../x"}, "the file name '../x' has '/'"),
    "a letter for no XML": (
        {"Data.ImgNumber": "a\x01"},
        r"Data.ImgNumber: no XML can have '\\x01'",
    ),
    "half a letter": ({"Data.ImgNumber": "\ud800"}, r"no XML can have '\\ud800'"),
}


@pytest.mark.parametrize("kind", BAD)
def test_texts_that_do_not_fit_are_refused_and_nothing_is_left(target: Path, kind: str) -> None:
    target.write_text("as it was")
    texts, reason = BAD[kind]
    with pytest.raises(InputError, match=reason):
        write_product(QPF, target, texts)
    assert target.read_text() == "as it was"
    assert list(target.parent.iterdir()) == [target]


def test_a_template_with_a_doctype_is_refused(tmp_path: Path, target: Path) -> None:
    template = tmp_path / "old.xml"
    template.write_text("<!DOCTYPE D [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><D>&a;</D>")
    with pytest.raises(InputError, match="has a DOCTYPE"):
        write_product(template, target, {})
    with pytest.raises(InputError, match="cannot be read: No such file"):
        write_product(tmp_path / "no.xml", target, {})


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="cannot be written: No such file or directory"):
        write_product(QPF, tmp_path / "no" / "new.xml", {})


LETTERS = st.characters(exclude_categories=("Cs", "Cc", "Cn"))


@given(st.text(LETTERS | st.sampled_from("\t\n\r")))
def test_any_text_that_xml_can_have_is_read_as_it_was_written(text: str) -> None:
    target = Path(f"/dev/shm/euclid-dask-test-template-{os.getpid()}.xml")
    try:
        write_product(QPF, target, {"Data.ImgNumber": text})
        (value,) = read_product(target, ["Data.ImgNumber"]).values
    finally:
        target.unlink()
    assert value.text == text.strip()
