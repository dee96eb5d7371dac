"""`product show`."""

import json
from pathlib import Path

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "products"
QPF = str(SAMPLES / "qpf__DpdVisObservationFrame_2016style.xml")
PRODUCT = "<D><Header><ProductId>p</ProductId></Header><Data>{}</Data></D>"


def test_what_a_product_says_is_shown(cli) -> None:
    found = cli("product", "show", QPF, "--value", "Data.ImgNumber")
    assert found.exit_code == 0
    lines = found.stdout.splitlines()
    assert lines[0] == "DpdVisObservationFrame: 91100"
    assert ["Curator.Name", "Curator"] in [line.split() for line in lines]
    assert lines[-4:] == [
        "names 1 file:",
        "  EUC_VIS_RAW_W-91100-2_20200707T151811Z.fits",
        "    Data/FrameFitsFile/DataContainer, le1.visRawImage, ARCHIVED",
        "Data.ImgNumber = 144",
    ]


def test_all_of_it_is_one_object_with_json(cli) -> None:
    told = json.loads(cli("product", "show", QPF, "--json").stdout)
    assert told["product_id"] == "91100"
    assert told["header"]["SoftwareName"] == "LE1"
    assert [file["name"] for file in told["files"]] == [
        "EUC_VIS_RAW_W-91100-2_20200707T151811Z.fits"
    ]
    assert (told["links"], told["values"], told["problems"], told["violations"]) == ([], [], [], [])


def test_a_product_with_problems_is_shown_with_exit_code_1(cli) -> None:
    found = cli("product", "show", str(SAMPLES / "she_ppt__sample_validation_test_results.xml"))
    assert found.exit_code == 1
    assert found.stdout.count("problem: ") == 2
    assert "refers to 7m8lm as ExposureProductId" in found.stdout


def test_a_product_that_is_refused_is_told_with_exit_code_2(cli) -> None:
    Path("p.xml").write_text("<!DOCTYPE html><html/>")
    found = cli("product", "show", "p.xml")
    assert found.exit_code == 2
    assert "product p.xml is an HTML page" in found.stderr
    told = json.loads(cli("product", "show", "p.xml", "--json").stdout)
    assert "HTML page" in told["error"]["message"]


def test_texts_cannot_move_the_cursor_or_add_lines(cli) -> None:
    Path("p.xml").write_text(PRODUCT.format("<V>a\x9b2J\nnames 7 files</V>"))
    found = cli("product", "show", "p.xml", "--value", "Data.V")
    assert "\x9b" not in found.stdout
    assert found.stdout.splitlines()[-1] == "Data.V = a\ufffd2J names 7 files"


def test_a_product_is_checked_against_schemas(cli) -> None:
    Path("xsd").mkdir()
    Path("xsd/d.xsd").write_text(
        "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema'><xs:element name='D' "
        "type='xs:int'/></xs:schema>"
    )
    Path("p.xml").write_text(PRODUCT.format(""))
    found = cli("product", "show", "p.xml", "--schemas", "xsd")
    assert found.exit_code == 1
    assert "not as its schema: line 1: Element 'D'" in found.stdout
    assert cli("product", "show", "p.xml").exit_code == 0
    assert cli("product", "show", "p.xml", "--schemas", "nowhere").exit_code == 2
