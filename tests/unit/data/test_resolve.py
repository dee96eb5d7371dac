"""Where a file is reached from a zone: the seven URLs of one file, and their order."""

from collections.abc import Mapping, Sequence

import pytest

from euclid_dask.core.values import replace
from euclid_dask.data.model import Access, Replica, ReplicaState, Storage, StorageState
from euclid_dask.data.resolve import Use, locate

PATH = "level0/raw_20140207.fits"


def replica(storage: str, **fields: object) -> Replica:
    return replace(Replica(file="raw_20140207.fits", storage=storage, path=PATH), **fields)


def storages(*names: str) -> Mapping[str, Storage]:
    return {name: Storage(name=name, marker=name) for name in names}


def urls(replicas: Sequence[Replica], accesses: Sequence[Access], **arguments: object) -> list[str]:
    known = storages(*(access.storage for access in accesses))
    return [place.url for place in locate(replicas, accesses, known, **arguments)]  # type: ignore[arg-type]


def test_one_file_has_the_seven_urls_of_the_seed(seed_accesses: Sequence[Access]) -> None:
    everywhere = [replica(name) for name in ("fr", "eas", "sub", "exec")]
    found = {
        zone: urls(everywhere, [row for row in seed_accesses if row.zone == zone])
        for zone in ("community", "ial", "submission", "execution")
    }
    assert found == {
        "community": [
            f"http://euclid-archive.ch/{PATH}",
            f"http://euclid-archive.fr/{PATH}",
        ],
        "ial": [
            f"file:///data/sdc-eas/{PATH}",
            f"http://euclid-archive.fr/{PATH}",
            f"sftp://sub/data/sub_workspace/{PATH}",
        ],
        "submission": [f"file:///mnt/exec_workspace/{PATH}", f"file:///data/sub_host/{PATH}"],
        "execution": [f"file:///exec_workspace/{PATH}"],
    }
    assert len({url for several in found.values() for url in several}) == 7


@pytest.mark.parametrize(
    "state", [state for state in ReplicaState if state is not ReplicaState.AVAILABLE]
)
def test_only_available_replicas_are_read(state: ReplicaState) -> None:
    row = Access(storage="a", zone="z", root="file:///a")
    assert urls([replica("a", state=state)], [row]) == []


def test_a_readonly_storage_is_read_and_not_written() -> None:
    row = Access(storage="a", zone="z", root="file:///a")
    known = {"a": Storage(name="a", marker="m", state=StorageState.READONLY)}
    assert len(locate([replica("a")], [row], known)) == 1
    assert locate([replica("a")], [row], known, use=Use.WRITE) == ()
    assert locate([replica("a")], [row], known, use=Use.DELETE) == ()


def test_a_disabled_storage_is_not_touched() -> None:
    row = Access(storage="a", zone="z", root="file:///a")
    known = {"a": Storage(name="a", marker="m", state=StorageState.DISABLED)}
    assert locate([replica("a")], [row], known) == ()


def test_priority_nought_is_never() -> None:
    row = Access(storage="a", zone="z", root="http://a", write=0)
    known = storages("a")
    assert len(locate([replica("a")], [row], known)) == 1
    assert locate([replica("a")], [row], known, use=Use.WRITE) == ()


def test_preference_goes_before_priority_scheme_failures_and_name() -> None:
    rows = [
        Access(storage="b", zone="z", root="file:///b"),
        Access(storage="a", zone="z", root="file:///a"),
        Access(storage="c", zone="z", root="file:///c", read=2),
        Access(storage="d", zone="z", root="sftp://d"),
        Access(storage="e", zone="z", root="ftp://e"),
    ]
    replicas = [replica(row.storage) for row in rows]
    known = storages("a", "b", "c", "d", "e")

    def order(**arguments: object) -> str:
        found = locate(replicas, rows, known, **arguments)  # type: ignore[arg-type]
        return "".join(place.access.storage for place in found)

    assert order() == "abdec"
    assert order(failures={"file:///a": 1}) == "badec"
    assert order(prefer=("ftp", "sftp")) == "edabc"


def test_a_url_quotes_what_a_path_may_hold() -> None:
    row = Access(storage="a", zone="z", root="file:///a/")
    odd = replace(replica("a"), path="deep/er/x y#z%.fits")
    assert urls([odd], [row]) == ["file:///a/deep/er/x%20y%23z%25.fits"]
