"""New registries for tests, on SQLite and on a real PostgreSQL."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from postgresql import PostgreSQL

from euclid_dask.data.registry import Registry

Addresses = Callable[[], str]
"""Makes an empty registry, and returns its address."""


def on_sqlite(directory: Path) -> Addresses:
    """Return a maker of registries in a directory: copies of one, since making it takes longer."""
    empty = directory / "empty.db"
    Registry(empty).close()
    numbers = count()

    def new() -> str:
        return str(shutil.copy(empty, directory / f"{next(numbers)}.db"))

    return new


def on_postgresql(server: PostgreSQL) -> Addresses:
    """Return a maker of registries on a server: copies of one, since making it takes longer."""
    server.sql("CREATE DATABASE empty")
    Registry(server.url("empty")).close()
    numbers = count()

    def new() -> str:
        name = f"test_{next(numbers)}"
        server.sql(f"CREATE DATABASE {name} TEMPLATE empty")
        return server.url(name)

    return new


@contextmanager
def opened(address: str) -> Iterator[Registry]:
    """Open a registry, and close it at the end."""
    with Registry(address) as registry:
        yield registry
