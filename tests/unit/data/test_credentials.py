from pathlib import Path

import pytest
from rich.pretty import pretty_repr

from euclid_dask.core.errors import InputError
from euclid_dask.data.credentials import Credential, read_credentials


@pytest.fixture
def written(tmp_path: Path):
    def written(text: str, name: str = "credentials.toml", mode: int = 0o600) -> Path:
        path = tmp_path / name
        path.write_text(text)
        path.chmod(mode)
        return path

    return written


def test_credentials_are_read_by_name(written):
    path = written('[fr]\nuser = "a"\npassword = "b"\n[ch]\nuser = "c"\nkey = "~/.ssh/id"\n')
    assert read_credentials(path) == {
        "fr": Credential(user="a", password="b"),
        "ch": Credential(user="c", key="~/.ssh/id"),
    }


def test_a_netrc_file_names_hosts(written):
    path = written("machine archive.example login a password b\n", ".netrc")
    assert read_credentials(path) == {"archive.example": Credential(user="a", password="b")}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_file_that_others_may_read_is_refused(written, mode):
    with pytest.raises(InputError, match="chmod 600"):
        read_credentials(written("", mode=mode))


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_credentials(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('[fr]\npasword = "secret"\n', "c.toml"),
        ('[fr]\npassword = ["secret"]\n', "c.toml"),
        ('fr = "secret"\n', "c.toml"),
        ('[fr]\npassword = "secret\n', "c.toml"),
        ("machine a login b password c secret d\n", "netrc"),
        ("secret secret\n", "netrc"),
    ],
)
def test_what_is_wrong_is_told_without_the_secret(written, text, name):
    with pytest.raises(InputError) as error:
        read_credentials(written(text, name))
    assert "secret" not in str(error.value)
    assert error.value.__cause__ is None


def test_a_credential_shows_nothing_of_itself():
    secret = Credential(user="u-secret", password="p-secret", token="t-secret")
    for shown in (repr(secret), str(secret), f"{secret}", pretty_repr(secret)):
        assert "secret" not in shown
