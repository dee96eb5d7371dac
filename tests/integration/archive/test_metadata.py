"""Tables and products of an archive; each bad answer ends in a message that says what came."""

from collections.abc import Callable

import fake_archive
import pytest
from fake_archive import PASSWORD, FakeArchive

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import replace
from euclid_dask.data.archive.conditions import url_conditions
from euclid_dask.data.archive.metadata import Metadata
from euclid_dask.data.archive.session import Session
from euclid_dask.data.model import ErrorClass
from euclid_dask.data.storage import StorageError

MakeXml = Callable[..., bytes]


@pytest.fixture
def metadata(session: Session, archive: FakeArchive, make_xml: MakeXml) -> Metadata:
    """An archive of three products."""
    for number, release in (("1", "SC8_MAIN_V0"), ("2", "SC8_MAIN_V0"), ("3", "OTHER & MORE")):
        archive.add_product(make_xml(number, DataSetRelease=release))
    return Metadata(session)


def test_a_table_has_the_fields_that_were_asked_for(metadata: Metadata) -> None:
    table = metadata.find(
        "DpdVisRawFrame", "Header.DataSetRelease=SC8_MAIN_V0", ["Header.ProductId"]
    )

    assert table.columns == ("Header.ProductId",)
    assert table.rows == (("1",), ("2",))


def test_a_value_with_an_ampersand_stays_one_value(metadata: Metadata) -> None:
    table = metadata.find("DpdVisRawFrame", 'Header.DataSetRelease=="OTHER & MORE"')

    assert [row[0] for row in table.rows] == ["3"]


@pytest.mark.parametrize(
    "text",
    [
        (
            'Header.ManualValidationStatus.ManualValidationStatus!="INVALID"'
            "&&Header.DataSetRelease=SC8_MAIN_V0&&Data.TileIndex==90346"
        ),
        "Header.DataSetRelease=SC8_MAIN_V0&&Data.ObservationId==10351",
        "Header.DataSetRelease=SC8_MAIN_V0&Data.ObservationSequence.ObservationId==10351",
        "",
    ],
)
def test_texts_of_public_clients_go_out_as_they_are(text: str) -> None:
    assert url_conditions(text).replace("&&", "&") == text.replace("&&", "&")


@pytest.mark.parametrize(
    "text",
    [
        "make_asy=False",
        "class_name=DpdOther",
        "Header.X",
        'Header.X="open',
        "Header.X=1&&&&y",
        "=1",
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        url_conditions(text)


def test_products_come_whole_though_blank_lines_are_in_them(
    metadata: Metadata, archive: FakeArchive
) -> None:
    found = list(metadata.documents("DpdVisRawFrame", "Header.DataSetRelease=SC8_MAIN_V0"))

    assert [one.product.product_id for one in found] == ["1", "2"]
    assert [one.xml for one in found] == [archive.products["1"], archive.products["2"]]


def test_the_archive_is_asked_until_it_has_finished(
    metadata: Metadata, archive: FakeArchive, waits: list[float]
) -> None:
    archive.polls = 4

    assert metadata.document("DpdVisRawFrame", "3") is not None
    assert waits == [0.25, 0.5, 1.0, 2.0]


def test_a_query_that_takes_too_long_is_given_up(session: Session, archive: FakeArchive) -> None:
    archive.polls = 1000
    session.settings = replace(session.settings, longest_query_s=100)

    with pytest.raises(StorageError, match="not finished after") as caught:
        list(Metadata(session).documents("DpdVisRawFrame", ""))
    assert caught.value.kind is ErrorClass.TIMEOUT


def test_an_id_that_is_not_there_is_none(metadata: Metadata) -> None:
    assert metadata.document("DpdVisRawFrame", "4") is None


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (fake_archive.html, "a web page came in place of an answer"),
        (fake_archive.pickled, "a Python pickle, which is never read"),
        (fake_archive.cut_unseen, "the table that came"),
        (
            fake_archive.answers(b"ERROR: no class DpdX\n"),
            "in place of a table the archive answers",
        ),
        (fake_archive.answers(b'"Header.ProductId"\r\n"1","2"\r\n'), "has 2 of 1 fields in row 2"),
        (
            fake_archive.answers(b"Header.ProductId\r\nEUC_1", **{"Content-Length": ""}),
            "may have been cut",
        ),
        (fake_archive.answers(b"\xff\xfe\xfd"), "cannot be read"),
        (fake_archive.answers(b"no", 403), "answers 403"),
        (fake_archive.answers(b"gone", 404), "answers 404"),
        (fake_archive.redirect("ftp://127.0.0.1/x"), "redirected from"),
    ],
)
def test_what_is_no_table_is_told(
    metadata: Metadata, archive: FakeArchive, fault: fake_archive.Fault, message: str
) -> None:
    archive.fail("REST", fault)

    with pytest.raises(StorageError, match=message):
        metadata.find("DpdVisRawFrame", "", ["Header.ProductId"])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (fake_archive.html, "a web page came in place of an answer"),
        (fake_archive.answers(b"['a']"), "in place of products the archive answers"),
        (fake_archive.answers(b"__import__('os')"), "in place of products the archive answers"),
        (
            fake_archive.answers(b"{'url': '/x', 'status': 'ERROR'}"),
            "could not carry out the query",
        ),
        (
            fake_archive.answers(b"{'url': 'https://127.0.0.1/x', 'status': 'EXECUTING'}"),
            "sends us on to https://",
        ),
    ],
)
def test_what_is_no_query_is_told(
    metadata: Metadata, archive: FakeArchive, fault: fake_archive.Fault, message: str
) -> None:
    archive.fail("NewEuclidXML", fault)

    with pytest.raises(StorageError, match=message):
        list(metadata.documents("DpdVisRawFrame", ""))


def test_products_that_were_cut_are_not_taken(metadata: Metadata, archive: FakeArchive) -> None:
    archive.fail("result", fake_archive.cut_unseen)

    with pytest.raises(StorageError, match="an XML document of the answer ends before"):
        list(metadata.documents("DpdVisRawFrame", ""))


def test_a_cut_line_is_tried_again(
    metadata: Metadata, archive: FakeArchive, waits: list[float]
) -> None:
    archive.fail("REST", fake_archive.cut, fake_archive.cut)

    assert len(metadata.find("DpdVisRawFrame", "").rows) == 3
    assert waits == [1.0, 2.0]


def test_a_busy_archive_is_asked_when_it_wants(
    metadata: Metadata, archive: FakeArchive, waits: list[float]
) -> None:
    archive.fail("REST", fake_archive.busy(17))

    metadata.find("DpdVisRawFrame", "")

    assert waits == [17.0]


def test_an_archive_that_is_busy_for_hours_is_told(
    metadata: Metadata, archive: FakeArchive, waits: list[float]
) -> None:
    archive.fail("REST", fake_archive.busy(7200))

    with pytest.raises(StorageError, match="asks to come again in 7200 s"):
        metadata.find("DpdVisRawFrame", "")
    assert waits == []


def test_a_wrong_password_is_told_without_it(metadata: Metadata, archive: FakeArchive) -> None:
    archive.password = "another"

    with pytest.raises(StorageError, match="answers 401") as caught:
        metadata.find("DpdVisRawFrame", "")
    assert caught.value.kind is ErrorClass.AUTH
    assert "127.0.0.1" in caught.value.hint
    assert PASSWORD not in str(caught.value)


def test_who_we_are_is_told_to_no_other_host(metadata: Metadata, archive: FakeArchive) -> None:
    archive.ticket = "t1"
    metadata.find("DpdVisRawFrame", "")
    with fake_archive.serving(FakeArchive(password="")) as elsewhere:
        archive.fail("REST", fake_archive.redirect(f"{elsewhere.url}/REST"))
        elsewhere.fail("REST", fake_archive.answers(b'"A"\r\n'))
        metadata.find("DpdVisRawFrame", "", ["Header.ProductId"])

        (headers,) = elsewhere.asked("REST")
    assert "Authorization" not in headers
    assert "Cookie" not in headers


def test_a_server_that_the_settings_do_not_name_is_asked_as_nobody(
    metadata: Metadata, archive: FakeArchive
) -> None:
    with fake_archive.serving(FakeArchive(password="")) as elsewhere:
        there = f"{{'url': '{elsewhere.url}/result?class_name=DpdX', 'status': 'FINISHED'}}"
        archive.fail("NewEuclidXML", fake_archive.answers(there.encode()))
        assert list(metadata.documents("DpdVisRawFrame", "")) == []

        (headers,) = elsewhere.asked("result")
    assert "Authorization" not in headers


def test_a_ticket_is_shown_again_until_it_runs_out(
    metadata: Metadata, archive: FakeArchive
) -> None:
    archive.ticket = "t1"
    metadata.find("DpdVisRawFrame", "")
    metadata.find("DpdVisRawFrame", "")
    archive.ticket = "t2"
    metadata.find("DpdVisRawFrame", "")

    cookies = [headers.get("Cookie") for headers in archive.asked("REST")]
    assert cookies == [None, "ticket=t1", "ticket=t1", None]
