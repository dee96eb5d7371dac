"""The four wirings of the seed with real servers: as few copies as the rows of access allow.

The archive in France is read by http, the submission host's storage is written by sftp, all else
are file systems. From one topology to the next only access rows change, and what they name.
"""

import itertools
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from file_servers import CLOCK, FileServer, nginx, sftp
from raw_frames import PIXELS, frame_xml

from euclid_dask import Executable, Input, Output, api, pipeline
from euclid_dask.core.errors import StoppedError
from euclid_dask.core.values import replace
from euclid_dask.data.counting import (
    copied_bytes,
    files_with_content,
    staged_bytes,
    written_bytes,
)
from euclid_dask.data.delivery import Copies, copies_to_storage, copies_to_zone
from euclid_dask.data.hashing import hash_chunks
from euclid_dask.data.model import Access, File, Replica, Storage
from euclid_dask.data.mover import Mover, Settings
from euclid_dask.data.products import read_product
from euclid_dask.data.registry import Registry
from euclid_dask.data.stage import Method, Source, read_manifest, stage
from euclid_dask.data.storage import MARKER
from euclid_dask.data.storages.opening import open_driver

NAME = "raw_20140207.fits"
PATH = f"level0/{NAME}"
CONTENT = os.urandom(1 << 16) * 64
FILE = File(name=NAME, size=len(CONTENT), checksums=hash_chunks([CONTENT]).checksums())
ZONES = ("ial", "submission", "execution")

COPIES: Mapping[str, Mapping[str, int]] = {
    "separate": {
        "archive kept": 3,
        "archive kept, pull": 2,
        "free": 2,
        "free, pull": 1,
        "archived": 2,
        "archived, pull": 1,
        "output": 2,
    },
    "red": {
        "archive kept": 2,
        "archive kept, pull": 2,
        "free": 2,
        "free, pull": 1,
        "archived": 1,
        "archived, pull": 1,
        "output": 1,
    },
    "green": {
        "archive kept": 2,
        "archive kept, pull": 2,
        "free": 1,
        "free, pull": 1,
        "archived": 1,
        "archived, pull": 1,
        "output": 1,
    },
    "purple": {
        "archive kept": 1,
        "archive kept, pull": 1,
        "free": 1,
        "free, pull": 1,
        "archived": 0,
        "archived, pull": 0,
        "output": 0,
    },
}
SAME: Mapping[str, Mapping[str, str]] = {
    "separate": {},
    "red": {"sub": "eas"},
    "green": {"sub": "exec"},
    "purple": {"sub": "eas", "exec": "eas"},
}
"""Which storage is another one, too."""

_numbers = itertools.count()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FileServer, FileServer]]:
    """Return a web server and an SSH server."""
    web, ssh = tmp_path_factory.mktemp("web"), tmp_path_factory.mktemp("ssh")
    with nginx(web) as (served, _), sftp(ssh) as shell:
        yield served, shell


class Centre:
    """Storages of a data centre and of the archive in France, wired as a topology says."""

    def __init__(self, topology: str, web: FileServer, ssh: FileServer, *, pull: bool) -> None:
        assert web.folder is not None
        self._web, self._ssh = web, ssh
        self._same = SAME[topology]
        self.name = NAME
        self._sessions: dict[int, int] = {}
        self._place = f"{next(_numbers)}"
        self.directory = web.folder / self._place
        self.directory.mkdir()
        self.registry = Registry(self.directory / "registry.db")
        for name in sorted({"fr", *map(self.storage, ("eas", "sub", "exec"))}):
            root = self.directory / name
            root.mkdir()
            marker = "" if name == "fr" else name
            (root / MARKER).write_text(marker)
            self.registry.storages.put(Storage(name=name, marker=marker))
        self.registry.storages.put_access(self._accesses(pull=pull))

    def rewire(self, topology: str) -> None:
        """Have the storages reached as in another topology."""
        self._same = SAME[topology]
        for row in self.registry.storages.accesses():
            self.registry.storages.remove_access(row.storage, row.zone, row.root)
        self.registry.storages.put_access(self._accesses(pull=False))

    def storage(self, role: str) -> str:
        """Return the storage that has a role in the seed's drawing."""
        return self._same.get(role, role)

    def _accesses(self, *, pull: bool) -> list[Access]:
        http = f"http://127.0.0.1:{self._web.port}/{self._place}"
        shell = f"sftp://127.0.0.1:{self._ssh.port}{self.directory}"
        disk = f"file://{self.directory}"
        rows = [
            Access(storage="fr", zone="ial", root=f"{http}/fr", write=0),
            self._row("eas", "ial", disk),
            replace(
                self._row("sub", "ial", shell), credential="ssh", options=dict(self._ssh.options)
            ),
            self._row("sub", "submission", disk),
            self._row("exec", "submission", disk),
            self._row("exec", "execution", disk),
        ]
        if pull:
            rows += [
                Access(storage="fr", zone="execution", root=f"{http}/fr", write=0),
                replace(self._row("eas", "execution", http), write=0),
            ]
        return list({(row.storage, row.zone, row.root): row for row in rows}.values())

    def _row(self, role: str, zone: str, root: str) -> Access:
        name = self.storage(role)
        return Access(storage=name, zone=zone, root=f"{root}/{name}")

    def put(self, role: str, path: str = PATH, content: bytes = CONTENT) -> None:
        """Have a file in a storage."""
        place = self.directory / self.storage(role) / path
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
        place.chmod(0o444)
        name = place.name
        file = File(name=name, size=len(content), checksums=hash_chunks([content]).checksums())
        mtime_ns = place.stat().st_mtime_ns
        replica = Replica(file=name, storage=self.storage(role), path=path, mtime_ns=mtime_ns)
        self.registry.register([file], [replica])

    def copies(self, variant: str) -> Copies:
        if variant == "output":
            return copies_to_storage(self.registry, [self.name], self.storage("eas"))
        keep = [self.storage("eas")] if "kept" in variant else []
        return copies_to_zone(self.registry, [self.name], "execution", keep=keep)

    def move(self, variant: str) -> None:
        """Have the movers of all zones make the copies that are wanted."""
        for _ in range(5):
            if not (wanted := self.copies(variant)):
                return
            self.registry.transfers.enqueue(wanted)
            self.drain()
        transfers = self.registry.transfers.of_files([self.name])
        pytest.fail(f"the copies are not made: {transfers}")

    def drain(self) -> None:
        """Have the movers of all zones make the copies that are in the queue."""
        for zone in ZONES:
            mover = Mover(
                self.registry,
                lambda row: open_driver(row, {"ssh": self._ssh.credential}, CLOCK),
                CLOCK,
                Settings(worker=f"mover at {zone}", zone=zone),
            )
            mover.drain()
            self._see_sessions()
            mover.close()

    @contextmanager
    def away(self) -> Iterator[api.Settings]:
        """Let another process write the registry; give the settings of a run in a task's zone."""
        self.registry.close()
        address = self.directory / "registry.db"
        yield api.Settings(executor="inline", registry=str(address), zone="execution")
        self.registry = Registry(address)

    def _see_sessions(self) -> None:
        """Note what processes of the SSH server wrote; they end with the mover's connection."""
        for process in psutil.Process(self._ssh.pid).children(recursive=True):
            with suppress(FileNotFoundError, psutil.NoSuchProcess):
                self._sessions[process.pid] = written_bytes([process.pid])

    def written_bytes(self) -> int:
        """Return what movers and servers have written."""
        return written_bytes([os.getpid()]) + sum(self._sessions.values())

    def stage(self) -> Path:
        """Stage the file for a task on an execution host; return the directory of the attempt."""
        attempt = self.directory / "attempt"
        attempt.mkdir()
        (seen,) = (
            (row, replica)
            for row in self.registry.storages.accesses("execution")
            for replica in self.registry.locate([NAME])[NAME]
            if row.storage == replica.storage and row.root.startswith("file:")
        )
        row, replica = seen
        source = Source(
            place=f"data/{NAME}",
            path=f"{row.root.removeprefix('file://')}/{replica.path}",
            file=FILE,
            mtime_ns=replica.mtime_ns,
        )
        manifest = stage([source], attempt, zone="execution", methods=[Method.SYMLINK])
        assert staged_bytes([manifest]) == {Method.SYMLINK: len(CONTENT)}
        return attempt


@pytest.mark.parametrize(
    ("topology", "variant"),
    [(topology, variant) for topology in COPIES for variant in COPIES[topology]],
)
def test_three_counters_agree_on_the_fewest_copies(
    servers: tuple[FileServer, FileServer], topology: str, variant: str
) -> None:
    web, ssh = servers
    copies = COPIES[topology][variant]
    centre = Centre(topology, web, ssh, pull="pull" in variant)
    first = "exec" if variant == "output" else "eas" if "archived" in variant else "fr"
    centre.put(first)
    before = centre.written_bytes()
    centre.move(variant)
    written = (centre.written_bytes() - before) / len(CONTENT)
    if variant != "output":
        assert (centre.stage() / "data" / NAME).read_bytes() == CONTENT
    told = copied_bytes(centre.registry.transfers.of_files([NAME])) / len(CONTENT)
    found = files_with_content(FILE, [centre.directory]) - 1
    assert (told, found, int(written)) == (copies, copies, copies)
    assert written - copies < 0.5
    centre.move(variant)
    assert copied_bytes(centre.registry.transfers.of_files([NAME])) == copies * len(CONTENT)
    centre.registry.close()


def all_but_access(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of a registry, by table."""
    with closing(sqlite3.connect(database)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = sorted({name for (name,) in names} - {"access", "events", "sqlite_sequence"})
        return {table: list(connection.execute(f"SELECT * FROM {table}")) for table in tables}


def test_from_one_topology_to_the_next_only_rows_of_access_change(
    servers: tuple[FileServer, FileServer],
) -> None:
    centre = Centre("separate", *servers, pull=False)
    database = centre.directory / "registry.db"
    for topology in [*COPIES, "green", "separate"]:
        rows = all_but_access(database)
        assert rows["storages"]
        centre.rewire(topology)
        assert all_but_access(database) == rows
        centre.name = f"{topology}_{len(rows['files'])}.fits"
        content = centre.name.encode() * 99
        centre.put("fr", f"level0/{centre.name}", content)
        before = centre.written_bytes()
        centre.move("archive kept")
        assert centre.written_bytes() - before >= COPIES[topology]["archive kept"] * len(content)
        told = copied_bytes(centre.registry.transfers.of_files([centre.name]))
        assert told == COPIES[topology]["archive kept"] * len(content)
        assert centre.copies("archived") == []
    centre.registry.close()


pixels = Executable(PIXELS, inputs=[Input("frame")], outputs=[Output("pixels", mime_type="txt")])


@pipeline(outputs=("pixels",))
def of_one(frame):
    return pixels(frame=frame)


@pytest.mark.parametrize("topology", COPIES)
def test_an_executable_that_knows_only_its_workdir_runs_unchanged(
    servers: tuple[FileServer, FileServer], topology: str
) -> None:
    web, ssh = servers
    centre = Centre(topology, web, ssh, pull=False)
    xml = frame_xml("frame", 31283, NAME).encode()
    centre.put("fr")
    centre.put("fr", "level0/frame.xml", xml)
    product = read_product(centre.directory / centre.storage("fr") / "level0/frame.xml")
    centre.registry.register(products={"frame.xml": product})
    workdir = centre.directory / "w"
    result = None
    while result is None:
        with centre.away() as settings, suppress(StoppedError):  # copies of other zones come first
            result = api.run(
                of_one, workdir=workdir, settings=settings, frame="query: DpdVisRawFrame"
            )
        centre.drain()
    assert result.outputs["pixels"].read_bytes() == CONTENT
    assert (workdir / "frame.xml").read_bytes() == xml
    assert {one.method for one in read_manifest(workdir).entries} == {Method.SYMLINK}
    told = copied_bytes(centre.registry.transfers.of_files([NAME])) / len(CONTENT)
    assert told == COPIES[topology]["free"]
    centre.registry.close()
