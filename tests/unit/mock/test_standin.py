import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from euclid_dask.mock.standin.files import data_name, product_type, quoted, write_file
from euclid_dask.mock.standin.load import busy_shares
from euclid_dask.mock.standin.plans import (
    OutputPlan,
    ProgramPlan,
    RefusedError,
    matching,
    parse_options,
    plan_of_task,
)
from euclid_dask.mock.standin.program import chance
from euclid_dask.mock.standin.reading import digest_file, file_names, texts_of

PLANS = {
    "short": {"name": "short", "command": ("E-Run", "P", "1", "X"), "outputs": {}},
    "long": {"name": "long", "command": ("E-Run", "P", "1", "X", "--all"), "outputs": {}},
}
LINEAGE = [("task", "t"), ("input a", 'b.xml <"& 1')]


def names(plans: list[dict[str, object]]) -> list[object]:
    return [plan["name"] for plan in plans]


def test_options_are_read_with_and_without_an_equals_sign() -> None:
    assert parse_options(["--a=1", "--b", "2", "--flag", "--c=x=y", "loose"]) == {
        "a": "1",
        "b": "2",
        "flag": "",
        "c": "x=y",
    }


def test_the_longest_command_is_meant() -> None:
    assert names(matching(PLANS, ["E-Run", "P", "1", "X", "--all", "--workdir=w"])) == ["long"]
    assert names(matching(PLANS, ["E-Run", "P", "1", "X", "--workdir=w"])) == ["short"]


def test_a_stand_in_is_known_by_its_own_name_and_by_choice() -> None:
    assert names(matching(PLANS, ["long", "--workdir=w"])) == ["long"]
    assert names(matching(PLANS, ["any", "--mock-executable=short"])) == ["short"]
    assert matching(PLANS, ["E-Run", "P", "2", "X"]) == []


def test_one_command_of_two_executables_is_told_apart_by_the_task() -> None:
    both: list[dict[str, object]] = [
        {"name": "a", "outputs": {"x": {}}, "tasks": ("a",)},
        {"name": "b", "outputs": {"x": {}}, "tasks": ("s.iterations.*.b",)},
        {"name": "c", "outputs": {"y": {}}, "tasks": ()},
    ]
    assert plan_of_task(both, {"x": "o"}, "s.iterations.17.b").name == "b"
    assert plan_of_task(both, {"x": "o"}, "by hand").name == "a"
    assert plan_of_task(both, {"y": "o"}, "by hand").name == "c"


def test_chance_depends_on_seed_task_and_nothing_else() -> None:
    assert chance(1, "t", "failure") == chance(1, "t", "failure")
    assert len({chance(seed, "t", "failure") for seed in range(50)}) == 50
    failing = sum(chance(0, f"task {n}", "failure") < 0.1 for n in range(2000))
    assert 150 < failing < 250


def test_a_fits_file_has_cards_of_80_and_blocks_of_2880_bytes(tmp_path: Path) -> None:
    write_file(str(tmp_path), "a.fits", OutputPlan("fits", size=10_000), LINEAGE, "t")
    content = (tmp_path / "a.fits").read_bytes()
    header = content[:2880].decode("ascii")
    cards = [header[at : at + 80].rstrip() for at in range(0, 2880, 80)]
    assert cards[:4] == [
        "SIMPLE  =                    T",
        "BITPIX  =                    8",
        "NAXIS   =                    1",
        "NAXIS1  =                 7120",
    ]
    assert "HISTORY task: t" in cards
    assert "END" in cards
    assert len(content) == 4 * 2880


def test_the_smallest_fits_file_has_no_axis(tmp_path: Path) -> None:
    write_file(str(tmp_path), "a.fits", OutputPlan("fits"), [("k", "é" * 100)] * 40, "t")
    content = (tmp_path / "a.fits").read_bytes()
    assert content[160:190] == b"NAXIS   =                    0"
    assert len(content) == 3 * 2880
    assert content.isascii()


def test_a_product_names_its_data_file_and_all_inputs(tmp_path: Path) -> None:
    write_file(str(tmp_path), "t/a.xml", OutputPlan("xml", dm_type="vis.raw-frame"), LINEAGE, "t")
    content = (tmp_path / "t/a.xml").read_bytes()
    root = ET.fromstring(content)
    assert root.tag == "{http://euclid.esa.org/schema/dpd/mock/visrawframe}DpdVisRawFrame"
    assert file_names(content) == ["EUC_MOCK_t_a.fits"]
    assert (tmp_path / "data/EUC_MOCK_t_a.fits").is_file()
    assert {e.findtext("Key"): e.findtext("StringValue") for e in root.iter("Parameter")} == {
        "task": "t",
        "input a": 'b.xml <"& 1',
    }


def test_a_list_of_lists_names_lists_that_name_products(tmp_path: Path) -> None:
    write_file(str(tmp_path), "t/a.json", OutputPlan("xml", depth=2, items=2), LINEAGE, "t")
    assert json.loads((tmp_path / "t/a.json").read_text()) == ["t/a_1.json", "t/a_2.json"]
    assert json.loads((tmp_path / "t/a_2.json").read_text()) == ["t/a_2_1.xml", "t/a_2_2.xml"]
    assert len(list((tmp_path / "data").iterdir())) == 4


def test_an_empty_list_is_written(tmp_path: Path) -> None:
    write_file(str(tmp_path), "a.json", OutputPlan("xml", depth=1, items=0), LINEAGE, "t")
    assert json.loads((tmp_path / "a.json").read_text()) == []


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        ("png", b"\x89PNG\r\n\x1a\n"),
        ("txt", b"task: t\n"),
        ("pdf", b"%PDF-"),
        ("tar.gz", b"\x1f\x8b"),
    ],
)
def test_other_formats_begin_as_they_do(tmp_path: Path, kind: str, start: bytes) -> None:
    write_file(str(tmp_path), f"a.{kind}", OutputPlan(kind, size=5000), LINEAGE, "t")
    content = (tmp_path / f"a.{kind}").read_bytes()
    assert content.startswith(start)
    assert len(content) == 5000


def test_a_json_file_has_the_wanted_size_about(tmp_path: Path) -> None:
    write_file(str(tmp_path), "a.json", OutputPlan("json", size=5000), LINEAGE, "t")
    content = (tmp_path / "a.json").read_text()
    assert json.loads(content)["input a"] == 'b.xml <"& 1'
    assert 4900 < len(content) <= 5000


def test_a_size_of_many_chunks_is_reached(tmp_path: Path) -> None:
    write_file(str(tmp_path), "a.bin", OutputPlan("bin", size=3_500_000), LINEAGE, "t")
    assert (tmp_path / "a.bin").stat().st_size == 3_500_000


def test_data_files_have_legal_names_that_differ() -> None:
    assert data_name("EUC_MOCK_a.b_c") == "EUC_MOCK_a.b_c.fits"
    assert data_name("a b") != data_name("a_b")
    assert len(data_name("x" * 400)) < 200


def test_a_product_type_is_made_of_what_a_port_declares() -> None:
    assert product_type("") == "DpdFile"
    assert product_type("she-estimates.v2") == "DpdSheEstimatesV2"


def test_quoted_text_is_json() -> None:
    text = 'a"b\\c\td é'
    assert json.loads(quoted(text)) == text


def test_names_of_data_files_are_found_at_any_depth() -> None:
    product = b"""<a><x:FileName attr="1">one &amp; two.fits</x:FileName>
      <FileName> three.fits </FileName><FileName/><FileName>None</FileName></a>"""
    assert file_names(product) == ["one & two.fits", "three.fits"]


def test_texts_of_lists_in_lists_are_found() -> None:
    assert texts_of(b' ["a", ["b", 3, null], "c\\u00e9"] ') == ["a", "b", "cé"]
    assert texts_of(b'{"a": 1}') is None
    assert texts_of(b"[1") is None
    assert texts_of(b"[] x") is None


def test_the_digest_of_a_list_depends_on_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text('["a.txt", "plain id"]')
    (tmp_path / "a.txt").write_text("1")
    before = digest_file(str(tmp_path), "list.json", "input x")
    (tmp_path / "a.txt").write_text("2")
    assert digest_file(str(tmp_path), "list.json", "input x") != before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('["gone.xml"]', "input x: in.f: gone.xml: No such file or directory"),
        (
            "<a><FileName>gone.fits</FileName></a>",
            "input x: in.f names data/gone.fits: No such file or directory",
        ),
    ],
)
def test_a_file_that_names_what_is_gone_is_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "in.f").write_text(content)
    with pytest.raises(RefusedError) as caught:
        digest_file(str(tmp_path), "in.f", "input x")
    assert str(caught.value) == message


def test_cores_are_kept_busy_by_a_process_each() -> None:
    assert busy_shares(2, 1.0) == [1.0, 1.0]
    assert busy_shares(1.5, 0.5) == [0.5, 0.25]
    assert busy_shares(4, 0.0) == []


def test_a_plan_has_defaults() -> None:
    plan = ProgramPlan(name="a", outputs={"x": {"kind": "fits"}})
    assert plan.outputs["x"].kind == "fits"
    assert plan.failure == "exit"
