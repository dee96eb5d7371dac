"""What inputs bring along: lists, products, and their files."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from euclid_dask.core.errors import InputError
from euclid_dask.data.lists import Closure, Find, closure, read_list


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path


@pytest.fixture
def find(workdir: Path) -> Find:
    return lambda path: workdir / path if (workdir / path).is_file() else None


Put = Callable[..., None]


@pytest.fixture
def put(workdir: Path) -> Put:
    """Return a function that writes a list of elements, or a product that names files."""

    def written(path: str, *named: object) -> None:
        if path.endswith(".xml"):
            files = "".join(f"<F><FileName>{name}</FileName></F>" for name in named)
            text = f"<D><Header><ProductId>p</ProductId></Header><Data>{files}</Data></D>"
        else:
            text = json.dumps(named)
        (workdir / path).parent.mkdir(exist_ok=True, parents=True)
        (workdir / path).write_text(text)

    return written


def test_a_list_brings_its_products_and_their_files_once_each(put: Put, find: Find) -> None:
    put("all.json", ["a.xml"], ["b.xml", "more.json"], "a.xml")
    put("more.json", "b.xml", "data/x.txt")
    put("a.xml", "a.fits", "both.fits")
    put("b.xml", "both.fits", "None")
    put("data/a.fits")
    put("data/both.fits")
    put("data/x.txt")
    assert closure("all.json", find) == Closure(
        lists=("all.json", "more.json"),
        products=("a.xml", "b.xml"),
        files=("data/a.fits", "data/both.fits", "data/x.txt"),
    )


def test_all_that_is_nowhere_is_told_with_who_names_it(put: Put, find: Find) -> None:
    put("all.json", "a.xml", "no.xml", "no.json")
    put("a.xml", "a.fits", "b.fits")
    put("data/b.fits")
    assert closure("all.json", find) == Closure(
        lists=("all.json",),
        products=("a.xml",),
        files=("data/b.fits",),
        missing=(
            "data/a.fits, named by a.xml",
            "no.xml, named by all.json",
            "no.json, named by all.json",
        ),
    )
    assert closure("other.json", find).missing == ("other.json",)


def test_elements_that_are_no_files_are_plain_values(put: Put, find: Find) -> None:
    put("all.json", "1-1", 7, 1.5, None, True, {"a": "x.fits"}, "N/A", "", "a b")
    assert closure("all.json", find) == Closure(lists=("all.json",))


def test_an_element_without_a_suffix_is_a_file_if_it_is_there(put: Put, find: Find) -> None:
    put("all.json", "raw", "cooked")
    put("raw")
    assert closure("all.json", find).files == ("raw",)


def test_a_list_of_any_name_is_known_by_how_it_begins(put: Put, find: Find, workdir: Path) -> None:
    put("split.reduce/frames", "a.fits")
    put("a.fits")
    assert closure("split.reduce/frames", find).files == ("a.fits",)
    (workdir / "text").write_text("[x")
    with pytest.raises(InputError, match="text is not JSON"):
        closure("text", find)
    (workdir / "table.txt").write_text("[x")
    assert closure("table.txt", find).files == ("table.txt",)


def test_a_data_file_of_a_product_is_not_looked_into(put: Put, find: Find, workdir: Path) -> None:
    put("a.xml", "table.json", "other.xml")
    (workdir / "data/table.json").write_text("not JSON")
    (workdir / "data/other.xml").write_text("not XML")
    assert closure("a.xml", find).files == ("data/table.json", "data/other.xml")


def test_a_list_that_names_itself_is_refused(put: Put, find: Find) -> None:
    put("a.json", "a.json")
    with pytest.raises(InputError, match=r"a\.json names itself: a\.json > a\.json"):
        closure("a.json", find)
    put("a.json", "b.json")
    put("b.json", ["c.json"])
    put("c.json", "a.json")
    with pytest.raises(InputError, match=r"itself: a\.json > b\.json > c\.json > a\.json"):
        closure("a.json", find)


def test_lists_that_name_each_other_too_deep_are_refused(put: Put, find: Find) -> None:
    for number in range(30):
        put(f"{number}.json", f"{number + 1}.json")
    with pytest.raises(InputError, match=r"list files name each other more than 16 deep: 0\.json"):
        closure("0.json", find)


def test_lists_that_are_named_over_and_over_are_read_once(put: Put, find: Find) -> None:
    for number in range(16):
        put(f"{number}.json", *[f"{number + 1}.json"] * 10)
    put("16.json")
    assert len(closure("0.json", find).lists) == 17


BAD_ELEMENTS = {
    "/etc/passwd": "is absolute",
    "/data/x.fits": "is absolute",
    "../x.fits": "has the step '..'",
    "data/../../x": "has the step '..'",
    "http://host/x.fits": "has an empty step",
    "a\0.fits": "has a NUL character",
    "a\\b.fits": "has '\\\\'",
    "%2e%2e/x.fits": "has '%2e', which some servers take for another letter",
    "\ud800.fits": "has U\\+D800 \\(no character\\)",
}


@pytest.mark.parametrize("element", BAD_ELEMENTS, ids=ascii)
def test_an_element_that_leads_elsewhere_is_refused(put: Put, find: Find, element: str) -> None:
    put("all.json", [element])
    with pytest.raises(InputError, match=f"all.json names .*, which {BAD_ELEMENTS[element]}"):
        closure("all.json", find)


BAD_LISTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty; an empty list is written []"),
    "blank": (b" \n", "is empty; an empty list is written []"),
    "object": (b'{"a": 1}', "is not a list"),
    "number": (b"7", "is not a list"),
    "text": (b"a.fits\nb.fits", "is not JSON: Expecting value in line 1, column 1"),
    "cut": (b'["a.fits",', "is not JSON: Expecting value in line 1, column 11"),
    "XML": (b"<D/>", "is not JSON: Expecting value in line 1, column 1"),
    "pickle": (pickle.dumps(["a"]), "is a pickle, which is refused"),
    "old pickle": (pickle.dumps(["a"], 0), "is a pickle, which is refused"),
    "100 deep": (b"[" * 100 + b"]" * 100, "is nested more than 16 deep"),
    "1 000 000 deep": (b"[" * 1_000_000, "is nested more than 16 deep"),
    "100 deep objects": (b'[{"a":' * 50 + b"1" + b"}]" * 50, "is nested more than 16 deep"),
    "number without end": (
        b"[" + b"1" * 10_000 + b"]",
        "is not JSON: it is not text, or has a number without end",
    ),
    "no text": (b'["\xff"]', "is not JSON: it is not text, or has a number without end"),
}


@pytest.mark.parametrize("kind", BAD_LISTS)
def test_a_bad_list_is_refused_with_its_reason(workdir: Path, kind: str) -> None:
    content, reason = BAD_LISTS[kind]
    (workdir / "l.json").write_bytes(content)
    with pytest.raises(InputError) as refusal:
        read_list(workdir / "l.json")
    assert refusal.value.message == f"list file {workdir / 'l.json'} {reason}"


def test_a_list_of_1_gb_is_refused_unread(workdir: Path) -> None:
    with (workdir / "l.json").open("wb") as sparse:
        sparse.truncate(1_000_000_000)
    with pytest.raises(InputError, match="has 1,000,000,000 bytes; more than 67,108,864 are not"):
        read_list(workdir / "l.json")


def test_what_is_no_file_is_refused_without_waiting(workdir: Path) -> None:
    os.mkfifo(workdir / "l.json")
    with pytest.raises(InputError, match=r"is a pipe \(FIFO\), not a file"):
        read_list(workdir / "l.json")
    with pytest.raises(InputError, match="cannot be read: No such file or directory"):
        read_list(workdir / "no.json")


def test_more_files_than_any_input_has_are_refused(put: Put, find: Find) -> None:
    put("all.json", *[f"{number}.fits" for number in range(3)])
    assert len(closure("all.json", find, most=4).missing) == 3
    with pytest.raises(InputError, match=r"all\.json names more than 3 files"):
        closure("all.json", find, most=3)
