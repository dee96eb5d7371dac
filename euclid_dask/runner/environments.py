"""Which shell text is sourced before each task, by the version that a data file asks for.

Two kinds of files are read: TOML with a table `[environments]`, and the configuration of the IAL
with lines `environment.sourcingScripts.<version>=<shell text>` and
`environment.sourcingScriptsDefault=<shell text>`. Versions are compared in lower case. The text
is pasted after `source`, so it may go on with `&&`; `; echo` stands for no script.

Source: the public debug configuration of a wrapper of the original runner.
"""

import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from euclid_dask.core.errors import InputError, SiteError
from euclid_dask.data.regular import regular
from euclid_dask.dataflow.names import did_you_mean

DEFAULT: Final = "default"
_IAL: Final = "environment.sourcingscripts"
_AFTER_WORD: Final = re.compile(r"[\s;&|]")


def read_environments(path: Path) -> dict[str, str]:
    """Return the shell texts of a file by version, in lower case; "default" is for no version.

    Raises:
        SiteError: The file cannot be read, or is of neither kind.
    """
    try:
        text = regular(path).read_text()
        found = _from_toml(text) if path.suffix == ".toml" else _from_ial(text)
    except (OSError, ValueError) as error:
        raise SiteError(
            f"cannot read the environments in {path}: {getattr(error, 'strerror', None) or error}",
            hint='write a TOML file: [environments] with lines "eden-2.1" = "/path/script.sh"',
        ) from error
    if not found:
        raise SiteError(
            f"{path} names no environment",
            hint="a TOML file needs a table [environments], a configuration of the IAL lines "
            "environment.sourcingScripts.<version>=<script>",
        )
    return found


def source_text(wish: str) -> str:
    """Return the shell text for a file that the user names, from where the user stands.

    The file's name may have spaces in it. What follows a name without them is kept: arguments,
    `&& export A=1`. A wish that begins with `;` names no file.

    Raises:
        InputError: There is no such file.
    """
    first = _AFTER_WORD.split(wish, maxsplit=1)[0]
    for name, more in ((wish, ""), (first, wish[len(first) :])):
        if name and Path(name).is_file():
            return shlex.quote(str(Path(name).absolute())) + more
    if not first:
        return wish
    raise InputError(
        f"--source {wish}: there is no file {first}",
        hint="name the shell file that is to be sourced before each task",
    )


def sourcing_script(environments: Mapping[str, str], version: str | None, where: str = "") -> str:
    """Return the shell text for `version`, or the default one for None; "" if there is none.

    `where` is `file:line` of the wish.

    Raises:
        InputError: There is no such version.
    """
    if not version:
        return environments.get(DEFAULT, "")
    try:
        return environments[version.lower()]
    except KeyError:
        known = [name for name in environments if name != DEFAULT]
        raise InputError(
            f"{where}{': ' if where else ''}there is no environment of version {version!r}",
            hint=did_you_mean(version.lower(), known, "versions"),
        ) from None


def _from_toml(text: str) -> dict[str, str]:
    table = tomllib.loads(text).get("environments", {})
    wrong = [name for name, script in table.items() if not isinstance(script, str)]
    if wrong:
        raise ValueError(f"environments.{wrong[0]} is not a text")
    return {name.lower(): script for name, script in table.items()}


def _from_ial(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, script = line.strip().partition("=")
        key = key.strip().lower()
        if not equals or key.startswith("#"):
            continue
        if key == f"{_IAL}default":
            found[DEFAULT] = script.strip()
        elif key.startswith(f"{_IAL}."):
            found[key.removeprefix(f"{_IAL}.")] = script.strip()
    return found
