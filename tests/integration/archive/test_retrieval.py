"""Products of the archive with their files: whole, compared, and never twice over the line."""

import dataclasses
import hashlib
import io
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fake_archive
import pytest
from fake_archive import FakeArchive

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import replace
from euclid_dask.data.archive.metadata import Document, Metadata
from euclid_dask.data.archive.retrieval import Retriever
from euclid_dask.data.archive.session import Session
from euclid_dask.data.filling import Fetched, How
from euclid_dask.data.model import ErrorClass
from euclid_dask.data.products import parse_product
from euclid_dask.data.storage import StorageError

MakeXml = Callable[..., bytes]
CONTENT = bytes(range(256)) * 200
MD5 = hashlib.md5(CONTENT).hexdigest()
XML = "DpdVisRawFrame__1.xml"


@pytest.fixture
def full(archive: FakeArchive, make_xml: MakeXml) -> FakeArchive:
    """An archive with a product of two files."""
    archive.files |= {"a.fits": CONTENT, "b.fits": b"b" * 5000}
    archive.add_product(make_xml("1", {"a.fits": MD5, "b.fits": ""}))
    return archive


@dataclasses.dataclass
class Client:
    """Retrieves all products of the archive into a folder."""

    session: Session
    folder: Path
    fetched: list[Fetched] = dataclasses.field(default_factory=list)

    def get(self, cache: Path | None = None, to: Path | None = None) -> tuple[Path, ...]:
        retriever = Retriever(self.session, to or self.folder, cache, self.fetched.append)
        return retriever.products(list(Metadata(self.session).documents("DpdVisRawFrame", "")))

    def how(self) -> dict[str, How]:
        return {one.name: one.how for one in self.fetched}


@pytest.fixture
def client(session: Session, folder: Path) -> Client:
    """A client with an empty folder."""
    return Client(session, folder)


def test_files_and_xml_are_where_tasks_want_them(full: FakeArchive, client: Client) -> None:
    assert client.get() == (client.folder / XML,)

    assert (client.folder / XML).read_bytes() == full.products["1"]
    assert (client.folder / "data/a.fits").read_bytes() == CONTENT
    assert (client.folder / "data/b.fits").read_bytes() == b"b" * 5000
    assert sorted(path.name for path in client.folder.rglob(".*")) == []


def test_what_is_here_is_not_brought_again(full: FakeArchive, client: Client) -> None:
    client.get()
    client.get()

    assert client.how() == {"a.fits": How.KEPT, "b.fits": How.KEPT}
    assert len(full.asked("DSSGET")) == 2


@pytest.mark.parametrize("line", [fake_archive.cut, fake_archive.cut_unseen])
def test_a_cut_line_goes_on_where_it_was_cut(
    full: FakeArchive, client: Client, line: fake_archive.Fault
) -> None:
    full.fail("DSSGET", line, line, line)

    client.get()

    assert (client.folder / "data/a.fits").read_bytes() == CONTENT
    assert sum(one.brought for one in client.fetched) == len(CONTENT) + 5000


def test_what_an_earlier_process_brought_is_used(full: FakeArchive, client: Client) -> None:
    (client.folder / "data").mkdir(parents=True)
    (client.folder / "data/.a.fits.part-get").write_bytes(CONTENT[:30_000])

    client.get()

    (fetched,) = (one for one in client.fetched if one.name == "a.fits")
    assert (fetched.how, fetched.brought) == (How.RESUMED, len(CONTENT) - 30_000)
    assert (client.folder / "data/a.fits").read_bytes() == CONTENT


@pytest.mark.parametrize("left", [b"x" * 30_000, b"x" * len(CONTENT), b"x" * 60_000])
def test_a_wrong_part_is_begun_anew(full: FakeArchive, client: Client, left: bytes) -> None:
    (client.folder / "data").mkdir(parents=True)
    (client.folder / "data/.a.fits.part-get").write_bytes(left)

    client.get()

    assert (client.folder / "data/a.fits").read_bytes() == CONTENT


def test_wrong_bytes_are_not_taken(full: FakeArchive, client: Client) -> None:
    full.fail("DSSGET", *[fake_archive.other_bytes] * 9)

    with pytest.raises(StorageError, match=r"md5 of a\.fits is") as caught:
        client.get()

    assert caught.value.kind is ErrorClass.CONTENT
    assert not (client.folder / "data/a.fits").exists()
    assert not (client.folder / XML).exists()


def test_an_archive_that_contradicts_its_product_is_told(full: FakeArchive, client: Client) -> None:
    full.fail("MD5SUM", *[fake_archive.answers(b"0" * 32)] * 9)

    with pytest.raises(StorageError, match="is not that which the product declares"):
        client.get()


def test_another_store_is_asked_when_one_has_wrong_bytes(
    full: FakeArchive, session: Session, folder: Path, waits: list[float]
) -> None:
    with fake_archive.serving(FakeArchive(files=dict(full.files), password="")) as second:
        stores = replace(session.settings, files=(full.url, second.url), parallel=1)
        both = Session(stores, session._credentials, waits.append)
        full.fail("DSSGET", fake_archive.other_bytes, fake_archive.html)

        Client(both, folder).get()
        both.close()

        assert len(second.asked("DSSGET")) == 2
    assert (folder / "data/a.fits").read_bytes() == CONTENT


def test_a_file_that_is_nowhere_is_named(full: FakeArchive, client: Client) -> None:
    del full.files["b.fits"]

    with pytest.raises(StorageError, match=r"no store of the archive has the file b\.fits"):
        client.get()
    assert not (client.folder / XML).exists()


def test_other_content_here_is_refused(full: FakeArchive, client: Client) -> None:
    (client.folder / "data").mkdir(parents=True)
    (client.folder / "data/a.fits").write_bytes(b"mine")

    with pytest.raises(InputError, match="is here with other content"):
        client.get()
    assert (client.folder / "data/a.fits").read_bytes() == b"mine"


def test_another_product_here_is_refused_before_anything_is_brought(
    full: FakeArchive, client: Client
) -> None:
    client.folder.mkdir()
    (client.folder / XML).write_text("<mine/>")

    with pytest.raises(InputError, match="the archive's is another"):
        client.get()
    assert full.asked("DSSGET") == []


def test_a_cache_brings_each_file_once_for_many_folders(
    full: FakeArchive, client: Client, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = [tmp_path / f"w{number}" for number in range(4)]
        list(pool.map(lambda folder: client.get(tmp_path / "cache", folder), folders))

    assert len(full.asked("DSSGET")) == 2
    for folder in folders:
        assert (folder / "data/a.fits").resolve() == tmp_path / "cache/a.fits"
        assert (folder / "data/a.fits").read_bytes() == CONTENT
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["a.fits", "b.fits"]


def test_an_empty_file_is_a_file(archive: FakeArchive, client: Client, make_xml: MakeXml) -> None:
    archive.files["empty.fits"] = b""
    archive.add_product(make_xml("1", {"empty.fits": ""}))

    client.get()

    assert (client.folder / "data/empty.fits").read_bytes() == b""


def test_what_can_be_had_is_here_when_something_cannot(full: FakeArchive, client: Client) -> None:
    del full.files["a.fits"]

    with pytest.raises(StorageError, match=r"no store of the archive has the file a\.fits"):
        client.get()
    assert (client.folder / "data/b.fits").exists()


def test_nothing_is_left_of_what_is_refused(full: FakeArchive, client: Client) -> None:
    (client.folder / "data").mkdir(parents=True)
    (client.folder / "data/a.fits").write_bytes(b"mine")

    with pytest.raises(InputError):
        client.get()
    assert list(client.folder.rglob(".*")) == []


def test_a_retrieval_that_is_stopped_goes_on_later(full: FakeArchive, client: Client) -> None:
    client.session.stop()
    with pytest.raises(StorageError, match="stopped on request"):
        client.get()
    again = Session(client.session.settings, client.session._credentials)

    Client(again, client.folder, client.fetched).get()
    again.close()

    assert client.how()["a.fits"] is How.RESUMED
    assert (client.folder / "data/a.fits").read_bytes() == CONTENT


def test_two_products_by_one_id_are_refused(
    session: Session, folder: Path, make_xml: MakeXml
) -> None:
    both = [
        Document(xml=xml, product=parse_product(io.BytesIO(xml), where="of the test"))
        for xml in (make_xml("1"), make_xml("1", Purpose="TEST"))
    ]

    with pytest.raises(StorageError, match="two different products"):
        Retriever(session, folder).products(both)


def test_more_bytes_than_there_are_come_to_an_end(full: FakeArchive, client: Client) -> None:
    endless = fake_archive.answers(b"x" * (8 << 20))
    full.fail("DSSGET", *[endless] * 9)

    with pytest.raises(StorageError, match="and not") as caught:
        client.get()
    taken = re.search(r"and not (\d+)", caught.value.message)
    assert taken is not None
    assert int(taken[1]) < 2 << 20


def test_a_file_without_any_checksum_is_not_taken(full: FakeArchive, client: Client) -> None:
    full.fail("MD5SUM", *[fake_archive.answers(b"", 404)] * 9)

    with pytest.raises(StorageError, match=r"nobody tells a checksum of b\.fits"):
        client.get()
    assert (client.folder / "data/a.fits").read_bytes() == CONTENT
