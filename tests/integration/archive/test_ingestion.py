"""Products that are given to the archive: files first, XML last, and nothing if one is wrong."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import fake_archive
import pytest
from fake_archive import FakeArchive

from euclid_dask.core.errors import InputError
from euclid_dask.data.archive.ingestion import Ingester, parse_response
from euclid_dask.data.archive.session import Session
from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import StorageError

MakeXml = Callable[..., bytes]
CONTENT = bytes(range(256)) * 20


@pytest.fixture
def product(folder: Path, make_xml: MakeXml) -> Path:
    """A product of two files, as a task left it."""
    (folder / "data").mkdir(parents=True)
    (folder / "data/a.fits").write_bytes(CONTENT)
    (folder / "b.fits").write_bytes(b"b")
    path = folder / "out.xml"
    path.write_bytes(make_xml("1", {"a.fits": hashlib.md5(CONTENT).hexdigest(), "b.fits": ""}))
    return path


@pytest.fixture
def ingester(session: Session) -> Ingester:
    """Who gives them."""
    return Ingester(session)


def _sent(ingester: Ingester, path: Path) -> list[str]:
    names: list[str] = []
    ingester.send(ingester.plan([path]), names.append)
    return names


def test_files_come_first_and_xml_last(
    ingester: Ingester, archive: FakeArchive, product: Path
) -> None:
    assert _sent(ingester, product) == ["a.fits", "b.fits", "1"]

    assert archive.order == ["a.fits", "b.fits", "1"]
    assert archive.files == {"a.fits": CONTENT, "b.fits": b"b"}
    assert archive.products["1"] == product.read_bytes()


def test_a_plan_sends_nothing(ingester: Ingester, archive: FakeArchive, product: Path) -> None:
    plan = ingester.plan([product])

    assert [(one.content.name, one.known) for one in plan.files] == [
        ("a.fits", False),
        ("b.fits", False),
    ]
    assert archive.order == []
    assert archive.stored == {}


def test_what_is_there_is_not_sent_again(
    ingester: Ingester, archive: FakeArchive, product: Path
) -> None:
    _sent(ingester, product)
    _sent(ingester, product)

    assert archive.order == ["a.fits", "b.fits", "1"]
    assert len(archive.asked("DSSSTORE")) == 2


def test_it_goes_on_after_a_cut(ingester: Ingester, archive: FakeArchive, product: Path) -> None:
    archive.fail("IngestObject", fake_archive.answers(b"down", 500))
    with pytest.raises(StorageError):
        _sent(ingester, product)
    _sent(ingester, product)

    assert archive.order == ["a.fits", "b.fits", "1"]


def test_other_content_by_a_name_is_refused_before_anything_is_sent(
    ingester: Ingester, archive: FakeArchive, product: Path
) -> None:
    archive.files["b.fits"] = b"other"

    with pytest.raises(StorageError, match=r"has another file by the name b\.fits") as caught:
        _sent(ingester, product)

    assert caught.value.kind is ErrorClass.EXISTS
    assert archive.files == {"b.fits": b"other"}


def test_another_product_by_an_id_is_refused(
    ingester: Ingester, archive: FakeArchive, product: Path, make_xml: MakeXml
) -> None:
    archive.add_product(make_xml("1", {"other.fits": ""}))

    with pytest.raises(StorageError, match="has another product by the id 1"):
        _sent(ingester, product)
    assert archive.order == []


def test_all_that_is_wrong_is_told_at_once(
    ingester: Ingester, archive: FakeArchive, folder: Path, product: Path
) -> None:
    (folder / "b.fits").unlink()
    (folder / "data/a.fits").write_bytes(b"changed")

    with pytest.raises(InputError) as caught:
        _sent(ingester, product)

    assert "md5 of a.fits is" in caught.value.message
    assert "names b.fits, which is not in its data folder" in caught.value.message
    assert archive.requests == []


def test_what_is_no_product_is_refused(ingester: Ingester, folder: Path) -> None:
    folder.mkdir()
    page = folder / "page.xml"
    page.write_bytes(fake_archive.LOGIN_PAGE)

    with pytest.raises(InputError, match="nothing was sent to the archive"):
        ingester.plan([page])


def test_a_product_that_is_not_utf8_is_refused_before_anything_is_sent(
    ingester: Ingester, archive: FakeArchive, product: Path
) -> None:
    head = b'<?xml version="1.0" encoding="ISO-8859-1"?>\n<!-- \xe9 -->\n'
    product.write_bytes(head + product.read_bytes().rpartition(b"?>")[2])
    with pytest.raises(InputError, match="is not UTF-8, as the archive takes it"):
        _sent(ingester, product)
    assert archive.order == []


def test_xml_that_changes_after_it_was_looked_at_is_not_sent(
    ingester: Ingester, archive: FakeArchive, product: Path
) -> None:
    plan = ingester.plan([product])
    product.write_bytes(product.read_bytes() + b"\n")
    with pytest.raises(InputError, match="was changed while it was sent"):
        ingester.send(plan)
    assert archive.order == []


def test_a_store_that_changes_bytes_is_told(
    ingester: Ingester, archive: FakeArchive, product: Path
) -> None:
    plan = ingester.plan([product])
    archive.fail("MD5SUM", fake_archive.answers(b"0" * 32))

    with pytest.raises(StorageError, match=r"took a\.fits, but now its MD5 is 000"):
        ingester.send(plan)
    assert "1" not in archive.products


def test_what_the_archive_does_not_want_is_told(
    ingester: Ingester, archive: FakeArchive, product: Path
) -> None:
    plan = ingester.plan([product])
    archive.fail("DSSSTORED", fake_archive.answers(b"quota", 507))

    with pytest.raises(StorageError, match="answers 507") as caught:
        ingester.send(plan)
    assert caught.value.kind is ErrorClass.FULL


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is not understood"),
        (b"<a", "is not understood"),
        (b"<!DOCTYPE a><a/>", "DOCTYPE"),
        (b"<a/>", "is not understood"),
        (
            (
                b"<?xml version='1.0'?><methodResponse><fault><value><struct>"
                b"<member><name>faultCode</name><value><int>1</int></value></member>"
                b"<member><name>faultString</name><value><string>no right</string></value></member>"
                b"</struct></value></fault></methodResponse>"
            ),
            "the archive answers 'no right'",
        ),
    ],
)
def test_what_is_no_response_is_told(body: bytes, message: str) -> None:
    with pytest.raises(StorageError, match=message):
        parse_response(body, "https://eas/ingest")


def test_a_refusal_is_told_in_the_archives_words(
    ingester: Ingester, archive: FakeArchive, make_xml: MakeXml
) -> None:
    with pytest.raises(StorageError, match=r"there is no file gone\.fits"):
        ingester.ingest(make_xml("2", {"gone.fits": ""}))


def test_a_ticket_that_ran_out_stops_no_upload(
    ingester: Ingester, archive: FakeArchive, product: Path
) -> None:
    archive.ticket = "t1"
    plan = ingester.plan([product])
    archive.ticket = "t2"
    ingester.send(plan)

    assert archive.order == ["a.fits", "b.fits", "1"]
