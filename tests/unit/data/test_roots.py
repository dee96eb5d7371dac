import pytest

from euclid_dask.core.errors import InputError
from euclid_dask.data.roots import check_root


@pytest.mark.parametrize(
    ("root", "kept"),
    [
        ("file:///data", "file:///data"),
        ("file:///data//x/", "file:///data/x"),
        ("file:///", "file:///"),
        ("fsspec+memory:///a/", "fsspec+memory:///a"),
        ("fsspec+gcs://Bucket/x//y", "fsspec+gcs://Bucket/x/y"),
        ("SFTP://Host:22/Data/", "sftp://host:22/Data"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://euclid-archive.fr/", "https://euclid-archive.fr"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
    ],
)
def test_a_root_has_one_spelling(root: str, kept: str) -> None:
    assert check_root(root) == kept
    assert check_root(kept) == kept


@pytest.mark.parametrize(
    "root",
    [
        "",
        "/data",
        "data",
        "file://data/sdc-eas",
        "file://localhost/data",
        "file:data",
        "file:///a/../b",
        "fsspec+://x/y",
        "fsspec+gcs://me:s3cret@bucket/x",
        "http://a..b/x",
        "file:///a/%2e%2e/b",
        "file:///a%2fb",
        "gopher://host/x",
        "sftp:///data",
        "sftp://me@host/data",
        "sftp://me:s3cret@host/data",
        "sftp://:s3cret@host/data",
        "https://host/x?token=1",
        "https://host/x?",
        "https://host/x#y",
        "http://host:0/x",
        "http://host:99999/x",
        "http://host:x/x",
        "http://[::1/x",
        "http://host/a b",
        "http://host/a\\b",
        "http://host/\n",
    ],
)
def test_what_is_no_root_or_has_a_secret_is_refused(root: str) -> None:
    with pytest.raises(InputError) as caught:
        check_root(root)
    assert "s3cret" not in caught.value.message
    assert "token" not in caught.value.message


def test_a_host_in_the_root_of_a_directory_is_explained() -> None:
    with pytest.raises(InputError, match="write file:///data/"):
        check_root("file://data/sdc-eas/level0")
