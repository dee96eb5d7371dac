"""Inputs of tasks: put there with the fewest bytes, refused when they are not what they were.

The file system of the tests has no reflinks; that they come first is tested where it has.
"""

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from euclid_dask.core.errors import InputError, SiteError
from euclid_dask.core.values import replace
from euclid_dask.data import stage as staging
from euclid_dask.data.hashing import hash_chunks
from euclid_dask.data.model import ErrorClass, File
from euclid_dask.data.stage import (
    MANIFEST,
    Manifest,
    Method,
    Source,
    Verify,
    read_manifest,
    stage,
)
from euclid_dask.data.storage import StorageError

CONTENT = b"SIMPLE  =" + bytes(1000)


@pytest.fixture
def replica(tmp_path: Path) -> Path:
    path = tmp_path / "storage" / "a.fits"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    path.chmod(0o444)
    return path


@pytest.fixture
def attempt(tmp_path: Path) -> Path:
    path = tmp_path / "attempt"
    path.mkdir()
    return path


def source(replica: Path, **fields: object) -> Source:
    hasher = hash_chunks([CONTENT])
    file = File(name=replica.name, size=len(CONTENT), checksums=hasher.checksums())
    given = Source(
        place=f"data/{replica.name}",
        path=str(replica),
        file=file,
        mtime_ns=replica.stat().st_mtime_ns,
    )
    return replace(given, **fields)


def put(
    replica: Path,
    attempt: Path,
    methods: Sequence[Method] = staging.METHODS,
    **fields: object,
) -> Method:
    manifest = stage([source(replica, **fields)], attempt, zone="z", methods=methods)
    return manifest.entries[0].method


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def has_reflinks(directory: Path) -> bool:
    one = directory / "one"
    one.write_bytes(b"x")
    fd = os.open(one, os.O_RDONLY)
    try:
        staging._reflink(fd, directory / "two")
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def test_an_input_is_linked_to_its_real_path_in_one_level(replica: Path, attempt: Path) -> None:
    detour = replica.parent.parent / "detour"
    detour.symlink_to(replica.parent)
    method = put(detour / "a.fits", attempt, (Method.SYMLINK, Method.COPY))
    assert method is Method.SYMLINK
    assert (attempt / "data/a.fits").readlink() == replica


def test_a_reflink_goes_before_all_where_there_is_one(replica: Path, attempt: Path) -> None:
    best = Method.REFLINK if has_reflinks(attempt) else Method.SYMLINK
    assert put(replica, attempt) is best
    assert names(attempt / "data") == ["a.fits"]


def test_only_what_nobody_can_write_is_hardlinked(replica: Path, attempt: Path) -> None:
    hard = (Method.HARDLINK, Method.COPY)
    assert put(replica, attempt, hard) is Method.HARDLINK
    replica.chmod(0o644)
    assert put(replica, attempt / "..", hard, place="data/b.fits") is Method.COPY


def test_a_copy_is_whole_read_only_and_a_file_of_its_own(replica: Path, attempt: Path) -> None:
    assert put(replica, attempt, (Method.COPY,)) is Method.COPY
    copy = attempt / "data/a.fits"
    assert copy.read_bytes() == CONTENT
    assert not copy.samefile(replica)
    assert copy.stat().st_mode & 0o777 == 0o444
    assert names(attempt / "data") == ["a.fits"]


def test_no_method_left_is_told(replica: Path, attempt: Path) -> None:
    replica.chmod(0o644)
    with pytest.raises(SiteError, match="by hardlink"):
        put(replica, attempt, (Method.HARDLINK,))


def test_the_manifest_tells_what_was_staged(replica: Path, attempt: Path) -> None:
    xml = replica.with_name("p.xml")
    xml.write_bytes(CONTENT)
    sources = [
        source(replica, product="p"),
        source(xml, place="p.xml"),
        source(replica, product="p"),
    ]
    made = stage(sources, attempt, zone="z", methods=(Method.SYMLINK,))
    assert [(entry.place, entry.product) for entry in made.entries] == [
        ("data/a.fits", "p"),
        ("p.xml", ""),
    ]
    assert read_manifest(attempt) == made
    assert made.entries[0].inode == replica.stat().st_ino


METHODS_HERE = [Method.SYMLINK, Method.HARDLINK, Method.COPY]


@pytest.mark.parametrize("method", METHODS_HERE)
def test_what_is_staged_again_stays_as_it_is(replica: Path, attempt: Path, method: Method) -> None:
    first = stage([source(replica)], attempt, zone="z", methods=(method,))
    before = (attempt / "data/a.fits").lstat()
    other = replica.with_name("b.fits")
    other.write_bytes(CONTENT)
    stage([source(other)], attempt, zone="z", methods=(Method.SYMLINK,))
    assert stage([source(replica)], attempt, zone="z") == first
    assert (attempt / "data/a.fits").lstat() == before
    places = [entry.place for entry in read_manifest(attempt).entries]
    assert places == ["data/a.fits", "data/b.fits"]


@pytest.mark.parametrize("method", METHODS_HERE)
def test_who_was_killed_before_the_manifest_is_no_hindrance(
    replica: Path, attempt: Path, method: Method
) -> None:
    put(replica, attempt, (method,))
    (attempt / MANIFEST).unlink()
    found = put(replica, attempt)
    assert found is (Method.COPY if method is Method.COPY else Method.NONE)


def test_what_was_copied_in_part_is_copied_again(replica: Path, attempt: Path) -> None:
    (attempt / "data").mkdir()
    (attempt / "data/.a.fits.part-stage").write_bytes(b"half")
    assert put(replica, attempt, (Method.COPY,)) is Method.COPY
    assert names(attempt / "data") == ["a.fits"]


def test_a_link_whose_replica_is_gone_leads_to_another_one(replica: Path, attempt: Path) -> None:
    other = replica.with_name("b") / "a.fits"
    other.parent.mkdir()
    other.write_bytes(CONTENT)
    put(replica, attempt, (Method.SYMLINK,))
    replica.unlink()
    assert put(other, attempt, (Method.SYMLINK,)) is Method.SYMLINK
    assert (attempt / "data/a.fits").readlink() == other


def test_a_replica_that_is_where_it_is_wanted_is_left_alone(replica: Path) -> None:
    workdir = replica.parent.parent
    assert put(replica, workdir, place="storage/a.fits") is Method.NONE
    assert replica.read_bytes() == CONTENT


def test_a_damaged_manifest_is_told(attempt: Path) -> None:
    (attempt / MANIFEST).write_text("{")
    with pytest.raises(SiteError, match=MANIFEST):
        read_manifest(attempt)


def test_two_files_do_not_get_one_place(replica: Path, attempt: Path) -> None:
    other = replica.with_name("b.fits")
    other.write_bytes(CONTENT)
    with pytest.raises(InputError, match=re.escape("a.fits and b.fits both")):
        stage([source(replica), source(other, place="data/a.fits")], attempt, zone="z")


@pytest.mark.parametrize("method", list(Method))
def test_what_is_there_is_not_replaced(replica: Path, attempt: Path, method: Method) -> None:
    (attempt / "data").mkdir()
    (attempt / "data/a.fits").write_bytes(b"mine")
    if method is Method.REFLINK and not has_reflinks(replica.parent):
        method = Method.COPY
    with pytest.raises(InputError, match="is another file"):
        put(replica, attempt, (method,))
    assert names(attempt / "data") == ["a.fits"]
    assert (attempt / "data/a.fits").read_bytes() == b"mine"


@pytest.mark.parametrize("place", ["/etc/x", "../x", "data/../../x", ""])
def test_nothing_is_put_outside_of_the_attempt(replica: Path, attempt: Path, place: str) -> None:
    with pytest.raises(InputError):
        put(replica, attempt, place=place)
    assert names(attempt) == []


def kind(replica: Path, attempt: Path, verify: Verify, **fields: object) -> ErrorClass | None:
    try:
        stage([source(replica, **fields)], attempt, zone="z", verify=verify)
    except StorageError as error:
        return error.kind
    return None


@pytest.mark.parametrize(
    ("verify", "changed", "refused"),
    [
        (Verify.NEVER, True, False),
        (Verify.CHANGED, True, True),
        (Verify.CHANGED, False, False),
        (Verify.ALWAYS, False, True),
    ],
)
def test_other_bytes_of_the_same_size_are_found_when_they_are_looked_for(
    replica: Path, attempt: Path, verify: Verify, changed: bool, refused: bool
) -> None:
    before = replica.stat()
    replica.chmod(0o644)
    replica.write_bytes(CONTENT[:-1] + b"x")
    if not changed:
        os.utime(replica, ns=(before.st_atime_ns, before.st_mtime_ns))
    found = kind(replica, attempt, verify, mtime_ns=before.st_mtime_ns)
    assert found == (ErrorClass.CONTENT if refused else None)


def test_a_touched_replica_of_the_right_content_is_staged(replica: Path, attempt: Path) -> None:
    assert kind(replica, attempt, Verify.CHANGED, mtime_ns=1) is None


def test_a_replica_whose_time_nobody_knows_is_read(replica: Path, attempt: Path) -> None:
    replica.chmod(0o644)
    replica.write_bytes(CONTENT[:-1] + b"x")
    assert kind(replica, attempt, Verify.CHANGED, mtime_ns=None) is ErrorClass.CONTENT


def test_a_copy_of_other_bytes_leaves_nothing_behind(replica: Path, attempt: Path) -> None:
    wanted = source(replica)
    replica.chmod(0o644)
    replica.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(StorageError) as caught:
        stage([wanted], attempt, zone="z", methods=(Method.COPY,), verify=Verify.NEVER)
    assert caught.value.kind is ErrorClass.CONTENT
    assert names(attempt / "data") == []


@pytest.mark.parametrize(
    ("what", "refused"),
    [("gone", "missing"), ("short", "content"), ("fifo", "content"), ("loop", "policy")],
)
def test_a_replica_that_is_no_such_file_is_refused(
    replica: Path, attempt: Path, what: str, refused: str
) -> None:
    wanted = source(replica)
    replica.unlink()
    match what:
        case "short":
            replica.write_bytes(CONTENT[:-1])
        case "fifo":
            os.mkfifo(replica)
        case "loop":
            replica.symlink_to(replica.name)
    with pytest.raises(StorageError) as caught:
        stage([wanted], attempt, zone="z")
    assert caught.value.kind == refused


def test_a_directory_that_cannot_be_written_is_told(replica: Path, attempt: Path) -> None:
    (attempt / "data").write_bytes(b"no directory")
    with pytest.raises(InputError, match="data"):
        put(replica, attempt)


def test_methods_that_fail_for_want_of_space_are_not_passed_over() -> None:
    assert errno.ENOSPC not in staging._UNSUPPORTED
    assert errno.EIO not in staging._UNSUPPORTED


def test_a_manifest_of_a_newer_version_is_read_by_what_it_has_in_common() -> None:
    text = b'{"zone":"z","entries":[],"later":1}'
    assert staging.json_reader(Manifest)(text) == Manifest(zone="z", entries=())
