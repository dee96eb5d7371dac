"""An archive on loopback, and who may ask it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import fake_archive
import pytest
from fake_archive import PASSWORD, USER, FakeArchive

from euclid_dask.data.archive.session import Session
from euclid_dask.data.archive.settings import ArchiveSettings, checked
from euclid_dask.data.credentials import Credential

MakeXml = Callable[..., bytes]


@pytest.fixture
def archive() -> Iterator[FakeArchive]:
    """An archive without anything in it."""
    with fake_archive.serving() as running:
        yield running


@pytest.fixture
def settings(archive: FakeArchive) -> ArchiveSettings:
    """Where that archive is."""
    return checked(
        ArchiveSettings(
            metadata=archive.url, ingest=f"{archive.url}/ingest", files=(archive.url,), sdc="SDC-CH"
        )
    )


@pytest.fixture
def waits() -> list[float]:
    """How long the client wanted to wait, each time."""
    return []


@pytest.fixture
def session(settings: ArchiveSettings, waits: list[float]) -> Iterator[Session]:
    """A session with that archive that does not really wait."""
    credentials = {"127.0.0.1": Credential(user=USER, password=PASSWORD)}
    session = Session(settings, credentials, waits.append)
    yield session
    session.close()


@pytest.fixture
def make_xml() -> MakeXml:
    """Return a function that writes a product: its id, files (name to MD5 or ""), fields."""

    def made(product_id: str, files: dict[str, str] | None = None, **fields: str) -> bytes:
        header = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fields.items())
        containers = "".join(
            '<Storage format="vis.raw"><DataContainer filestatus="COMMITTED"'
            + (f' checksumMethod="MD5" checksumValue="{md5}"' if md5 else "")
            + f"><FileName>{name}</FileName></DataContainer></Storage>"
            for name, md5 in (files or {}).items()
        )
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<ns:DpdVisRawFrame xmlns:ns="http://euclid.esa.org/schema/dpd/vis/rawframe">\n'
            f"<Header><ProductId>{product_id}</ProductId>{header}</Header>\n\n"
            f"<Data>{containers}</Data>\n</ns:DpdVisRawFrame>"
        ).encode()

    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    return tmp_path / "w"
