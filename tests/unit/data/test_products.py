"""Data products of all generations, and XML that is none."""

import gc
import os
import string
import subprocess
import sys
import textwrap
import tracemalloc
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euclid_dask.core.errors import InputError
from euclid_dask.data.model import Checksum, FileReference, Product, ProductLink, ProductValue
from euclid_dask.data.products import read_product, value_path

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "products"
PPT = "she_ppt__sample_"

READ = {
    "eas_dss__DDO": ("DDO", "DDO-11111111-2222-3333-4444-555555555555", 0, 0, 0),
    "ial_stub__TestDataFiles": (
        "TestDataFiles",
        "P_xxx_corrected_dark_0f1d4f0e-5a0a-4f55-9a26-6d4fd1c5d4a1",
        0,
        1,
        0,
    ),
    "le3_2d_mass_wl__CparamRS_test": (
        "DpdTwoDMassParamsConvergencePatch",
        "51d070a6-916b-4305-94be-987ead173cbe",
        15,
        0,
        0,
    ),
    "le3_2d_mass_wl__Cparam_test": (
        "DpdTwoDMassParamsConvergencePatch",
        "51d070a6-916b-4305-94be-987ead173cbe",
        15,
        0,
        0,
    ),
    "le3_2d_mass_wl__Sparam_test": (
        "DpdTwoDMassParamsConvergenceSphere",
        "5103d799-332b-4302-9290-7dd9058fa63b",
        15,
        0,
        0,
    ),
    "qpf__DpdVisObservationFrame_2016style": ("DpdVisObservationFrame", "91100", 16, 1, 0),
    "she_pipeline__bias_bins": (
        "DpdSheBiasBins",
        "5f5be68f-4c77-4f87-a63c-3758eaad0c23",
        19,
        0,
        0,
    ),
    PPT + "common_calibration": ("DpdSheCommonCalibration", "ciVgl", 20, 5, 0),
    PPT + "intermediate_general": ("DpdSheIntermediateGeneral", "AmEka", 20, 0, 0),
    PPT + "mer_final_catalog": ("DpdMerFinalCatalog", "5fBxh", 20, 4, 0),
    PPT + "object_id_list": ("DpdSheObjectIdList", "7pHqL", 20, 0, 0),
    PPT + "phz_pf_output_catalog": ("DpdPhzPfOutputCatalog", "pN73U", 20, 3, 0),
    PPT + "psf_level1_calibration_parameters": (
        "DpdShePsfLevel1CalibrationParameters",
        "OyN3v",
        20,
        0,
        1,
    ),
    PPT + "shear_measurements": ("DpdSheMeasurements", "zgzXG", 20, 0, 0),
    PPT + "star_catalog": ("DpdSheStarCatalog", "Nhh3u", 20, 0, 0),
    PPT + "validation_test_results": ("DpdSheValidationTestResults", "Ths9N", 20, 2, 1),
    PPT + "vis_calibrated_frame": ("DpdVisCalibratedFrame", "EGVDY", 20, 8, 1),
    PPT + "vis_calibrated_quad_frame": (
        "DpdVisCalibratedQuadFrame",
        "016d53d5-9fa6-4766-821c-8b78010cd98b",
        20,
        12,
        1,
    ),
}
"""By sample: type, id, number of header fields, of files, of links to other products."""


def test_there_is_an_expectation_for_every_sample() -> None:
    assert {path.stem for path in SAMPLES.glob("*.xml")} == set(READ)


@pytest.mark.parametrize("sample", READ)
def test_a_sample_of_any_generation_is_read(sample: str) -> None:
    product = read_product(SAMPLES / f"{sample}.xml")
    assert (
        product.type,
        product.product_id,
        len(product.header),
        len(product.files),
        len(product.links),
    ) == READ[sample]


def test_all_of_a_2016_product_is_told() -> None:
    product = read_product(
        SAMPLES / "qpf__DpdVisObservationFrame_2016style.xml",
        ["Data.ObservationSequence.ObservationSequence.ObservationId", "Data.Readout.StartTime"],
    )
    assert product.namespace == "http://euclid.esa.org/schema/dpd/vis"
    assert product.header["AccessRights.EuclidConsortiumWrite"] == "false"
    assert product.header["Curator.Name"] == "Curator"
    assert product.header["CreationDate"] == "2020-07-07T15:18:11.356298"
    assert product.files == (
        FileReference(
            name="EUC_VIS_RAW_W-91100-2_20200707T151811Z.fits",
            ordinal=0,
            xpath="Data/FrameFitsFile/DataContainer",
            format="le1.visRawImage",
            status="ARCHIVED",
        ),
    )
    assert product.values == (
        ProductValue(
            path="Data.ObservationSequence.ObservationId", ordinal=0, text="91100", number=91100
        ),
        ProductValue(path="Data.Readout.StartTime", ordinal=0, text="2020-07-07T15:18:11.356298"),
    )
    assert product.problems == ()


def test_the_checksums_of_samples_are_random_letters_and_told_as_problems() -> None:
    product = read_product(SAMPLES / f"{PPT}validation_test_results.xml")
    first, second = product.files
    assert (first.checksum, second.checksum) == (None, None)
    assert (first.xpath, second.xpath) == (
        "Data/ValidationTestList/AnalysisResult/AnalysisFiles/TextFiles",
        "Data/ValidationTestList/AnalysisResult/AnalysisFiles/Figures",
    )
    assert product.problems == (
        f"{first.name}: this is no md5 checksum: 'na85l'",
        f"{second.name}: this is no adler32 checksum: 'ckt7j'",
    )
    assert product.links == (ProductLink(role="ExposureProductId", target="7m8lm"),)


def test_a_product_that_is_named_by_a_reference_has_its_role() -> None:
    product = read_product(SAMPLES / f"{PPT}vis_calibrated_frame.xml")
    assert product.links == (ProductLink(role="InputRawFrameReference", target="zK6OG"),)


def test_the_texts_none_and_nothing_name_no_file() -> None:
    text = (SAMPLES / f"{PPT}shear_measurements.xml").read_text()
    assert text.count("<FileName>None<") == 4
    assert read_product(SAMPLES / f"{PPT}shear_measurements.xml").files == ()


HEADER = "<Header><ProductId>p</ProductId></Header>"


def container(name: str, attributes: str = "filestatus='PROPOSED'") -> str:
    return f"<DataContainer {attributes}><FileName>{name}</FileName></DataContainer>"


def product_of(data: str, header: str = HEADER) -> str:
    return f"<D>{header}<Data>{data}</Data></D>"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "p.xml"


def read(file: Path, content: str | bytes, *values: str) -> Product:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_product(file, values)


LAUGHS = (
    "<!DOCTYPE D [<!ENTITY a 'ha'>"
    + "".join(f"<!ENTITY {two} '{f'&{one};' * 10}'>" for one, two in pairwise("abcdefghij"))
    + "]><D>&j;</D>"
)
HTML = "is an HTML page, such as a server's login page"
DOCTYPE = "has a DOCTYPE, which is refused in data products"
TWICE = product_of("", "<Header><ProductId>p</ProductId><Purpose/><Purpose/></Header>")

BAD_XML: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is empty"),
    "blanks only": (" \n ", "is not well-formed XML: it ends in line 2, before it is complete"),
    "cut": (
        product_of(container("x.fits"))[:-20],
        "is not well-formed XML: it ends in line 1, before it is complete",
    ),
    "cut in a tag": (
        product_of("")[:-3],
        "is not well-formed XML: it ends in line 1, before it is complete",
    ),
    "cut in a letter": (
        b"<D>\xc3",
        "is not well-formed XML: it ends in line 1, before it is complete",
    ),
    "login page": ("<!DOCTYPE html><html><body>Log in</body></html>", HTML),
    "login page in small letters": ("\n<!doctype html>\n<meta charset=utf-8><p>Log in", HTML),
    "page without doctype": ("<HTML><head><title>Log in</title></head></HTML>", HTML),
    "XHTML": (
        "\ufeff<?xml version='1.0'?><!-- a -->\n<!DOCTYPE html SYSTEM 'x.dtd'><html xmlns='u'/>",
        HTML,
    ),
    "100 comments": (
        "<!---->" * 100 + "<D>",
        "is not well-formed XML: it ends in line 1, before it is complete",
    ),
    "text": ("Service unavailable", "is not well-formed XML: syntax error in line 1, column 0"),
    "pickle": (b"\x80\x03]q\x00.", "not well-formed (invalid token) in line 1, column 0"),
    "doctype": (f"<!DOCTYPE D>{product_of('')}", DOCTYPE),
    "billion laughs": (LAUGHS, DOCTYPE),
    "quadratic blow-up": (
        f"<!DOCTYPE D [<!ENTITY a '{'a' * 50_000}'>]><D>{'&a;' * 50_000}</D>",
        DOCTYPE,
    ),
    "external entity, file": (
        "<!DOCTYPE D [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><D>&a;</D>",
        DOCTYPE,
    ),
    "external entity, http": (
        "<!DOCTYPE D [<!ENTITY a SYSTEM 'http://127.0.0.1:9/x'>]><D>&a;</D>",
        DOCTYPE,
    ),
    "parameter entity": (
        "<!DOCTYPE D [<!ENTITY % a SYSTEM 'file:///etc/passwd'> %a;]><D/>",
        DOCTYPE,
    ),
    "external DTD": ("<!DOCTYPE D SYSTEM 'http://127.0.0.1:9/x.dtd'><D/>", DOCTYPE),
    "an entity without a DOCTYPE": (
        product_of("&xxe;"),
        "is not well-formed XML: undefined entity in line 1, column 50",
    ),
    "5000 deep": ("<a>" * 5000 + "</a>" * 5000, "is nested more than 256 deep"),
    "not in its encoding": (
        "<?xml version='1.0' encoding='UTF-8'?><D>é</D>".encode("latin-1"),
        "is not well-formed XML: not well-formed (invalid token) in line 1, column 41",
    ),
    "UTF-16 that is not": (
        "<?xml version='1.0' encoding='UTF-16'?><D/>",
        "is not in the encoding that it declares",
    ),
    "UTF-8 that is UTF-16": (
        "<?xml version='1.0' encoding='UTF-8'?><D/>".encode("utf-16"),
        "is not in the encoding that it declares",
    ),
    "unknown encoding": (
        "<?xml version='1.0' encoding='x-klingon'?><D/>",
        "declares the encoding 'x-klingon', which is refused; use UTF-8",
    ),
    "UTF-7": (
        "<?xml version='1.0' encoding='UTF-7'?><D>+ADw-x+AD4-</D>",
        "declares the encoding 'UTF-7', which is refused; use UTF-8",
    ),
    "EBCDIC": (
        "<?xml version='1.0' encoding='cp037'?><D/>",
        "declares the encoding 'cp037', which is refused; use UTF-8",
    ),
    "NUL": (
        product_of("a\0b"),
        "is not well-formed XML: not well-formed (invalid token) in line 1, column 51",
    ),
    "traversal": (
        product_of(container("../../etc/passwd")),
        "names the file '../../etc/passwd', which has '/': it is a path, not a name",
    ),
    "traversal after data": (
        product_of(container("data/../x")),
        "names the file 'data/../x', which has '/': it is a path, not a name",
    ),
    "absolute": (
        product_of(container("/etc/passwd")),
        "names the file '/etc/passwd', which has '/': it is a path, not a name",
    ),
    "absolute after data": (
        product_of(container("data//etc/passwd")),
        "names the file 'data//etc/passwd', which has '/': it is a path, not a name",
    ),
    "a name in another letter's clothes": (
        product_of(container("a&#x202e;b")),
        "names the file 'a\\u202eb', which has U+202E (RIGHT-TO-LEFT OVERRIDE)",
    ),
    "a name of two lines": (
        product_of(container("a.fits&#10;b.fits")),
        "names the file 'a.fits\\nb.fits', which has a line break",
    ),
    "two names": (
        product_of("<C filestatus='PROPOSED'><FileName>a</FileName><FileName>b</FileName></C>"),
        "has C with two FileNames in it",
    ),
    "two names for no file": (
        product_of("<C filestatus='PROPOSED'><FileName/><FileName>b</FileName></C>"),
        "has C with two FileNames in it",
    ),
    "no name": (
        product_of("<C filestatus='PROPOSED'><Name>a</Name></C>"),
        "has C with a filestatus, but no FileName in it",
    ),
    "name a level too deep": (
        product_of("<C filestatus='PROPOSED'><N><FileName>a</FileName></N></C>"),
        "has C with a filestatus, but no FileName in it",
    ),
    "nested name": (
        product_of("<C filestatus='PROPOSED'><FileName><FileName>a</FileName></FileName></C>"),
        "has a FileName with the element FileName in it, not a name",
    ),
    "name with an element": (
        product_of("<C filestatus='PROPOSED'><FileName>a<b/>c</FileName></C>"),
        "has a FileName with the element b in it, not a name",
    ),
    "field twice": (TWICE, "has Purpose twice in its Header"),
    "two headers": (f"<D>{HEADER}{HEADER}</D>", "has ProductId twice in its Header"),
    "no id": ("<D><Header><Purpose>TEST</Purpose></Header></D>", "has no ProductId in its Header"),
    "empty id": (
        product_of("", "<Header><ProductId> </ProductId></Header>"),
        "has no ProductId in its Header",
    ),
    "unbound prefix": (
        "<ns1:D/>",
        "is not well-formed XML: unbound prefix in line 1, column 0",
    ),
    "attribute twice": (
        "<D a='1' a='2'/>",
        "is not well-formed XML: duplicate attribute in line 1, column 9",
    ),
    "two roots": (
        "<D/><D/>",
        "is not well-formed XML: junk after document element in line 1, column 4",
    ),
    "10 000 files": (product_of(container("x.fits") * 10_000), "has more than 4,096 files"),
    "10 000 links": (
        product_of("<XProductId>a</XProductId>" * 10_000),
        "has more than 4,096 other products",
    ),
    "100 000 fields": (
        product_of("", "<Header>" + "".join(f"<F{n}/>" for n in range(100_000)) + "</Header>"),
        "has more than 10,000 header fields",
    ),
    "10 MB in a field": (
        product_of("", f"<Header><ProductId>{'x' * 10_000_000}</ProductId></Header>"),
        "has more than 65,536 characters in Header/ProductId",
    ),
    "10 MB in many fields": (
        product_of("", "<Header>" + "".join(f"<F{n}>{'x' * 60_000}</F{n}>" for n in range(170))),
        "has more than 4,194,304 characters in its header, names and values",
    ),
    "10 MB in a tag": (
        f"<D a='{'x' * 10_000_000}'/>",
        "has a tag or comment of more than 262,144 bytes in line 1",
    ),
    "10 MB in a comment": (
        f"<D>\n<!--{'x' * 10_000_000}--></D>",
        "has a tag or comment of more than 262,144 bytes in line 2",
    ),
    "200 000 attributes": (
        "<D " + " ".join(f"a{n}='x'" for n in range(200_000)) + "/>",
        "has a tag or comment of more than 262,144 bytes in line 1",
    ),
    "long names of elements": (
        product_of("<" + "x" * 2000 + "/>"),
        "has an element with a path of more than 1,000 characters",
    ),
}


@pytest.mark.parametrize("kind", BAD_XML)
def test_bad_xml_is_refused_with_its_reason(file: Path, kind: str) -> None:
    content, reason = BAD_XML[kind]
    with pytest.raises(InputError) as refusal:
        read(file, content)
    assert refusal.value.message.startswith(f"product {file} ")
    assert refusal.value.message.endswith(reason)


def test_too_many_values_of_a_path_are_refused(file: Path) -> None:
    with pytest.raises(InputError, match="more than 10,000 values of the paths that are asked for"):
        read(file, product_of("<V>1</V>" * 10_001), "Data.V")


PLAIN = product_of(container("x.fits") + "<V>é</V>", HEADER)
GOOD_XML: dict[str, bytes] = {
    "UTF-8 with a BOM": b"\xef\xbb\xbf" + PLAIN.encode(),
    "UTF-16": PLAIN.encode("utf-16"),
    "UTF-16, declared": f"<?xml version='1.0' encoding='UTF-16'?>{PLAIN}".encode("utf-16"),
    "Latin-1": f"<?xml version='1.0' encoding='ISO-8859-1'?>{PLAIN}".encode("latin-1"),
    "utf-8 in small letters": f"<?xml version='1.0' encoding='utf-8'?>{PLAIN}".encode(),
    "comments and instructions": (
        "<?xml version='1.0'?><!-- a --><?pi b?>"
        + PLAIN.replace("x.fits", "x<!-- no -->.<?pi ?>fits").replace(">é", "><!-- é -->é")
    ).encode(),
    "CDATA": PLAIN.replace("x.fits", "<![CDATA[x.fits]]>").encode(),
    "schemaLocation": PLAIN.replace(
        "<D>",
        "<D xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' "
        "xsi:schemaLocation='http://127.0.0.1:9/a http://127.0.0.1:9/a.xsd'>",
    ).encode(),
    "XInclude": PLAIN.replace(
        "</Data>",
        "<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='/etc/passwd' parse='text'/>"
        "</Data>",
    ).encode(),
    "unknown status": PLAIN.replace("PROPOSED", "FROBNICATED").encode(),
    "unknown namespace": PLAIN.replace("<D>", "<D xmlns='urn:x-other'>").encode(),
    "data/ before the name": PLAIN.replace("x.fits", "data/x.fits").encode(),
    "blanks around the name": PLAIN.replace("x.fits", "\n  x.fits\n").encode(),
}


@pytest.mark.parametrize("kind", GOOD_XML)
def test_xml_of_these_kinds_is_read(file: Path, kind: str) -> None:
    product = read(file, GOOD_XML[kind], "Data.V")
    assert product.product_id == "p"
    assert [one.name for one in product.files] == ["x.fits"]
    assert [value.text for value in product.values] == ["é"]
    assert product.problems == ()


def test_an_unknown_status_is_kept_as_it_is(file: Path) -> None:
    product = read(file, product_of(container("x", "filestatus='COMMITED'")))
    assert product.files[0].status == "COMMITED"


def test_a_name_without_a_status_is_a_file_all_the_same(file: Path) -> None:
    product = read(file, product_of("<LogFile><FileName>x.log</FileName></LogFile>"))
    assert product.files == (FileReference(name="x.log", ordinal=0, xpath="Data/LogFile"),)


def test_a_catalogue_path_is_no_file(file: Path) -> None:
    assert read(file, product_of("<PathToCatalogFile>a/b</PathToCatalogFile>")).files == ()


CHECKSUMS: dict[str, tuple[str, Checksum | None, tuple[str, ...]]] = {
    "none": ("", None, ()),
    "none by name": ("checksumMethod='None' checksumValue='None'", None, ()),
    "md5": (
        "checksumMethod='MD5' checksumValue='D41D8CD98F00B204E9800998ECF8427E'",
        Checksum(algorithm="md5", value="d41d8cd98f00b204e9800998ecf8427e", declared=True),
        (),
    ),
    "adler32 without zeros": (
        "checksumMethod='Adler32' checksumValue='620062'",
        Checksum(algorithm="adler32", value="00620062", declared=True),
        (),
    ),
    "sha-256": (
        f"checksumMethod='SHA-256' checksumValue='{'ab' * 32}'",
        Checksum(algorithm="sha256", value="ab" * 32, declared=True),
        (),
    ),
    "letters": (
        "checksumMethod='MD5' checksumValue='z56Kn'",
        None,
        ("x: this is no md5 checksum: 'z56kn'",),
    ),
    "no value": ("checksumMethod='Adler32'", None, ("x: this is no adler32 checksum: ''",)),
    "unknown method": (
        "checksumMethod='CRC32' checksumValue='1'",
        None,
        ("x: its checksum is of no known method: 'crc32'",),
    ),
    "no method": (
        "checksumValue='1'",
        None,
        ("x: its checksum is of no known method: ''",),
    ),
}


@pytest.mark.parametrize("kind", CHECKSUMS)
def test_a_declared_checksum_is_taken_or_a_problem(file: Path, kind: str) -> None:
    attributes, checksum, problems = CHECKSUMS[kind]
    product = read(file, product_of(container("x", f"filestatus='PROPOSED' {attributes}")))
    assert product.files[0].checksum == checksum
    assert product.problems == problems


def test_a_field_below_a_field_that_repeats_is_a_problem(file: Path) -> None:
    header = HEADER.replace("</Header>", "<K><A>1</A><A>2</A></K></Header>")
    product = read(file, product_of("", header))
    assert product.header == {"ProductId": "p", "K.A": "1"}
    assert product.problems == ("K.A is in its Header more than once; the first is taken",)


def test_an_id_may_be_in_an_object(file: Path) -> None:
    header = "<Header><ProductId><ObjectId>o</ObjectId></ProductId></Header>"
    assert read(file, product_of("", header)).product_id == "o"


def test_values_are_found_whatever_the_namespaces_and_doubled_steps(file: Path) -> None:
    text = "<a:D xmlns:a='u'><a:Header><ProductId>p</ProductId></a:Header><a:Data><X><X>1</X></X>"
    product = read(file, text + "<X>b</X></a:Data></a:D>", "Data.X", "Header.ProductId")
    assert product.values == (
        ProductValue(path="Header.ProductId", ordinal=0, text="p"),
        ProductValue(path="Data.X", ordinal=0, text="1", number=1),
        ProductValue(path="Data.X", ordinal=1, text="b"),
    )
    assert value_path("A.A.B.A") == "A.B.A"


NUMBERS = {
    "-1284159892": -1284159892.0,
    "9223372036854775808": 9223372036854775808.0,
    "-10.0": -10.0,
    ".5": 0.5,
    "5.": 5.0,
    "1e3": 1000.0,
    "1e999": None,
    "NaN": None,
    "INF": None,
    "-inf": None,
    "1_000": None,
    "\u0661": None,
    "0x10": None,
    "1 2": None,
    "0000-00-00T00:00:00": None,
    "2023-04-12T19:53:45.456789": None,
    "": None,
}


@pytest.mark.parametrize("text", NUMBERS)
def test_a_value_has_a_number_if_it_is_a_finite_one(file: Path, text: str) -> None:
    (value,) = read(file, product_of(f"<V>{text}</V>"), "Data.V").values
    assert (value.text, value.number) == (text, NUMBERS[text])


def test_a_pipe_is_refused_without_waiting(file: Path) -> None:
    os.mkfifo(file)
    with pytest.raises(InputError, match=r"p\.xml is a pipe \(FIFO\), not a file"):
        read_product(file)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a directory, not a file"):
        read_product(tmp_path)


def test_a_device_without_end_is_refused() -> None:
    with pytest.raises(InputError, match="/dev/zero is a device, not a file"):
        read_product(Path("/dev/zero"))


def test_a_file_of_2_gb_of_nothing_is_refused_unread(file: Path) -> None:
    with file.open("wb") as sparse:
        sparse.truncate(2_000_000_000)
    with pytest.raises(
        InputError, match="has 2,000,000,000 bytes; more than 1,500,000,000 are not"
    ):
        read_product(file)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file or directory"):
        read_product(tmp_path / "no.xml")
    loop = tmp_path / "loop.xml"
    loop.symlink_to(loop)
    with pytest.raises(InputError, match="cannot be read: Too many levels of symbolic links"):
        read_product(loop)


MEMORY = """
    import sys
    from pathlib import Path
    from euclid_dask.data.products import read_product

    def peak():
        return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

    read_product(Path(sys.argv[1]))
    before = peak()
    product = read_product(Path(sys.argv[2]), ["Data.Last"])
    print(peak() - before, len(product.files), product.values[0].text)
    print("lxml" in sys.modules, "sqlalchemy" in sys.modules)
"""


def test_memory_does_not_grow_with_a_product(tmp_path: Path) -> None:
    large = tmp_path / "large.xml"
    row = "<Row unit='deg'><Ra>123.456</Ra><Dec>-1.5</Dec><Note>a &amp; b</Note></Row>\n" * 1000
    with large.open("w") as text:
        text.write(f"<D>{HEADER}<Data>")
        for _ in range(80):
            text.write(row)
        text.write(f"{container('x.fits')}<Last>yes</Last></Data></D>")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEMORY), SAMPLES / "eas_dss__DDO.xml", large],
        capture_output=True,
        text=True,
        check=True,
    )
    grown_kb, files, last, lxml, sqlalchemy = done.stdout.split()
    assert large.stat().st_size > 5_000_000
    assert int(grown_kb) < 2000
    assert (files, last, lxml, sqlalchemy) == ("1", "yes", "False", "False")


TEXTS = st.text(st.characters(exclude_categories=("C",)), max_size=30)


@given(
    TEXTS.filter(str.strip),
    st.lists(st.text(string.ascii_letters + "_.:", min_size=1), max_size=4),
    TEXTS,
)
def test_what_is_written_is_read(product_id: str, names: list[str], value: str) -> None:
    path = Path(f"/dev/shm/euclid-dask-test-{os.getpid()}.xml")
    header = f"<Header><ProductId>{escape(product_id)}</ProductId></Header>"
    files = "".join(container(f"x{name}") for name in names)
    try:
        product = read(path, product_of(f"{files}<V>{escape(value)}</V>", header), "Data.V")
    finally:
        path.unlink()
    assert product.product_id == product_id.strip()
    assert [one.name for one in product.files] == [f"x{name}" for name in names]
    assert [one.text for one in product.values] == [value.strip()]


PIECES = st.sampled_from(
    [
        *("<", ">", "/", "&", ";", "'", '"', "=", "!", "?", "[", "]", "-", " ", "\n", "\0"),
        *("<D>", "</D>", "<Header>", "</Header>", "<ProductId>", "</ProductId>", "<FileName>"),
        *("</FileName>", "<DataContainer filestatus='X'>", "</DataContainer>", "../", "data/"),
        *("<!DOCTYPE D [", "]>", "<!ENTITY a 'b'>", "&a;", "&#0;", "&#x202e;", "<![CDATA[", "]]>"),
        *("<?xml version='1.0' encoding='", "'?>", "UTF-7", "UTF-16", "x", "é", "\ufeff"),
    ]
)


@given(st.lists(PIECES, max_size=40).map("".join).map(str.encode) | st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    path = Path(f"/dev/shm/euclid-dask-test-{os.getpid()}.xml")
    try:
        product = read(path, content)
    except InputError:
        return
    finally:
        path.unlink()
    assert product.product_id
    assert all("/" not in one.name and one.name.isascii() for one in product.files)


def test_more_kinds_of_elements_than_are_kept_are_read(tmp_path: Path) -> None:
    odd = "".join(f"<x{number}/>" for number in range(5000))
    text = f"<D><Header><ProductId>p</ProductId></Header><Data>{odd}<A><B>7</B></A></Data></D>"
    (tmp_path / "p.xml").write_text(text)
    for _ in range(2):
        product = read_product(tmp_path / "p.xml", ["Data.A.B"])
        assert [(one.path, one.number) for one in product.values] == [("Data.A.B", 7.0)]


def test_kinds_of_elements_are_forgotten_while_a_product_is_read(tmp_path: Path) -> None:
    odd = "".join(f"<x{number}/>" for number in range(20_000))
    text = f"<D><Header><ProductId>p</ProductId></Header><Data>{odd}</Data></D>"
    (tmp_path / "p.xml").write_text(text)
    tracemalloc.start()
    try:
        read_product(tmp_path / "p.xml")
        assert tracemalloc.get_traced_memory()[1] < 20_000 * 250
    finally:
        tracemalloc.stop()


def test_a_root_is_no_file_name_whatever_it_is_called(tmp_path: Path) -> None:
    text = "<FileName><Header><ProductId>p</ProductId></Header></FileName>"
    (tmp_path / "p.xml").write_text(text)
    assert read_product(tmp_path / "p.xml").files == ()


@pytest.mark.parametrize("size", [None, 2000])
def test_a_parser_is_let_go_when_its_product_is_read(size: int | None, tmp_path: Path) -> None:
    path = tmp_path / "p.xml"
    path.write_bytes((SAMPLES / f"{PPT}star_catalog.xml").read_bytes()[:size])

    def parsers() -> int:
        return sum(isinstance(one, expat.XMLParserType) for one in gc.get_objects())

    gc.disable()
    try:
        before = parsers()
        with pytest.raises(InputError) if size else nullcontext():
            read_product(path)
        assert parsers() == before
    finally:
        gc.enable()
