"""How fast are files copied, small and large, linked, and routed, beside the usual programs?

Each figure is a median; programs that are not installed are left out. What is copied is in the page
cache, so that the disk that writes it, and not the one that reads it, is what limits.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter

from euclid_dask.core.values import replace
from euclid_dask.data.copying import new_path
from euclid_dask.data.hashing import hash_chunks
from euclid_dask.data.local import sync_directory
from euclid_dask.data.markers import write_marker
from euclid_dask.data.model import Access, Checksum, File, Replica, Storage
from euclid_dask.data.mover import Mover, Settings
from euclid_dask.data.outcomes import part_name
from euclid_dask.data.registry import Registry
from euclid_dask.data.resolve import locate
from euclid_dask.data.routes import Network
from euclid_dask.data.stage import Source, stage
from euclid_dask.data.storage import part_path
from euclid_dask.data.storages.file import FileDriver
from euclid_dask.data.storages.opening import open_driver

sys.path.append(str(Path(__file__).parents[1] / "tests" / "tools"))
import file_servers

SMALL_BYTES = 4096
BLOCK = bytes(range(256)) * 4096
ROUNDS = 5
IN_FLIGHT = 10_000
"""Transfers that a mover leaves behind when it dies."""
LEFT = 4
"""Of so many of them, the first has its final file, and the second a part."""
STORAGES, ZONES = 200, 20
SCHEMES = ("file:///", "sftp://host/", "https://host/")

Figures = dict[str, dict[str, float]]
"""By what was measured: `ours`, and the names of others."""


def moved(scratch: Path, size: int, small: int) -> Figures:
    """Return what copying costs.

    Args:
        scratch: A directory on the disk that is measured.
        size: Bytes of the large file.
        small: How many small files.
    """
    scratch.mkdir()
    large = scratch / "large"
    with large.open("wb") as file:
        for _ in range(max(1, size // len(BLOCK))):
            file.write(BLOCK)
    return {
        "copy_s": {
            "ours": _timed(lambda number: _copied(scratch / f"ours{number}", large)),
            "cp": _timed(lambda number: _cp(scratch / f"cp{number}", large)),
            **_rsync(scratch, large),
        },
        "copy_md5_s": {
            "ours": _timed(lambda number: _copied(scratch / f"md5{number}", large, md5=True))
        },
        "small_per_s": _small(scratch / "small", small),
        "restart_s": {"ours": _restarted(scratch / "restart", IN_FLIGHT)},
        "staged_per_s": _staged(scratch / "staged", small),
        **_remote(scratch / "remote", large),
        **routed(),
    }


# -- copies on one host


@contextmanager
def world(
    folder: Path,
    files: dict[Path, File],
    leave: Callable[[Registry], object] = lambda _: None,
    **roots: Access,
) -> Iterator[Callable[[], None]]:
    """Give a mover's work: to bring files, which are below a folder, to another one.

    `leave` does what another mover did before.
    """
    folder.mkdir(exist_ok=True)
    (folder / "B").mkdir()
    write_marker(FileDriver(folder / "B"), "B")
    source = roots.get("source") or Access(storage="A", zone="here", root=f"file://{folder}/A")
    credential = file_servers.NOBODY if "source" not in roots else SECRETS[source.root]
    with Registry(folder / "registry.db") as registry:
        registry.storages.put(Storage(name="A", marker=""))
        registry.storages.put(Storage(name="B", marker="B"))
        target = Access(storage="B", zone="here", root=f"file://{folder}/B")
        registry.storages.put_access([source, target])
        registry.register(
            list(files.values()),
            [
                Replica(file=file.name, storage="A", path=path.as_posix())
                for path, file in files.items()
            ],
        )
        registry.transfers.enqueue([(file.name, "B") for file in files.values()])
        leave(registry)
        mover = Mover(
            registry,
            lambda access: open_driver(access, {"the-one": credential}, file_servers.CLOCK),
            file_servers.CLOCK,
            Settings(worker="benchmark", zone="here"),
        )

        def move() -> None:
            mover.drain()
            assert not registry.transfers.active()

        yield move
        mover.close()


SECRETS: dict[str, file_servers.Credential] = {}
"""Credentials by roots of access rows."""


def _copied(folder: Path, large: Path, *, md5: bool = False) -> float:
    (folder / "A").mkdir(parents=True)
    os.link(large, folder / "A" / "large")
    known = _known(large, md5=md5)
    with world(folder, {Path("large"): known}) as move:
        took = seconds(move)
    shutil.rmtree(folder)
    return took


_KNOWN: dict[Path, File] = {}


def _known(large: Path, *, md5: bool = False) -> File:
    """Return what is known of the large file; it is read once."""
    if large not in _KNOWN:
        with large.open("rb") as file:
            hasher = hash_chunks(iter(lambda: file.read(1 << 20), b""), ("adler32", "xxh3", "md5"))
        _KNOWN[large] = File(name="large", size=hasher.size, checksums=hasher.checksums())
    file = _KNOWN[large]
    kept = tuple(one for one in file.checksums if md5 or one.algorithm != "md5")
    return File(name=file.name, size=file.size, checksums=kept)


def _cp(target: Path, source: Path) -> float:
    def copy() -> None:
        subprocess.run(["cp", source, target], check=True)
        _sync(target)

    took = seconds(copy)
    target.unlink()
    return took


def _rsync(scratch: Path, large: Path) -> dict[str, float]:
    if not shutil.which("rsync"):
        return {}

    def copy(number: int) -> float:
        target = scratch / f"rsync{number}"
        took = seconds(
            lambda: subprocess.run(["rsync", "-c", "--fsync", large, target], check=True)
        )
        target.unlink()
        return took

    return {"rsync": _timed(copy)}


def _small(folder: Path, count: int) -> dict[str, float]:
    """Return how many small files are copied in a second, durably."""
    files = _small_files(folder / "A", count)
    with world(folder, files) as move:
        ours = count / seconds(move)

    def one_by_one() -> None:
        (folder / "C").mkdir()
        for path in files:
            shutil.copyfile(folder / "A" / path, folder / "C" / path)
            _sync(folder / "C" / path)
            sync_directory(folder / "C")

    def at_once() -> None:
        subprocess.run(["cp", "-r", folder / "A", folder / "D"], check=True)
        subprocess.run(["sync", "-f", folder / "D"], check=True)

    def by_rsync() -> None:
        line = ["rsync", "-r", "--fsync", f"{folder}/A/", folder / "E"]
        subprocess.run(line, check=True)

    rsync = {"rsync --fsync": count / seconds(by_rsync)} if shutil.which("rsync") else {}
    return {
        "ours": ours,
        "copy and fsync, one by one": count / seconds(one_by_one),
        "cp -r and sync, nothing verified": count / seconds(at_once),
        **rsync,
    }


def _small_files(folder: Path, count: int) -> dict[Path, File]:
    """Make small files in a folder, and return what is known of them, by their paths there."""
    folder.mkdir(parents=True)
    files = {}
    for number in range(count):
        content = number.to_bytes(8, "little") * (SMALL_BYTES // 8)
        name = f"small_{number}.fits"
        (folder / name).write_bytes(content)
        sums = hash_chunks([content]).checksums()
        files[Path(name)] = File(name=name, size=len(content), checksums=sums)
    return files


def _restarted(folder: Path, count: int) -> float:
    """Return how long it takes to end what a mover had in hand when it died: all transfers."""
    files = _small_files(folder / "A", count)

    def leave(registry: Registry) -> None:
        claimed = registry.transfers.claim("dead", count, -1.0)
        ready = [replace(one, method="copy", bytes_copied=SMALL_BYTES) for one in claimed]
        registry.transfers.publishing(ready[::LEFT], -1.0)
        for number, one in enumerate(claimed):
            final = new_path(one.file)
            part = part_path(final, part_name(one, one.fence))
            for place in {0: [final], 1: [part]}.get(number % LEFT, []):
                (folder / "B" / place).parent.mkdir(exist_ok=True)
                shutil.copyfile(folder / "A" / one.file, folder / "B" / place)

    with world(folder, files, leave) as move:
        return seconds(move)


def _staged(folder: Path, count: int) -> dict[str, float]:
    """Return how many inputs are linked into a workdir in a second."""
    (folder / "A").mkdir(parents=True)
    sources = []
    for number in range(count):
        path = folder / "A" / f"f{number}"
        path.write_bytes(b"x")
        path.chmod(0o444)
        sources.append(
            Source(
                place=f"data/f{number}",
                path=str(path),
                file=File(
                    name=path.name,
                    size=1,
                    checksums=(Checksum(algorithm="adler32", value="00790079"),),
                ),
                mtime_ns=path.stat().st_mtime_ns,
            )
        )
    (folder / "W").mkdir()
    (folder / "L").mkdir()

    def link() -> None:
        for source in sources:
            (folder / "L" / source.place.removeprefix("data/")).symlink_to(source.path)

    return {
        "ours": count / seconds(lambda: stage(sources, folder / "W", zone="here")),
        "symlink, nothing checked": count / seconds(link),
    }


# -- copies from other hosts


def _remote(folder: Path, large: Path) -> Figures:
    """Return how many MB a second come from servers on loopback."""
    size_mb = large.stat().st_size / 1e6
    figures: Figures = {}
    for name, serve, fetch in (
        ("sftp_mb_per_s", file_servers.sftp, _sftp),
        ("http_mb_per_s", _http, _curl),
    ):
        with ExitStack() as stack:
            place = folder / name
            place.mkdir(parents=True)
            try:
                server = stack.enter_context(serve(place))
            except BaseException as error:
                if type(error).__name__ not in {"Skipped", "Failed"}:
                    raise
                continue
            assert server.folder is not None
            os.link(large, server.folder / "large")
            access = server.access()
            way = Access(
                storage="A",
                zone="here",
                root=access.root,
                credential=access.credential,
                options=access.options,
                write=0,
                delete=0,
            )
            SECRETS[way.root] = server.credential
            with world(place / "world", {Path("large"): _known(large)}, source=way) as move:
                ours = size_mb / seconds(move)
            other = size_mb / seconds(lambda: fetch(server, place))  # noqa: B023 -- called here
            figures[name] = {"ours": ours, fetch.__name__.strip("_"): other}
    return figures


@contextmanager
def _http(folder: Path) -> Iterator[file_servers.FileServer]:
    with file_servers.nginx(folder) as (server, _):
        yield server


def _sftp(server: file_servers.FileServer, place: Path) -> None:
    command = ["sftp", "-q", "-P", str(server.port), "-i", str(server.credential.key)]
    command += ["-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no"]
    command += [f"{server.credential.user}@{server.host}:{server.path}/large", f"{place}/fetched"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    _sync(place / "fetched")


def _curl(server: file_servers.FileServer, place: Path) -> None:
    url = f"http://{server.host}:{server.port}{server.path}/large"
    subprocess.run(["curl", "-sf", "-o", place / "fetched", url], check=True)
    _sync(place / "fetched")


# -- ways


def routed() -> Figures:
    """Return how long it takes to find the URLs of a file, and the fewest copies, in ms."""
    storages = {f"S{i:03}": Storage(name=f"S{i:03}", marker="") for i in range(STORAGES)}
    chance = Random(1)
    rows = [
        Access(storage=name, zone=f"Z{zone}", root=f"{chance.choice(SCHEMES)}{name}")
        for name in storages
        for zone in range(ZONES)
        if chance.random() < 0.2 or zone == int(name[1:]) % ZONES
    ]
    network = Network(storages, rows)
    here = [row for row in rows if row.zone == "Z0"]
    replicas = [Replica(file="f", storage=row.storage, path="p") for row in here[:3]]
    far = [name for name in storages if len(network.route(["S000"], [name])) > 1]
    return {
        "resolve_ms": {"ours": 1000 * _each(lambda: locate(replicas, here, storages))},
        "plan_ms": {"ours": 1000 * _each(lambda: network.plan(["S000"], "Z0", keep=far[:1]))},
    }


# -- time


def seconds(do: Callable[[], object]) -> float:
    """Return how long something takes."""
    began = perf_counter()
    do()
    return perf_counter() - began


def _timed(measure: Callable[[int], float]) -> float:
    return median(measure(number) for number in range(ROUNDS))


def _each(do: Callable[[], object], times: int = 200) -> float:
    return median(seconds(do) for _ in range(times))


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
