"""Which names or paths have been seen, of more than fit into memory."""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from types import TracebackType
from typing import Self


class Seen:
    """A set of texts on a disk, in a temporary file without a name."""

    def __init__(self) -> None:
        """Make an empty set."""
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE seen (text TEXT PRIMARY KEY) WITHOUT ROWID")
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()

    def add(self, texts: Iterable[str]) -> None:
        """Add texts; the same one again is one."""
        adding = "INSERT OR IGNORE INTO seen VALUES (?)"
        with closing(self._database.executemany(adding, ((text,) for text in texts))) as added:
            self.count += added.rowcount

    def missing(self, texts: Iterable[str]) -> list[str]:
        """Return those of these texts that have not been seen, in their order."""
        query = "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT text FROM seen)"
        return [text for (text,) in self._database.execute(query, (json.dumps(list(texts)),))]
