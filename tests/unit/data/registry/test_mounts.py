from pathlib import Path

import pytest

from euclid_dask.core.errors import InputError
from euclid_dask.data.registry.engine import database_url, open_database
from euclid_dask.data.registry.mounts import MOUNTS, file_system, is_shared

TABLE = """\
21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 21 0:40 / /home rw - nfs4 server:/export/home rw,vers=4.2
31 30 254:1 / /home/local rw - xfs /dev/vdb rw
32 21 0:41 / /mnt/my\\040disk rw master:2 - fuse.sshfs host:/data rw
33 21 0:42 / /over rw - ext4 /dev/vdc rw
34 21 0:43 / /over rw - lustre mgs@tcp:/fs rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "shared"),
    [
        ("/var/lib", "ext4", False),
        ("/home/me/registry", "nfs4", True),
        ("/home/local/me", "xfs", False),
        ("/homes/me", "ext4", False),
        ("/mnt/my disk/x", "fuse.sshfs", True),
        ("/over", "lustre", True),
    ],
)
def test_the_innermost_and_latest_mount_tells_the_file_system(
    path: str, kind: str, shared: bool
) -> None:
    assert file_system(Path(path), TABLE) == kind
    assert is_shared(kind) is shared


def test_the_table_of_this_host_is_read(tmp_path: Path) -> None:
    assert file_system(tmp_path, MOUNTS.read_text())


def test_no_sqlite_registry_is_opened_on_a_shared_file_system(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"{TABLE}40 21 0:50 / {tmp_path} rw - nfs server:/x rw\n")
    with pytest.raises(InputError, match=r"on nfs.*(?s:.)*postgresql://"):
        open_database(str(tmp_path / "registry.db"), mounts=mounts)
    assert [path.name for path in tmp_path.iterdir()] == ["mountinfo"]


def test_a_registry_is_not_opened_where_there_is_no_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such directory"):
        open_database(str(tmp_path / "none" / "registry.db"))


@pytest.mark.parametrize("address", ["mysql://host/x", "postgresql://host:port/x"])
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    with pytest.raises(InputError):
        database_url(address)


def test_a_path_is_that_of_sqlite_and_relative_to_here() -> None:
    assert database_url("some/registry.db").database == str(Path.cwd() / "some/registry.db")
    assert database_url("postgresql://me@host/x").drivername == "postgresql+psycopg"
