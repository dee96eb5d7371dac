"""A registry on PostgreSQL that has rows is upgraded from each revision, and they stay."""

import sqlite3
from pathlib import Path

import pytest
from registries import Addresses
from sqlalchemy import Connection, MetaData, create_engine, func, insert, inspect, select, text

from euclid_dask.core.errors import RegistryError
from euclid_dask.data.model import Checksum, File, FileState, TransferState
from euclid_dask.data.query import parse_query
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.schema import REVISION, metadata
from euclid_dask.data.registry.upgrade import revision_of, upgrade

GOLDEN = Path(__file__).parents[1] / "golden" / "registry"
EMPTY = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
RULE = """INSERT INTO rules (name, state, content) VALUES ('two', 'active', '{"name": "two",
    "select": {"names": ["*.fits"]}, "places": "*", "copies": 2}')"""

READ = Checksum(algorithm="adler32", value="0000abcd")
DECLARED = Checksum(algorithm="md5", value="00ff", declared=True)
BEFORE_0007 = "INSERT INTO file_checksums VALUES (2, 'md5', '00ff', true)"
SINCE_0007 = """UPDATE file_checksums SET declared = '["md5"]',
    checksums = '{"md5": "00ff", "adler32": "0000abcd"}' WHERE file_id = 2"""


def copied(reading: Connection, writing: Connection) -> None:
    """Copy all rows, with their keys, into tables of the same revision."""
    tables = MetaData()
    tables.reflect(writing)
    for table in tables.sorted_tables:
        rows = [dict(row) for row in reading.execute(select(table)).mappings()]
        if not rows or table.name == "alembic_version":
            continue
        writing.execute(insert(table), rows)
        if "id" in table.c:
            sequence = func.pg_get_serial_sequence(table.name, "id")
            writing.execute(select(func.setval(sequence, max(row["id"] for row in rows))))


def checked(connection: Connection) -> set[str]:
    """Return the names of the foreign keys, which the database looks up for each row."""
    keys = inspect(connection).get_multi_foreign_keys().values()
    return {str(key["name"]) for some in keys for key in some}


@pytest.fixture(params=sorted(path.stem for path in GOLDEN.glob("*.sql")))
def address(request: pytest.FixtureRequest, server_addresses: Addresses, tmp_path: Path) -> str:
    """Return a registry on PostgreSQL as a version with an earlier schema left it."""
    left = tmp_path / "left.db"
    with sqlite3.connect(left) as connection:
        connection.executescript((GOLDEN / f"{request.param}.sql").read_text())
    connection.close()
    found = server_addresses()
    source = create_engine(f"sqlite:///{left}")
    target = create_engine(found.replace("postgresql:", "postgresql+psycopg:"))
    with source.connect() as reading, target.begin() as writing:
        writing.execute(text(EMPTY))
        upgrade(writing, request.param)
        assert revision_of(writing) == request.param
        copied(reading, writing)
        writing.exec_driver_sql(RULE)
        writing.exec_driver_sql(BEFORE_0007 if request.param < "0007" else SINCE_0007)
    for engine in (source, target):
        engine.dispose()
    if request.param != REVISION:
        with pytest.raises(RegistryError, match="open it for writing"):
            Registry(found, read_only=True)
    return found


def test_what_it_knew_is_found_and_goes_on(address: str) -> None:
    with Registry(address) as registry:
        assert registry.database.read(revision_of) == REVISION
        file = registry.files(["a.fits"])["a.fits"]
        assert file.state == FileState.COMMITTED
        assert file.checksums == (READ, DECLARED)
        (replica,) = registry.locate(["a.fits"])["a.fits"]
        assert (replica.storage, replica.path) == ("A", "raw/a.fits")
        (product,) = registry.find(parse_query("Data.TileIndex == 90346"))
        assert product.xml == "P1.xml"
        (claimed,) = registry.transfers.claim("mover", 1, 60)
        assert (claimed.file, claimed.destination) == ("a.fits", "B")
        assert claimed.state == TransferState.RUNNING
        assert registry.rules.get("two").is_stale
        registry.register([File(name="b.fits", size=1)])
        kinds = [one.kind for one in registry.history("a.fits")]
        assert kinds == ["registered", "transfer queued", "pinned", "transfer claimed"]
        known = {key for table in metadata.tables.values() for key in table.foreign_key_constraints}
        wanted = {str(key.name) for key in known if key.referred_table.name != "events"}
        assert registry.database.read(checked) == wanted
