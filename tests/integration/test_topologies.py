"""The four wirings of the seed with real servers: as few copies as the rows of access allow.

What runs there is the demo, whole and on small frames, and an executable that asks for its input.

The archive in France is read by http, the submission host's storage is written by sftp, all else
are file systems. From one topology to the next only access rows change, and what they name.
"""

import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest
from batch_clusters import skip_or_fail
from file_servers import CLOCK, FileServer, nginx, sftp
from raw_frames import PIXELS, frame_xml

from euclid_dask import Executable, Input, Output, api, pipeline
from euclid_dask.api.registering import Choices, register
from euclid_dask.cli.demo import HOME, NEEDED
from euclid_dask.core.errors import StoppedError
from euclid_dask.core.values import replace
from euclid_dask.data.aftermath import harmed
from euclid_dask.data.counting import (
    copied_bytes,
    files_with_content,
    staged_bytes,
    written_bytes,
)
from euclid_dask.data.delivery import Copies, copies_to_storage, copies_to_zone
from euclid_dask.data.hashing import hash_chunks
from euclid_dask.data.inputs import sources, wanted_files
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
SPARE_BYTES = 48 << 10
"""What a file system may write for a small file, beside its bytes."""

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

Servers = tuple[FileServer, FileServer, Path]
_numbers = itertools.count()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Return a web server, an SSH server, and a place in memory."""
    if not os.access("/dev/shm", os.W_OK):
        skip_or_fail("there is no memory to write to, /dev/shm")
    web, ssh = tmp_path_factory.mktemp("web"), tmp_path_factory.mktemp("ssh")
    with nginx(web) as (served, _), sftp(ssh) as shell, TemporaryDirectory(dir="/dev/shm") as it:
        yield served, shell, Path(it)


class Centre:
    """Storages of a data centre and of the archive in France, wired as a topology says.

    The registry lies in memory, so that the kernel counts the files' bytes only.
    """

    def __init__(
        self, topology: str, web: FileServer, ssh: FileServer, memory: Path, *, pull: bool
    ) -> None:
        assert web.folder is not None
        self._web, self._ssh = web, ssh
        self._same = SAME[topology]
        self.names: Sequence[str] = [NAME]
        self._sessions: dict[int, int] = {}
        self._place = f"{next(_numbers)}"
        self.directory = web.folder / self._place
        self.directory.mkdir()
        self.database = memory / f"{self._place}.db"
        self.registry = Registry(self.database)
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
            return copies_to_storage(self.registry, self.names, self.storage("eas"))
        keep = [self.storage("eas")] if "kept" in variant else []
        return copies_to_zone(self.registry, self.names, "execution", keep=keep)

    def move(self, variant: str) -> None:
        """Have the movers of all zones make the copies that are wanted."""
        for _ in range(5):
            if not (wanted := self.copies(variant)):
                return
            self.registry.transfers.enqueue(wanted)
            self.drain()
        transfers = self.registry.transfers.of_files(self.names)
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
        yield api.Settings(executor="inline", registry=str(self.database), zone="execution")
        self.registry = Registry(self.database)

    def _see_sessions(self) -> None:
        """Note what processes of the SSH server wrote; they end with the mover's connection."""
        for process in psutil.Process(self._ssh.pid).children(recursive=True):
            with suppress(FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
                self._sessions[process.pid] = written_bytes([process.pid])

    def move_counted(self, variant: str) -> int:
        """Have the copies made; return how many bytes movers and servers wrote for that."""
        self._see_sessions()  # those of others, before
        before = self._written_bytes()
        self.move(variant)
        return self._written_bytes() - before

    def _written_bytes(self) -> int:
        return written_bytes([os.getpid()]) + sum(self._sessions.values())

    def check_copies(self, copies: int, written: int) -> None:
        """Have the registry, the disks and the kernel agree on how often each file was copied."""
        files = self.registry.files(self.names)
        for name, file in files.items():
            told = copied_bytes(self.registry.transfers.of_files([name]))
            assert told == copies * file.size
            assert files_with_content(file, [self.directory]) - 1 == copies
        size = sum(file.size for file in files.values())
        spare = max(size // 2, copies * len(files) * SPARE_BYTES)
        assert copies * size <= written < copies * size + spare

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
    servers: Servers, topology: str, variant: str
) -> None:
    copies = COPIES[topology][variant]
    centre = Centre(topology, *servers, pull="pull" in variant)
    first = "exec" if variant == "output" else "eas" if "archived" in variant else "fr"
    centre.put(first)
    written = centre.move_counted(variant)
    if variant != "output":
        assert (centre.stage() / "data" / NAME).read_bytes() == CONTENT
    centre.check_copies(copies, written)
    rows = all_but_access(centre)
    centre.move(variant)
    assert all_but_access(centre) == rows
    centre.registry.close()


def all_but_access(centre: Centre) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of a centre's registry, by table."""
    with closing(sqlite3.connect(centre.database)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = sorted({name for (name,) in names} - {"access", "events", "sqlite_sequence"})
        return {table: list(connection.execute(f"SELECT * FROM {table}")) for table in tables}


def test_from_one_topology_to_the_next_only_rows_of_access_change(servers: Servers) -> None:
    centre = Centre("separate", *servers, pull=False)
    wired = "separate"
    for topology in [*COPIES, "green", "separate"]:
        rows, ways = all_but_access(centre), centre.registry.storages.accesses()
        assert rows["storages"]
        centre.rewire(topology)
        assert (centre.registry.storages.accesses() == ways) is (topology == wired)
        wired = topology
        name = f"{topology}_{len(rows['files'])}.fits"
        centre.put("fr", f"level0/{name}", name.encode() + CONTENT)
        centre.names = [name]
        centre.check_copies(COPIES[topology]["archive kept"], centre.move_counted("archive kept"))
        assert centre.copies("archived") == []
        later = all_but_access(centre)
        assert all(set(rows[table]) <= set(later[table]) for table in rows)
        grown = {table for table in rows if len(later[table]) > len(rows[table])}
        assert grown == {"files", "file_checksums", "replicas", "transfers"}
    centre.registry.close()


@dataclass(frozen=True)
class Demo:
    """A run of the demo, in a process of its own, on what its centre brought and staged."""

    centre: Centre
    workdir: Path
    written: int
    """Bytes, to bring the inputs."""
    process: "subprocess.Popen[bytes]"


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workdir as the demo's simulator fills it."""
    if any(find_spec(module) is None for module in NEEDED):
        skip_or_fail("the demo needs euclid_dask[demo]")
    folder = tmp_path_factory.mktemp("field")
    small = ("--size=256", "--exposures=1", "--detectors=1")
    line = [sys.executable, str(HOME / "vis/simulate.py"), f"--workdir={folder}", *small]
    subprocess.run(line, check=True)
    return folder


@pytest.fixture(scope="module")
def demos(servers: Servers, field: Path) -> Iterator[Mapping[str, Demo]]:
    """Have the demo run in all topologies at once."""
    with ExitStack() as stack:
        yield {
            it: stack.enter_context(demo(Centre(it, *servers, pull=False), field)) for it in COPIES
        }


@contextmanager
def demo(centre: Centre, field: Path) -> Iterator[Demo]:
    """Have the demo run, on frames and catalogues from the archive in France."""
    paths = sorted([*field.glob("*.xml"), *field.glob("data/*")])
    for path in paths:
        centre.put("fr", f"level0/{path.name}", path.read_bytes())
    centre.names = [path.name for path in paths]
    products = {path.name: read_product(path) for path in field.glob("*.xml")}
    centre.registry.register(products=products)
    written = centre.move_counted("archive kept")
    workdir = centre.directory / centre.storage("exec") / "w"
    workdir.mkdir()
    xmls = {product.product_id: name for name, product in products.items()}
    found = sources(centre.registry, wanted_files(centre.registry, xmls), "execution")
    stage(found, workdir, zone="execution", methods=[Method.SYMLINK])
    for path in [*field.glob("*.json"), field / "vis.isf"]:
        shutil.copy(path, workdir)
    scripts = HOME / "pipelines"
    script = str(scripts / "vis_python_pipeline.py")
    line = [sys.executable, "-m", "euclid_dask", "run", script, f"--pkgrepo={scripts}"]
    line += [f"--workdir={workdir}", f"--isf={workdir}/vis.isf", "--executor=inline"]
    with (workdir / "said.txt").open("wb") as said:
        process = subprocess.Popen(line, stdout=said, stderr=said)
    with process, ExitStack() as stack:
        stack.callback(process.kill)  # before it is waited for; nothing if it has ended
        yield Demo(centre, workdir, written, process)
    centre.registry.close()


@pytest.mark.slow
@pytest.mark.parametrize("topology", COPIES)
def test_the_demo_runs_with_the_fewest_copies_of_what_goes_in_and_comes_out(
    demos: Mapping[str, Demo], topology: str
) -> None:
    run, copies = demos[topology], COPIES[topology]
    centre, workdir = run.centre, run.workdir
    assert run.process.wait() == 0, (workdir / "said.txt").read_text()
    assert not harmed(read_manifest(workdir))
    centre.check_copies(copies["archive kept"], run.written)
    with centre.away() as settings:
        done = register(workdir, settings=settings.data(), choices=Choices(copy=False))
    assert done.storage == centre.storage("exec")
    assert len(done.products) == 1
    centre.names = done.files
    centre.check_copies(copies["output"], centre.move_counted("output"))


pixels = Executable(PIXELS, inputs=[Input("frame")], outputs=[Output("pixels", mime_type="txt")])


@pipeline(outputs=("pixels",))
def of_one(frame):
    return pixels(frame=frame)


@pytest.mark.parametrize("topology", COPIES)
def test_an_executable_that_knows_only_its_workdir_runs_unchanged(
    servers: Servers, topology: str
) -> None:
    centre = Centre(topology, *servers, pull=False)
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
