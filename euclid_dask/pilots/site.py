"""A site: the data centre whose batch system pilots run in, as one TOML file says it.

A `Site` is complete: every default is filled in, and it can be written as TOML again. In the file
a table `[defaults]` may hold what the templates have in common.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, field

from euclid_dask.core.amounts import size_text
from euclid_dask.core.errors import SiteError
from euclid_dask.core.pilots import PilotTemplate, usual_slots
from euclid_dask.core.resources import Resources
from euclid_dask.core.rules import Rules
from euclid_dask.core.values import Value, replace
from euclid_dask.dataflow.names import did_you_mean
from euclid_dask.pilots.tables import DURATION, HUGE, SIZE, Page, open_page, render_table
from euclid_dask.planner.policies import POLICIES

BatchKind = Literal["slurm", "openpbs", "torque", "sge", "htcondor", "local"]
"""The batch systems; "local" starts pilots as processes of this machine."""
DEFAULT_ENVIRONMENT: Final = "default"

_FAREWELL_S: Final = 25.0
"""Beside the time between SIGTERM and SIGKILL, what a pilot needs to write all down at its end."""
_FAREWELL_SHARE: Final = 0.25
_MB: Final = 10**6
_Size = Annotated[int, Meta(ge=0, le=10**18, extra={"notation": SIZE})]
_Ram = Annotated[int, Meta(ge=_MB, le=10**18, extra={"notation": SIZE})]
_Duration = Annotated[float, Meta(ge=0, le=10**10, extra={"notation": DURATION})]
_Name = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z][A-Za-z0-9_-]{0,39}\Z",
        extra={"words": "a name: a letter, then at most 39 letters, digits, - and _"},
    ),
]
_Line = Annotated[
    str, Meta(pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z", extra={"words": "one line of text"})
]
_Word = Annotated[
    str, Meta(pattern=r"\A(?!-)[^\s\x00-\x1f\x7f]*\Z", extra={"words": "a name of a host"})
]
_Count = Annotated[int, Meta(ge=0, le=HUGE)]
_SHARED: Final = ("queue", "account", "prologue", "directives")
"""What the job of a runner takes from the defaults."""
_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+))")

_HEAD: Final = """\
# A site: the data centre where pilots run. Keys behind a # have their default.
# Look at what it says with: euclid-dask site show FILE
"""
_TAIL: Final = """
# What the templates have in common, unless they say otherwise: any key of a template. The job of
# a runner takes queue, account, prologue and directives from here.
#[defaults]
#queue = "htc"
#account = "euclid"
#prologue = ["module load python"]

# Shell text that is sourced before a task, by the edenVersion of its data file.
#[environments]
#default = "/opt/euclid/activate.sh"
#"eden-3.1" = "/opt/euclid/eden-3.1/activate.sh"
"""


class Template(Value, frozen=True, kw_only=True):
    """A kind of pilot: what its jobs ask the batch system for, and how many there may be."""

    cores: Annotated[float, Meta(gt=0, le=HUGE, description="CPU cores of a pilot")]
    ram_bytes: Annotated[_Ram, Meta(description="RAM of a pilot")] = field(name="ram")
    walltime_s: Annotated[
        float,
        Meta(
            gt=0,
            le=10**10,
            description="how long the batch system lets a pilot run",
            extra={"notation": DURATION},
        ),
    ] = field(name="walltime")
    disk_bytes: Annotated[
        _Size, Meta(description="free disk that a pilot must find in its scratch; 0 for any")
    ] = field(name="disk", default=0)
    slots: Annotated[
        _Count, Meta(description="most bundles of tasks at once in a pilot; 0 for 4 a core")
    ] = 0
    max_running: Annotated[
        _Count, Meta(description="most pilots of this kind, with those queued; 0 turns it off")
    ] = 10
    max_queued: Annotated[
        _Count, Meta(description="most pilots of this kind that wait in the queue")
    ] = 4
    boot_s: Annotated[
        _Duration, Meta(description="time from the start of a job until its pilot works")
    ] = field(name="boot", default=60.0)
    queue: Annotated[_Line, Meta(description="queue or partition; empty for the usual one")] = ""
    account: Annotated[
        _Line, Meta(description="account or project to be charged; empty for the usual one")
    ] = ""
    prologue: Annotated[
        tuple[_Line, ...], Meta(description="lines of shell that a job runs before the pilot")
    ] = ()
    directives: Annotated[
        tuple[_Line, ...],
        Meta(description='more options of the job, without "#SBATCH" or the like'),
    ] = ()

    @property
    def effective_slots(self) -> int:
        """Return the number of slots, the usual one if none was chosen."""
        return self.slots or usual_slots(self.cores)


class RunnerJob(Value, frozen=True, kw_only=True):
    """The job that a runner is in, where it was begun with `submit`."""

    cores: Annotated[float, Meta(gt=0, le=HUGE, description="CPU cores of the runner")] = 1.0
    ram_bytes: Annotated[_Ram, Meta(description="RAM of the runner")] = field(
        name="ram", default=4 * 10**9
    )
    walltime_s: Annotated[
        float,
        Meta(
            gt=0,
            le=10**10,
            description="how long the batch system lets the runner run",
            extra={"notation": DURATION},
        ),
    ] = field(name="walltime", default=86400.0)
    queue: Annotated[_Line, Meta(description="queue or partition; empty for the usual one")] = ""
    account: Annotated[
        _Line, Meta(description="account or project to be charged; empty for the usual one")
    ] = ""
    prologue: Annotated[
        tuple[_Line, ...], Meta(description="lines of shell that the job runs before the runner")
    ] = ()
    directives: Annotated[
        tuple[_Line, ...],
        Meta(description='more options of the job, without "#SBATCH" or the like'),
    ] = ()

    def template(self) -> Template:
        """Return the same as a template."""
        return Template(**msgspec.structs.asdict(self))


class Limits(Value, frozen=True, kw_only=True):
    """Limits of all pilots together, and of tasks."""

    max_running: Annotated[
        _Count, Meta(description="most pilots of all kinds, with those queued; 0 for no limit")
    ] = 0
    max_queued: Annotated[
        _Count, Meta(description="most pilots of all kinds that wait in the queue; 0 for no limit")
    ] = 0
    enforce_ram: Annotated[
        bool, Meta(description="kill a task that uses more RAM than it asked for")
    ] = True
    enforce_walltime: Annotated[
        bool, Meta(description="kill a task that runs longer than it asked for")
    ] = True
    grace_s: Annotated[_Duration, Meta(description="time between SIGTERM and SIGKILL")] = field(
        name="grace", default=3.0
    )


class Retries(Value, frozen=True, kw_only=True):
    """How often a task is tried again."""

    science: Annotated[
        _Count, Meta(description="further attempts of a task whose program failed")
    ] = 0
    larger: Annotated[
        _Count, Meta(description="further attempts with more RAM or walltime, after a limit")
    ] = 1
    lost: Annotated[
        _Count, Meta(description="further attempts of a task that was lost with its pilot")
    ] = 5


class Pilots(Value, frozen=True, kw_only=True):
    """How pilots are started, and when they end."""

    python: Annotated[
        _Line, Meta(description="Python of the pilots, on the nodes; empty for the runner's own")
    ] = ""
    scratch: Annotated[
        _Line, Meta(description="folder on the nodes, may hold $VARIABLES; empty for $TMPDIR")
    ] = ""
    idle_timeout_s: Annotated[
        _Duration, Meta(description="a pilot without work for so long ends; 0s for never")
    ] = field(name="idle_timeout", default=300.0)
    margin_s: Annotated[
        _Duration, Meta(description="time before its end in which no task of a pilot shall run")
    ] = field(name="margin", default=60.0)
    lease_s: Annotated[
        _Duration,
        Meta(
            description="a pilot that cannot reach the workspace for so long stops its tasks until "
            "it can; so they can start elsewhere soon after its job is over, whatever became of "
            "it. 0s: never; then tasks of a pilot that said nothing wait until somebody removes "
            "its lease"
        ),
    ] = field(name="lease", default=60.0)
    failed_starts: Annotated[
        _Count,
        Meta(description="after so many failed starts in a row a template is given up; 0: never"),
    ] = 3
    max_troubles: Annotated[
        _Count,
        Meta(
            description="after so many attempts in a row that a host lost, or failed, it is "
            "quarantined, if others went well elsewhere; 0: never"
        ),
    ] = 3
    quarantine_s: Annotated[
        _Duration, Meta(description="for so long a host that is quarantined takes nothing new")
    ] = field(name="quarantine", default=3600.0)


class Network(Value, frozen=True, kw_only=True):
    """Where the runner listens for its pilots."""

    interface: Annotated[
        _Line, Meta(description="network interface that the nodes reach, like ib0; empty: any")
    ] = ""
    port: Annotated[
        int, Meta(ge=0, le=65535, description="TCP port, for firewalls; 0 for any free one")
    ] = 0


class Intervals(Value, frozen=True, kw_only=True):
    """How often, and how patiently, the batch system is asked."""

    poll_s: Annotated[_Duration, Meta(description="time between two looks at the queue")] = field(
        name="poll", default=20.0
    )
    submit_s: Annotated[_Duration, Meta(description="least time between two submitted jobs")] = (
        field(name="submit", default=1.0)
    )
    command_s: Annotated[_Duration, Meta(description="longest time that a batch command takes")] = (
        field(name="command", default=60.0)
    )
    sample_s: Annotated[_Duration, Meta(description="time between two samples of a profile")] = (
        field(name="sample", default=1.0)
    )


class Files(Value, frozen=True, kw_only=True):
    """Where files are known, and how the hosts of the site see them."""

    registry: Annotated[
        _Line,
        Meta(description="a file (SQLite) or postgresql://host/database; empty: the user's own"),
    ] = ""
    zone: Annotated[
        _Name, Meta(description="the name by which ways to storages know the hosts of the site")
    ] = "local"
    credentials: Annotated[
        _Line, Meta(description="file of users and passwords or keys, by name; empty for none")
    ] = ""


class Site(Value, frozen=True, kw_only=True):
    """A data centre: where runs work, its batch system, and the pilots to have there."""

    name: Annotated[_Name, Meta(description="name of the site, in the names of its jobs")] = "site"
    workspace: Annotated[
        _Line,
        Meta(description="folder that this machine and all nodes share; may hold $VARIABLES"),
    ]
    batch: Annotated[BatchKind, Meta(description="the batch system")]
    batch_host: Annotated[
        _Word,
        Meta(description="host on which its commands run, by ssh without a password; empty: here"),
    ] = ""
    policy: Annotated[_Line, Meta(description="which ready task goes first")] = "fifo"
    templates: dict[_Name, Template]
    environments: dict[_Line, _Line] = {}
    limits: Limits = Limits()
    retries: Retries = Retries()
    pilots: Pilots = Pilots()
    network: Network = Network()
    intervals: Intervals = Intervals()
    runner: RunnerJob = RunnerJob()
    data: Files = Files()

    @property
    def rules(self) -> Rules:
        """Return the rules by which its pilots are requested and used."""
        return Rules(
            margin_s=self.pilots.margin_s,
            idle_s=self.pilots.idle_timeout_s or math.inf,
            max_failures=self.pilots.failed_starts or HUGE,
            max_troubles=self.pilots.max_troubles or HUGE,
            quarantine_s=self.pilots.quarantine_s,
            max_running=self.limits.max_running,
            max_queued=self.limits.max_queued,
        )

    def farewell_s(self, template: Template) -> float:
        """Return how long before the end of its job a pilot ends what runs there."""
        return min(self.limits.grace_s + _FAREWELL_S, template.walltime_s * _FAREWELL_SHARE)

    def pilot_templates(self) -> tuple[PilotTemplate, ...]:
        """Return the templates as the planner needs them, those that are off too."""
        return tuple(
            PilotTemplate(
                name=name,
                offer=Resources(
                    cores=template.cores,
                    ram_bytes=template.ram_bytes,
                    walltime_s=template.walltime_s,
                    disk_bytes=template.disk_bytes,
                ),
                slots=template.effective_slots,
                max_running=template.max_running,
                max_queued=template.max_queued,
                boot_s=template.boot_s,
                farewell_s=self.farewell_s(template),
            )
            for name, template in self.templates.items()
        )


def read_site(path: Path, environment: Mapping[str, str]) -> Site:
    """Return what a site file says; `$NAME` in the workspace is taken from `environment`.

    Raises:
        SiteError: It cannot be read, is not TOML, or keys or values mean nothing. All of them are
            named, with their lines.
    """
    page = open_page(path)
    _fill_in(page)
    site = site_of(page)
    if site is not None:
        site = replace(site, workspace=_expanded(page, site.workspace, environment))
    if site is None or page.problems:
        raise SiteError(
            "\n".join(page.problems),
            hint="`euclid-dask site new` prints all keys and what they mean",
        )
    return site


def site_of(page: Page) -> Site | None:
    """Return the site that tables describe; None, with notes in `page`, if something is wrong."""
    site = page.read(Site, page.tables)
    if isinstance(site, Site):
        _check(page, site)
        site = replace(site, environments=_versions(page, site.environments))
    return None if page.problems else site


def render_site(site: Site, *, complete: bool = False) -> str:
    """Return a site as TOML with comments; with `complete` defaults too, commented out."""
    return "\n".join(render_table(site, complete=complete))


def example() -> str:
    """Return a site file to start from, with every key."""
    template = Template(cores=8, ram_bytes=16 * 10**9, walltime_s=86400.0)
    site = Site(workspace="/scratch/$USER/euclid", batch="slurm", templates={"medium": template})
    return f"{_HEAD}\n{render_site(site, complete=True)}{_TAIL}"


def tables_of(site: Site) -> dict[str, Any]:
    """Return all values of a site, with the defaults filled in; bytes and seconds are numbers."""
    tables = {name: _asdict(value) for name, value in _asdict(site).items()}
    tables["templates"] = {
        name: {**_asdict(template), "slots": template.effective_slots}
        for name, template in site.templates.items()
    }
    return tables


def _asdict(value: Any) -> Any:
    return msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else value


# ---- checks


def _fill_in(page: Page) -> None:
    """Copy what the table `[defaults]` says into each template that does not say it itself.

    The job of a runner takes what it has in common with pilots.
    """
    defaults, templates = page.tables.pop("defaults", {}), page.tables.get("templates")
    if not isinstance(defaults, dict):
        page.wrong(("defaults",), "is not a table")
        return
    for name, own in templates.items() if isinstance(templates, dict) else ():
        _inherit(page, ("templates", name), own, defaults)
    shared = {key: defaults[key] for key in _SHARED if key in defaults}
    if shared:
        _inherit(page, ("runner",), page.tables.setdefault("runner", {}), shared)


def _inherit(page: Page, at: tuple[str, ...], own: object, defaults: Mapping[str, Any]) -> None:
    if isinstance(own, dict):
        for key in defaults.keys() - own.keys():
            own[key] = defaults[key]
            page.aliases[*at, key] = ("defaults", key)


def _check(page: Page, site: Site) -> None:
    if not site.templates:
        page.wrong(("templates",), "there is none; write [templates.medium] and what it offers")
    if site.policy not in POLICIES:
        hint = did_you_mean(site.policy, POLICIES, "policies")
        page.wrong(("policy",), f"there is no policy '{site.policy}'; {hint}")
    paths = {
        ("workspace",): site.workspace,
        ("pilots", "scratch"): site.pilots.scratch or "/",
        ("data", "registry"): "/" if "://" in site.data.registry else site.data.registry or "/",
        ("data", "credentials"): site.data.credentials or "/",
    }
    for key, path in paths.items():
        if not path.startswith(("/", "$")):
            page.wrong(key, f"'{path}' is not an absolute path")
    of_jobs = {("templates", name): one.directives for name, one in site.templates.items()}
    for key, directives in (of_jobs | {("runner",): site.runner.directives}).items():
        for line in (line for line in directives if line.startswith("#")):
            hint = f"write '{line.partition(' ')[2].strip()}'"
            page.wrong((*key, "directives"), f"'{line}' begins with #; {hint}")


def _versions(page: Page, environments: Mapping[str, str]) -> dict[str, str]:
    """Return the shell texts by version in lower case."""
    found: dict[str, str] = {}
    for version, script in environments.items():
        if version.lower() in found:
            page.wrong(("environments", version), "is there twice; case does not count")
        found[version.lower()] = script
    return found


def _expanded(page: Page, workspace: str, environment: Mapping[str, str]) -> str:
    names = [first or second for first, second in _VARIABLE.findall(workspace)]
    unset = [name for name in names if name not in environment]
    if unset:
        page.wrong(("workspace",), f"the environment variable {unset[0]} is not set")
        return workspace
    found = _VARIABLE.sub(lambda match: environment[match[1] or match[2]], workspace)
    if not found.startswith("/"):
        page.wrong(("workspace",), f"'{found}' is not an absolute path")
    return found


# ---- doubts


def doubts(site: Site, machine: Resources) -> tuple[str, ...]:
    """Return what is legal in a site but hardly meant; `machine` is what this host offers."""
    return tuple(_doubts(site, machine))


def _doubts(site: Site, machine: Resources) -> Iterator[str]:
    if not Path(site.workspace).is_dir():
        yield f"workspace: there is no folder {site.workspace} on this machine"
    if not any(template.max_running for template in site.templates.values()):
        yield "templates: all are off (max_running = 0), so nothing will run"
    for name, template in site.templates.items():
        for doubt in _doubts_of(site, template, machine):
            yield f"templates.{name}: {doubt}"
    for version, script in site.environments.items():
        file = script.partition(" ")[0].partition(";")[0]
        if file.startswith("/") and not Path(file).exists():
            yield f"environments: {version}: there is no {file} on this machine"


def _doubts_of(site: Site, template: Template, machine: Resources) -> Iterator[str]:
    if template.max_running and not template.max_queued:
        yield "max_queued is 0, so none is ever submitted"
    if template.walltime_s < 10 * template.boot_s:
        yield "walltime is less than ten times boot: much of it is spent on starting"
    if template.walltime_s <= template.boot_s + site.pilots.margin_s:
        yield "walltime is not more than boot and pilots.margin together: no task fits"
    useless = {"local": ("queue", "account", "directives"), "htcondor": ("queue",)}
    for key in useless.get(site.batch, ()):
        if getattr(template, key):
            yield f"{key} has no meaning where batch is {site.batch}"
    is_larger = template.cores > machine.cores or template.ram_bytes > machine.ram_bytes
    if site.batch == "local" and is_larger:
        yield (
            f"it is larger than this machine, which has {machine.cores:g} cores "
            f"and {size_text(machine.ram_bytes)}"
        )
