"""Checks of outputs."""

from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import pytest

from euclid_dask.core.attempts import FailureKind, Order, OutputArgument
from euclid_dask.core.ids import TaskId
from euclid_dask.core.resources import Resources
from euclid_dask.worker.failures import AttemptError
from euclid_dask.worker.outputs import check_outputs


def _order(mime: str, *, is_list: bool = False) -> Order:
    output = OutputArgument(port="out", path=f"t/out.{mime}", mime_type=mime, is_list=is_list)
    return Order(
        task=TaskId("t"),
        attempt=1,
        executable="e",
        command=("e",),
        inputs=(),
        outputs=(output,),
        needs=Resources(),
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "t").mkdir()
    return tmp_path / "t"


def _complaint(workdir: Path, order: Order) -> str:
    with pytest.raises(AttemptError) as caught:
        check_outputs(order, str(workdir))
    assert caught.value.failure.kind is FailureKind.OUTPUT
    return caught.value.failure.message


@pytest.mark.parametrize(
    ("mime", "is_list", "content"),
    [
        ("xml", False, b"<a><b/></a>"),
        ("xml", True, b'["a.xml"]'),
        ("json", False, b'{"a": [1, 2.5]}'),
        ("json", False, b'{"a": NaN}'),
        ("json", True, b"[]"),
        ("fits", False, b"SIMPLE  =                    T"),
        ("txt", False, b"anything"),
        ("unheard-of", False, b"anything"),
    ],
)
def test_a_good_output_is_accepted_with_its_size(
    directory: Path, mime: str, is_list: bool, content: bytes
) -> None:
    path = directory / f"out.{mime}"
    path.write_bytes(content)
    found = check_outputs(_order(mime, is_list=is_list), str(directory.parent))["out"]
    assert (found.path, found.size) == (f"t/out.{mime}", len(content))
    assert found.mtime_ns == path.stat().st_mtime_ns


@pytest.mark.parametrize(
    ("mime", "is_list", "content", "message"),
    [
        ("xml", False, b"", "is empty"),
        ("xml", False, b"<a><b></a>", "is not well-formed XML: mismatched tag in line 1"),
        ("xml", False, b"<a>", "is not well-formed XML: it ends in line 1, before it is complete"),
        ("xml", False, b"SIMPLE", "is not well-formed XML"),
        ("xml", False, b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "has a DOCTYPE"),
        ("json", False, b"{'a': 1}", "is not JSON"),
        ("json", True, b'{"a": 1}', "is a list file that holds an object, not a list"),
        ("json", True, b"<a/>", "is a list file that is not JSON: it is XML"),
        ("fits", False, b"<a/>", "is not FITS: it starts with b'<a/>'"),
    ],
)
def test_a_bad_output_is_refused_by_port_path_and_reason(
    directory: Path, mime: str, is_list: bool, content: bytes, message: str
) -> None:
    (directory / f"out.{mime}").write_bytes(content)
    complaint = _complaint(directory.parent, _order(mime, is_list=is_list))
    assert f"output 'out' (t/out.{mime}) {message}" in complaint


def test_a_missing_output_is_refused_with_what_is_there_instead(directory: Path) -> None:
    (directory / "Out.XML").write_text("<a/>")
    complaint = _complaint(directory.parent, _order("xml"))
    assert "was not written (its directory holds: Out.XML)" in complaint


def test_a_directory_is_refused(directory: Path) -> None:
    (directory / "out.fits").mkdir()
    assert "(t/out.fits) is a directory" in _complaint(directory.parent, _order("fits"))


def test_a_broken_link_is_refused(directory: Path) -> None:
    (directory / "out.fits").symlink_to("/nowhere/x.fits")
    complaint = _complaint(directory.parent, _order("fits"))
    assert "is a link to /nowhere/x.fits, which does not exist" in complaint


def test_a_link_to_a_file_is_that_file(directory: Path) -> None:
    (directory / "real").write_text("four")
    (directory / "out.txt").symlink_to("real")
    assert check_outputs(_order("txt"), str(directory.parent))["out"].size == 4


@pytest.mark.slow
def test_a_large_xml_file_is_checked_in_constant_memory(directory: Path) -> None:
    with (directory / "out.xml").open("wb") as file:
        file.write(b"<a>")
        block = b"<b>" + 1_000_000 * b"x" + b"</b>\n"
        for _ in range(100):
            file.write(block)
        file.write(b"</a>")
    before = getrusage(RUSAGE_SELF).ru_maxrss
    check_outputs(_order("xml"), str(directory.parent))
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < 20_000


def test_an_output_is_noted_by_content_if_that_is_asked_for(directory: Path) -> None:
    (directory / "out.txt").write_text("abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    noted = check_outputs(_order("txt"), str(directory.parent), digest=True)
    assert noted["out"].content == f"sha256:{digest}"
    assert check_outputs(_order("txt"), str(directory.parent))["out"].content == ""
