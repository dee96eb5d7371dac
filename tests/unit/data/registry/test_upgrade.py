"""The revisions of the schema: each leads to the tables that the code speaks of."""

import shutil
import sqlite3
from importlib.resources import files
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from euclid_dask.core.errors import RegistryError
from euclid_dask.data.model import Checksum, File, FileState
from euclid_dask.data.query import parse_query
from euclid_dask.data.registry import Registry
from euclid_dask.data.registry.schema import REVISION, metadata

MIGRATIONS = files("euclid_dask.data.registry.migrations")
GOLDEN = Path(__file__).parents[3] / "golden" / "registry"


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


def restored(revision: str, path: Path) -> Path:
    """Return a registry as a version with this schema left it."""
    with sqlite3.connect(path) as connection:
        connection.executescript((GOLDEN / f"{revision}.sql").read_text())
    connection.close()
    return path


def test_the_last_revision_is_that_of_the_code() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


def test_the_revisions_lead_to_the_tables_of_the_code(tmp_path: Path) -> None:
    with Registry(tmp_path / "registry.db") as registry:
        assert registry.database.read(differences) == []


def test_there_is_a_registry_of_each_revision() -> None:
    revisions = {path.stem[1:5] for path in Path(str(MIGRATIONS), "versions").glob("r*.py")}
    assert {path.stem for path in GOLDEN.glob("*.sql")} == revisions


@pytest.mark.parametrize("revision", sorted(path.stem for path in GOLDEN.glob("*.sql")))
def test_a_registry_of_an_earlier_version_is_upgraded(tmp_path: Path, revision: str) -> None:
    path = restored(revision, tmp_path / "registry.db")
    if revision != REVISION:
        with pytest.raises(RegistryError, match="open it for writing"):
            Registry(path, read_only=True)
    with Registry(path) as registry:
        assert registry.database.read(differences) == []
        assert registry.files(["a.fits"])["a.fits"].state == FileState.COMMITTED
        assert [one.storage for one in registry.locate(["a.fits"])["a.fits"]] == ["A"]
        (product,) = registry.find(parse_query("Data.TileIndex == 90346"))
        assert product.xml == "P1.xml"
        (claimed,) = registry.transfers.claim("mover", 1, 60)
        assert (claimed.file, claimed.destination) == ("a.fits", "B")
        registry.register([File(name="b.fits", size=1)])


def test_all_checksums_that_an_earlier_version_knew_of_a_file_are_kept(tmp_path: Path) -> None:
    path = restored("0006", tmp_path / "registry.db")
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO file_checksums VALUES (2, 'md5', '00ff', 1)")
    connection.close()
    with Registry(path) as registry:
        assert registry.files(["a.fits"])["a.fits"].checksums == (
            Checksum(algorithm="adler32", value="0000abcd"),
            Checksum(algorithm="md5", value="00ff", declared=True),
        )
        assert len(registry.files(["P1.xml"])["P1.xml"].checksums) == 1


def test_a_registry_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    Registry(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = shutil.copy(path, tmp_path / "before.db")
    for read_only in (True, False):
        with pytest.raises(RegistryError, match="upgrade euclid-dask"):
            Registry(path, read_only=read_only)
    assert path.read_bytes() == Path(before).read_bytes()
