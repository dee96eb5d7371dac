"""A data centre of a test: a registry in a folder, and the commands that a user gives there."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from euclid_dask.cli.app import app
from euclid_dask.data.registry import Registry


@dataclass
class Centre:
    """A registry, `r.sqlite` in a folder, and storages that are folders beside it."""

    folder: Path

    @property
    def archive(self) -> Path:
        """A folder that may become a storage."""
        return self.folder / "archive"

    @property
    def scratch(self) -> Path:
        """Another one."""
        return self.folder / "scratch"

    @property
    def made(self) -> Path:
        """A folder of files that are in no storage."""
        return self.folder / "made"

    def call(self, *words: str) -> Result:
        """Give a command."""
        return CliRunner().invoke(app, words)

    def told(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Give a command that ends with this code, and return what it tells programs."""
        done = self.call(*words, "--json")
        assert done.exit_code == code, done.output
        return json.loads(done.stdout)

    def refused(self, *words: str) -> str:
        """Give a command that is refused, and return what it says."""
        done = self.call(*words)
        assert done.exit_code == 2, done.output
        assert "Traceback" not in done.stderr
        return done.stderr

    def registry(self) -> Registry:
        """Open the registry."""
        return Registry(self.folder / "r.sqlite")

    def files(self, name: str) -> list[str]:
        """Return the names of the files in a folder, but for the marker of a storage."""
        return sorted(
            path.name
            for path in (self.folder / name).rglob("*")
            if path.is_file() and path.name != ".eufas-storage"
        )

    def places(self, name: str) -> dict[str, str]:
        """Return the states of a file's replicas by their storages."""
        (found,) = self.told("locate", name)["files"]
        return {one["storage"]: one.get("state", "available") for one in found["replicas"]}
