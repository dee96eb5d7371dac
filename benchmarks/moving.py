"""How fast are files copied, small and large, registered, linked, and routed, beside programs?

Each figure is the median of five rounds, in which ours and the others take turns; what takes more
than a minute is measured once, and says so. Programs that are not installed are left out. What is
copied is in the page cache, so that the disk that writes it, and not the one that reads it, is what
limits.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter

import xxhash

from benchmarks.data_report import RUNS
from euclid_dask.api.data import DataSettings, ingest
from euclid_dask.core.values import replace
from euclid_dask.data.copying import new_path
from euclid_dask.data.hashing import Hasher, hash_chunks
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
LONG_S = 60.0
"""What takes longer is measured once, in seconds."""
CONNECTIONS = 4
INGESTED = 4000
"""Files that are registered where they lie, in each round."""
NAMED = 4
"""Files that each product among them names."""
XML_BYTES = 4300
HASHED = 64
"""Blocks that are hashed."""
IN_FLIGHT = 10_000
"""Transfers that a mover leaves behind when it dies."""
LEFT = 4
"""Of so many of them, the first has its final file, and the second a part."""
STORAGES, ZONES = 200, 20
SCHEMES = ("file:///", "sftp://host/", "https://host/")

Figures = dict[str, dict[str, float]]
"""By what was measured: `ours`, the names of others, and `RUNS` where it was measured once."""


def moved(scratch: Path, size: int, small: int) -> Figures:
    """Return what copying costs.

    Args:
        scratch: A directory on the disk that is measured.
        size: Bytes of the large file.
        small: How many small files.
    """
    scratch.mkdir()
    large = _large(scratch / "large", size)
    part = _large(scratch / "part", size // CONNECTIONS)
    return {
        "copy_s": medians(scratch / "copy", lambda folder: _copies(folder, large)),
        "copy_md5_s": medians(
            scratch / "md5", lambda folder: {"ours": _copied(folder / "M", large, md5=True)}
        ),
        "hash_gb_per_s": medians(scratch / "hash", lambda _: _hashed()),
        "small_per_s": medians(scratch / "small", lambda folder: _small(folder, small)),
        "ingest_per_s": medians(scratch / "ingest", lambda folder: _ingested(folder, INGESTED)),
        "restart_s": {"ours": _restarted(scratch / "restart", IN_FLIGHT), RUNS: 1},
        "staged_per_s": medians(scratch / "staged", lambda folder: _staged(folder, small)),
        **_remote(scratch / "remote", large, part),
        **routed(),
    }


def _large(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        for _ in range(max(1, size // len(BLOCK))):
            file.write(BLOCK)
    _sync(path)
    return path


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


def _copies(folder: Path, large: Path) -> dict[str, float]:
    took = {"ours": _copied(folder / "ours", large), "cp": _by_program(["cp"], folder / "C", large)}
    if shutil.which("rsync"):
        took["rsync"] = _by_program(["rsync", "--fsync"], folder / "R", large)
    return took


def _copied(folder: Path, large: Path, *, md5: bool = False) -> float:
    (folder / "A").mkdir(parents=True)
    os.link(large, folder / "A" / "large")
    known = _known(large, md5=md5)
    with world(folder, {Path("large"): known}) as move:
        return seconds(move)


_KNOWN: dict[Path, File] = {}


def _known(large: Path, *, md5: bool = False) -> File:
    """Return what is known of a large file; it is read once."""
    if large not in _KNOWN:
        with large.open("rb") as file:
            hasher = hash_chunks(iter(lambda: file.read(1 << 20), b""), ("adler32", "xxh3", "md5"))
        _KNOWN[large] = File(name=large.name, size=hasher.size, checksums=hasher.checksums())
    file = _KNOWN[large]
    kept = tuple(one for one in file.checksums if md5 or one.algorithm != "md5")
    return File(name=file.name, size=file.size, checksums=kept)


def _by_program(command: Sequence[str], target: Path, source: Path) -> float:
    def copy() -> None:
        subprocess.run([*command, source, target], check=True)
        _sync(target)

    return seconds(copy)


def _hashed() -> dict[str, float]:
    """Return how many GB in memory are hashed in a second, by ours (two sums) and by one each."""
    hashers = (xxhash.xxh3_128(), hashlib.md5(), hashlib.sha256())
    ways: dict[str, Callable[[bytes], object]] = {
        "ours": Hasher().update,
        "adler32": zlib.adler32,
        **{one.name.lower(): one.update for one in hashers},
    }
    size_gb = HASHED * len(BLOCK) / 1e9
    return {
        name: size_gb / seconds(lambda: [hash_(BLOCK) for _ in range(HASHED)])  # noqa: B023
        for name, hash_ in ways.items()
    }


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

    def by_rsync() -> None:
        line = ["rsync", "-r", "--fsync", f"{folder}/A/", folder / "E"]
        subprocess.run(line, check=True)

    rsync = {"rsync --fsync": count / seconds(by_rsync)} if shutil.which("rsync") else {}
    return {
        "ours": ours,
        "copy and fsync, one by one": count / seconds(one_by_one),
        "cp -r and sync, nothing verified": count / seconds(lambda: _cp_all(folder)),
        **rsync,
    }


def _cp_all(folder: Path) -> None:
    subprocess.run(["cp", "-r", folder / "A", folder / "D"], check=True)
    subprocess.run(["sync", "-f", folder / "D"], check=True)


def _ingested(folder: Path, count: int) -> dict[str, float]:
    """Return how many files are registered in a second where they lie; each fifth is a product."""
    named = [f"small_{number}.fits" for number in range(count) if number % (NAMED + 1)]
    _small_files(folder / "A", count)
    for number in range(0, count, NAMED + 1):
        (folder / "A" / f"small_{number}.fits").unlink()
        some, named = named[:NAMED], named[NAMED:]
        (folder / "A" / f"frame_{number}.xml").write_text(product_xml(f"frame_{number}", some))
    write_marker(FileDriver(folder / "A"), "A")
    os.sync()  # what is registered has been on the disk for long
    address = folder / "registry.db"
    with Registry(address) as registry:
        registry.storages.put(Storage(name="A", marker="A"))
        registry.storages.put_access([Access(storage="A", zone="here", root=f"file://{folder}/A")])
    settings = DataSettings(registry=str(address), zone="here")
    ours = count / seconds(lambda: ingest(settings, [folder / "A"]))
    return {
        "ours": ours,
        "cp -r and sync, nothing registered": count / seconds(lambda: _cp_all(folder)),
    }


def product_xml(key: str, names: Sequence[str]) -> str:
    """Return a product of a usual size that names files."""
    header = (
        f"<p:DpdVisRawFrame xmlns:p='http://ecdm.euclid-ec.org/schema/dpd/vis/rawframe'><Header>"
        f"<ProductId>{key}</ProductId><DataSetRelease>R1</DataSetRelease></Header><Data>"
    )
    containers = "".join(
        f"<DataContainer filestatus='PROPOSED'><FileName>{name}</FileName></DataContainer>"
        for name in names
    )
    end = (
        f"<Storage format='vis.raw' version='0.1'>{containers}</Storage></Data></p:DpdVisRawFrame>"
    )
    value = "<Value unit='deg'>123.456789</Value>\n"
    return header + value * ((XML_BYTES - len(header) - len(end)) // len(value)) + end


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
    os.sync()
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

    def link(make: Callable[[str, Path], None], target: Path) -> None:
        target.mkdir()
        for source in sources:
            make(source.path, target / source.file.name)

    return {
        "ours": count / seconds(lambda: stage(sources, folder / "W", zone="here")),
        "symlink, nothing checked": count / seconds(lambda: link(os.symlink, folder / "S")),
        "hard link": count / seconds(lambda: link(os.link, folder / "H")),
    }


# -- copies from other hosts


def _remote(folder: Path, large: Path, part: Path) -> Figures:
    """Return how many MB a second come from servers on loopback."""
    figures: Figures = {}
    with _served(file_servers.sftp, folder / "sftp", large, part) as server:
        if server:
            one = medians(folder / "one", lambda it: _fetched(it, server, large, 1, _sftp))
            four = medians(
                folder / "four", lambda it: _fetched(it, server, part, CONNECTIONS, _sftp)
            )
            figures["sftp_mb_per_s"] = one
            figures["sftp_four_mb_per_s"] = {**four, "one connection": one["ours"]}
    with _served(_http, folder / "http", large) as server:
        if server:
            figures["http_mb_per_s"] = medians(
                folder / "line", lambda it: _fetched(it, server, large, 1, _curl)
            )
    return figures


@contextmanager
def _served(
    serve: Callable[[Path], AbstractContextManager[file_servers.FileServer]],
    folder: Path,
    *contents: Path,
) -> Iterator[file_servers.FileServer | None]:
    """Have a server run that has files, each by several names; give None if it is not installed."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        try:
            server = stack.enter_context(serve(folder))
        except BaseException as error:
            if type(error).__name__ not in {"Skipped", "Failed"}:
                raise
            yield None
            return
        assert server.folder is not None
        for content in contents:
            for number in range(CONNECTIONS):
                os.link(content, server.folder / f"{content.name}{number}")
        yield server


def _fetched(
    folder: Path,
    server: file_servers.FileServer,
    content: Path,
    count: int,
    fetch: Callable[[file_servers.FileServer, str, Path], list[object]],
) -> dict[str, float]:
    """Return how many MB a second come when so many files of a server are fetched at once."""
    names = [f"{content.name}{number}" for number in range(count)]
    known = _known(content)
    files = {Path(name): replace(known, name=name) for name in names}
    size_mb = count * known.size / 1e6
    access = server.access()
    way = replace(access, storage="A", write=0, delete=0)
    SECRETS[way.root] = server.credential
    with world(folder / "world", files, source=way) as move:
        ours = size_mb / seconds(move)

    def peer() -> None:
        programs = [subprocess.Popen(fetch(server, name, folder / name)) for name in names]
        codes = [program.wait() for program in programs]
        assert not any(codes)
        for name in names:
            _sync(folder / name)

    other = size_mb / seconds(peer)
    return {"ours": ours, fetch.__name__.strip("_"): other}


@contextmanager
def _http(folder: Path) -> Iterator[file_servers.FileServer]:
    with file_servers.nginx(folder) as (server, _):
        yield server


def _sftp(server: file_servers.FileServer, name: str, target: Path) -> list[object]:
    """Return the command that fetches a file."""
    command = ["sftp", "-q", "-P", str(server.port), "-i", server.credential.key]
    command += ["-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no"]
    command += ["-o", "LogLevel=ERROR"]
    return [*command, f"{server.credential.user}@{server.host}:{server.path}/{name}", target]


def _curl(server: file_servers.FileServer, name: str, target: Path) -> list[object]:
    """Return the command that fetches a file."""
    url = f"http://{server.host}:{server.port}{server.path}/{name}"
    return ["curl", "-sf", "-o", target, url]


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


def repeated(do: Callable[[], object]) -> list[float]:
    """Return how long something takes, each of some times; once if that is long."""
    took = [seconds(do)]
    return took if took[0] > LONG_S else took + [seconds(do) for _ in range(ROUNDS - 1)]


def medians(
    folder: Path, measure: Callable[[Path], Mapping[str, float]], rounds: int = ROUNDS
) -> dict[str, float]:
    """Return the medians of what is measured in some rounds, each with a folder of its own."""
    found = []
    for number in range(rounds):
        place = folder / str(number)
        place.mkdir(parents=True)
        found.append(measure(place))
        shutil.rmtree(place)
    return {name: median(one[name] for one in found) for name in found[0]}


def _each(do: Callable[[], object], times: int = 200) -> float:
    return median(seconds(do) for _ in range(times))


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
