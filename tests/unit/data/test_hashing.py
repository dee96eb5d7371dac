"""Checksums in one pass, how they are declared, and that all of them must agree."""

from collections.abc import Callable
from threading import Barrier

import pytest

from euclid_dask.core.errors import InputError
from euclid_dask.data import hashing
from euclid_dask.data.hashing import OURS, Hasher, declared, hash_chunks, mismatch, wanted
from euclid_dask.data.model import Checksum, File

WIKIPEDIA = [b"Wiki", b"", b"pedia"]


def values(*algorithms: str) -> dict[str, str]:
    return {c.algorithm: c.value for c in hash_chunks(WIKIPEDIA, algorithms).checksums()}


def test_known_content_has_its_known_checksums() -> None:
    assert values("md5", "sha256") == {
        "adler32": "11e60398",
        "md5": "9c677286866aad38f8e9b660f5411814",
        "sha256": "d38b38a2dd476e045c299e8ee5d6466834456d97bd592a71746b423a6a05f386",
        "xxh3": values()["xxh3"],
    }
    assert len(values()["xxh3"]) == 32
    assert hash_chunks(WIKIPEDIA).size == 9


def test_md5_is_taken_only_when_it_is_asked_for() -> None:
    assert sorted(values()) == ["adler32", "xxh3"]


def test_nothing_has_an_adler32_with_its_zeros() -> None:
    empty = {c.algorithm: c.value for c in hash_chunks([]).checksums()}
    assert empty["adler32"] == "00000001"


@pytest.mark.parametrize(
    ("method", "value", "checksum"),
    [
        ("Adler32", "1E60398", ("adler32", "01e60398")),
        ("ADLER-32", " 11e60398 ", ("adler32", "11e60398")),
        ("MD5", "9C677286866AAD38F8E9B660F5411814", ("md5", "9c677286866aad38f8e9b660f5411814")),
    ],
)
def test_declared_checksums_are_normalised(
    method: str, value: str, checksum: tuple[str, str]
) -> None:
    found = declared(method, value)
    assert (found.algorithm, found.value, found.declared) == (*checksum, True)


@pytest.mark.parametrize(
    ("method", "value"),
    [("CRC32", "0"), ("MD5", "9c67"), ("MD5", ""), ("Adler32", ""), ("Adler32", "kdjfghsdkj")],
)
def test_what_is_no_checksum_is_refused(method: str, value: str) -> None:
    with pytest.raises(InputError):
        declared(method, value)


def a_file(**checksums: str) -> File:
    told = tuple(Checksum(algorithm=name, value=value) for name, value in checksums.items())
    return File(name="f", size=9, checksums=told)


def test_all_checksums_must_agree() -> None:
    hasher = hash_chunks(WIKIPEDIA, ["md5"])
    right, wrong = values("md5")["md5"], "0" * 32
    assert mismatch(a_file(adler32="11e60398", md5=right), 9, hasher.checksums()) == ""
    assert mismatch(a_file(adler32="11e60398", md5=wrong), 9, hasher.checksums()) == (
        f"md5 of f is {wrong}, and not {right}"
    )
    assert "11e60399" in mismatch(a_file(adler32="11e60399"), 9, hasher.checksums())


def test_a_checksum_that_was_not_taken_does_not_agree() -> None:
    file = a_file(sha256="0" * 64)
    assert wanted(file) == {"sha256"}
    assert "unknown" in mismatch(file, 9, hash_chunks(WIKIPEDIA).checksums())


def test_another_size_is_another_content() -> None:
    assert mismatch(a_file(), 8, ()) == "f has 9 bytes, and not 8"


def test_what_is_hashed_beside_is_all_hashed_at_the_end() -> None:
    blocks = [bytes([number]) * (1 << 20) for number in range(5)]
    hasher = Hasher(["md5"])
    with hasher.beside() as update:
        for block in blocks:
            update(block)
    assert hasher.size == 5 << 20
    assert hasher.checksums() == hash_chunks(blocks, ["md5"]).checksums()


class Planted:
    """A digest that does something when it gets bytes."""

    def __init__(self, do: Callable[[], object]) -> None:
        self._do = do

    def update(self, _data: bytes, /) -> None:
        self._do()

    def hexdigest(self) -> str:
        return ""


def test_checksums_are_taken_beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = Barrier(2, timeout=60)
    planted = dict.fromkeys(OURS, lambda: Planted(meeting.wait))
    monkeypatch.setattr(hashing, "_ALGORITHMS", planted)
    with Hasher().beside() as update:
        update(b"x")
    assert not meeting.broken


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_failure_beside_is_told(monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    def fail() -> None:
        raise MemoryError("planted")

    planted = {"adler32": lambda: Planted(fail), "xxh3": lambda: Planted(bool)}
    monkeypatch.setattr(hashing, "_ALGORITHMS", planted)

    def take() -> None:
        with Hasher().beside() as update:
            for _ in range(blocks):
                update(b"x")

    with pytest.raises(MemoryError):
        take()
