"""Where an archive is: what a settings file may say."""

from pathlib import Path

import pytest
from fake_archive import PASSWORD

from euclid_dask.core.errors import InputError
from euclid_dask.data.archive.session import open_session
from euclid_dask.data.archive.settings import EXAMPLE, read_settings


def _read(tmp_path: Path, text: str) -> object:
    path = tmp_path / "archive.toml"
    path.write_text(text)
    return read_settings(path)


def test_the_example_can_be_read(tmp_path: Path) -> None:
    assert _read(tmp_path, EXAMPLE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('metadata = "http://eas.esac.esa.int"', "spoken to by https://"),
        ('metadata = "https://me:word@eas"', "must not have a user or password"),
        ('metadata = "https://eas"\nfiles = ["ftp://dss"]', "files: an archive is spoken to by"),
        ('metadata = "https://eas"\ntries = 0', "tries are 1 or more"),
        ('metadata = "https://eas"\npassword = "x"', "password"),
        ("metadata = 7", "metadata"),
        ("", "metadata"),
    ],
)
def test_wrong_settings_are_refused_with_their_file(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        _read(tmp_path, text)
    assert "archive.toml" in caught.value.message
    assert "word@" not in str(caught.value)


def test_credentials_that_others_may_read_are_refused(tmp_path: Path) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine eas login me password {PASSWORD}\n")
    netrc.chmod(0o644)
    path = tmp_path / "archive.toml"
    path.write_text(f'metadata = "https://eas"\ncredentials = "{netrc}"')

    with pytest.raises(InputError, match="others than its owner") as caught, open_session(path):
        pass
    assert PASSWORD not in str(caught.value)
