"""Options that several commands share, and what their values mean."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from euclid_dask.api import Settings
from euclid_dask.cli.bars import copying
from euclid_dask.core.errors import InputError
from euclid_dask.planner.policies import POLICIES
from euclid_dask.runner.isf import is_absent
from euclid_dask.wiring import PATIENCE_S, parse_size

F = TypeVar("F", bound=Callable[..., Any])
Option = Callable[[F], F]

json_option: Final = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else."
)
pkgrepo_option: Final = click.option(
    "--pkgrepo",
    metavar="DIR",
    help="Folder of the package definitions; default: the script's folder.",
)
workdir_option: Final = click.option(
    "--workdir", metavar="DIR", help="Where all files go; default: PIPELINE_workdir."
)
isf_option: Final = click.option(
    "--isf", metavar="FILE", help="Data file: lines port=file, workdir=..., pkgRepository=..."
)
ports_argument: Final = click.argument("ports", metavar="[PORT=FILE ...]", nargs=-1)
workdir_argument: Final = click.argument("workdir", metavar="WORKDIR")
run_argument: Final = click.argument("run_id", metavar="[RUN]", required=False)

MACHINE: Final[Sequence[Option[Any]]] = (
    click.option("--cores", type=click.FloatRange(min=0, min_open=True), help="Cores to use."),
    click.option("--ram", metavar="SIZE", help='RAM to use, like "16GB" or "512MiB".'),
)
site_option: Final = click.option(
    "--site",
    metavar="SITE.toml",
    type=click.Path(path_type=Path),
    help="Run on pilots of this site, jobs of its batch system: see `euclid-dask site`.",
)
PARTS: Final[Sequence[Option[Any]]] = (
    click.option("--until", multiple=True, metavar="TASK", help="Run this and what it needs."),
    click.option(
        "--from", "from_", multiple=True, metavar="TASK", help="Run this and what follows."
    ),
    click.option("--skip", multiple=True, metavar="TASK", help="Omit it; what it made is there."),
    click.option(
        "--given",
        "stand_ins",
        multiple=True,
        metavar="TASK.PORT=FILE",
        help="A file in the workdir that stands for the output of a task that is not run.",
    ),
)
spare_option: Final = click.option(
    "--spare-pilots",
    is_flag=True,
    help="On SIGTERM stop only the runner: pilots of the site and what runs there go on, for "
    "`resume`.",
)
GROUPING: Final[Sequence[Option[Any]]] = (
    click.option(
        "--group-by",
        "group_by",
        multiple=True,
        metavar="PATH",
        help="One run for each value that products have at PATH, in a folder of its own.",
    ),
    click.option(
        "--link",
        "links",
        multiple=True,
        metavar="PORT=PATH",
        help="Products of PORT have that value at another PATH; with none, all are for each run.",
    ),
    click.option(
        "--at-once",
        type=click.IntRange(min=1),
        metavar="N",
        help="How many groups run at once, each in a process of its own; 1 if nothing is said. On "
        "this machine they share its cores and RAM. At a site each has pilots of its own, up to "
        "the limits of the site: all together N times as many.",
    ),
)
EXECUTION: Final[Sequence[Option[Any]]] = (
    site_option,
    click.option(
        "--executor",
        metavar="KIND",
        default="auto",
        show_default=True,
        help="inline (threads), dask (embedded), auto (threads, Dask if it takes longer than "
        "seconds), or a scheduler's address.",
    ),
    click.option(
        "--scheduler-patience",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        default=PATIENCE_S,
        show_default=True,
        help="How long a scheduler that goes is waited for, before the run is stopped.",
    ),
    *MACHINE,
    click.option(
        "--profiles",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="EUCLID_DASK_PROFILES",
        metavar="FILE",
        help="Where to keep what tasks used, for later runs; default: with the records of the "
        "workdir, or of the site's workspace.",
    ),
    click.option("--quiet", "-q", is_flag=True, help="Show no progress."),
)
LIMITS: Final[Sequence[Option[Any]]] = (
    click.option(
        "--policy",
        type=click.Choice(sorted(POLICIES)),
        help="Which ready task goes first; default: the site's, or fifo.",
    ),
    click.option(
        "--retries",
        type=click.IntRange(min=0),
        help="Further attempts of a task that failed; default: the site's, or 0.",
    ),
    click.option(
        "--lost-retries",
        type=click.IntRange(min=0),
        help="Further attempts of a task that was lost with its machine; default: the site's, "
        "or 5.",
    ),
    click.option(
        "--larger-retries",
        type=click.IntRange(min=0),
        help="Further attempts of a task that was killed at its limit, with more RAM or walltime; "
        "default: the site's, or 1.",
    ),
    click.option("--fresh", is_flag=True, help="Do everything again, whatever is done already."),
    click.option(
        "--identity",
        type=click.Choice(["mtime", "content"]),
        default="mtime",
        show_default=True,
        help="How inputs, and outputs that are there, are compared with those of earlier runs.",
    ),
    click.option(
        "--enforce-ram/--no-enforce-ram",
        default=None,
        help="Kill a task that uses more RAM than it asked for, or not; default: as the site "
        "says, or to kill it.",
    ),
    click.option(
        "--enforce-walltime/--no-enforce-walltime",
        default=None,
        help="Kill a task that runs longer than it asked for, or not; default: as the site says, "
        "or to kill it.",
    ),
    click.option(
        "--grace",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="Time between SIGTERM and SIGKILL; default: the site's, or 3.",
    ),
    click.option(
        "--source",
        metavar="FILE",
        default="",
        help="Shell file sourced before each task; more may follow: 'FILE && export A=1'.",
    ),
    click.option(
        "--environments",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="EUCLID_DASK_ENVIRONMENTS",
        metavar="FILE",
        help="Shell files by version, for the edenVersion of a data file: TOML with a table "
        "[environments], or a configuration of the IAL.",
    ),
    click.option(
        "--logdir", metavar="DIR", help="Folder of the logs in the workdir; default: logs."
    ),
    click.option(
        "--one-by-one", is_flag=True, help="Carry each task to its place on its own: no bundles."
    ),
)


answers_option: Final = click.option(
    "--answers",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Do not ask the registry: take the answers that an earlier run wrote to FILE.",
)


def with_options(options: Sequence[Option[Any]]) -> Option[Any]:
    """Return a decorator that adds options to a command, in their order."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def settings_of(given: Mapping[str, Any]) -> Settings:
    """Return the settings that the options of a command say."""
    one_by_one = given.get("one_by_one", False)
    return Settings(
        progress=False,  # commands have their own, or --quiet
        site=given.get("site"),
        executor=given.get("executor", "auto"),
        scheduler_patience_s=given.get("scheduler_patience", PATIENCE_S),
        cores=given.get("cores"),
        ram_bytes=parse_size(given["ram"]) if given.get("ram") else None,
        policy=given.get("policy"),
        science_retries=given.get("retries"),
        lost_retries=given.get("lost_retries"),
        larger_retries=given.get("larger_retries"),
        until=given.get("until", ()),
        from_=given.get("from_", ()),
        skip=given.get("skip", ()),
        fuse=not one_by_one,
        group=not one_by_one,
        fresh=given.get("fresh", False),
        identity_by=given.get("identity", "mtime"),
        enforce_ram=given.get("enforce_ram"),
        enforce_walltime=given.get("enforce_walltime"),
        grace_s=given.get("grace"),
        source=given.get("source", ""),
        environments=given.get("environments"),
        logdir=given.get("logdir"),
        profiles=given.get("profiles"),
        spare_pilots=given.get("spare_pilots", False),
        registry=given.get("registry", ""),
        zone=given.get("zone", ""),
        credentials=given.get("credentials"),
        answers=given.get("answers"),
        copying=partial(copying, quiet=given.get("quiet", False)),
    )


def files_of_ports(words: Sequence[str]) -> dict[str, str | None]:
    """Return the files of words `PORT=FILE`; None stands for no file.

    Raises:
        InputError: A word is not of that form, or a port is there twice.
    """
    files = _pairs(words, "PORT=FILE", "image=raw.fits")
    return {port: None if is_absent(file) else file for port, file in files.items()}


def words_of(context: click.Context, without: Collection[str]) -> Iterator[str]:
    """Yield the options that were given, but for some, as another command takes them."""
    for known in context.command.params:
        assert known.name is not None
        value = context.params[known.name]
        is_given = context.get_parameter_source(known.name) is not ParameterSource.DEFAULT
        if known.name in without or not is_given or not isinstance(known, click.Option):
            continue
        if known.is_flag:
            yield (known.opts if value else known.secondary_opts)[0]
        else:
            values = value if known.multiple else (value,)
            yield from (f"{known.opts[0]}={one}" for one in values)


def given_files(words: Sequence[str]) -> dict[str, str]:
    """Return the files of words `TASK.PORT=FILE`.

    Raises:
        InputError: A word is not of that form, or a port is there twice.
    """
    files = _pairs(words, "TASK.PORT=FILE", "bias.master=bias/master.fits")
    for port in files:
        if "." not in port:
            raise InputError(
                f"--given {port}: there is no port in it", hint=f"write {port}.PORT=FILE"
            )
    return files


def _pairs(words: Sequence[str], form: str, example: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, equals, file = word.partition("=")
        if not equals or not name.strip():
            raise InputError(f"'{word}' is not of the form {form}", hint=f"like: {example}")
        if name in found:
            raise InputError(f"{name} is given twice: {found[name]} and {file}")
        found[name] = file
    return found
