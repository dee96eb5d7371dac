"""Bringing the schema of a registry to the revision that this code speaks."""

from importlib.resources import files
from typing import Final

from sqlalchemy import Connection, inspect, text

from euclid_dask.core.errors import RegistryError
from euclid_dask.data.registry.schema import REVISION

_MIGRATIONS: Final = "euclid_dask.data.registry.migrations"
_ONE_AT_A_TIME: Final = 5_316_241_004
"""Key of the lock that servers hold in PostgreSQL while they upgrade."""


def revision_of(connection: Connection) -> str:
    """Return the revision of the schema, the empty text when there is none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.scalar(text("SELECT version_num FROM alembic_version")) or "")


def check(connection: Connection) -> None:
    """Raise `RegistryError` when the schema is not the one that this code speaks."""
    found = revision_of(connection)
    if found == REVISION:
        return
    if not found:
        raise RegistryError("there is no registry in this database", hint="put something in first")
    raise RegistryError(
        f"the registry has schema {found}, this version of euclid-dask speaks {REVISION}",
        hint="open it for writing to upgrade it" if found < REVISION else "upgrade euclid-dask",
    )


def upgrade(connection: Connection, revision: str = REVISION) -> None:
    """Create the tables, or bring those of an older version to `revision`.

    Raises:
        RegistryError: They are of a newer version.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(
            text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=_ONE_AT_A_TIME)
        )
    found = revision_of(connection)
    if found > revision:
        check(connection)
    if found != revision:
        _run(connection, revision)


def _run(connection: Connection, revision: str) -> None:
    # Alembic takes a while to import, and most registries that are opened are up to date
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(files(_MIGRATIONS)).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
