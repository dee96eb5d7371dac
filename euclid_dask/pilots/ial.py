"""The IAL's own configuration files, told as a site of ours.

They are lines `key=value`, in which case does not count. What has a counterpart is taken over;
every other key is kept as a comment, with why, and nothing is dropped silently but secrets.

Source: the public debug configurations of a wrapper of the original runner, 2017 to 2022, and
those of its public prototype, 2015.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from euclid_dask.core.errors import SiteError
from euclid_dask.data.regular import regular
from euclid_dask.pilots.site import DEFAULT_ENVIRONMENT, Site, render_site, site_of
from euclid_dask.pilots.tables import Key, Page

Convert = Callable[[str], Any]
"""From a value of the IAL to one of TOML; what cannot be converted is refused later, by line."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A line without a counterpart here."""

    line: int
    text: str
    why: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}: {self.why}"


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a configuration: the site, what to check in it, what it has no place for."""

    site: Site
    checks: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _batch(scheduler: str) -> str:
    word = scheduler.lower()
    return {"pbs": "openpbs", "pbspro": "openpbs", "gridengine": "sge", "condor": "htcondor"}.get(
        word, word
    )


_TEMPLATE: Final[dict[str, tuple[str, Convert]]] = {
    "cpucores": ("cores", _number),
    "cores": ("cores", _number),
    "rssinmb": ("ram", "{}MB".format),
    "raminmb": ("ram", "{}MB".format),
    "walltimeinmin": ("walltime", "{}min".format),
    "maxinstances": ("max_running", _number),
    "maxqueued": ("max_queued", _number),
}
_SETTINGS: Final[dict[str, tuple[Key, Convert]]] = {
    "general.instancename": (("name",), str),
    "workspace.rootpath": (("workspace",), str),
    "wsconfig.workspaceroot": (("workspace",), str),
    "drm.defaultqueue.scheduler": (("batch",), _batch),
    "drm.defaultqueue.destination": (("defaults", "queue"), str),
    "pilots.maxidletimeinsec": (("pilots", "idle_timeout"), "{}s".format),
    "pilotmanager.module_port": (("network", "port"), _number),
    "drm_access.drmcallstimeoutinsec": (("intervals", "command"), "{}s".format),
    "drm_access.submitupdateintervalinsec": (("intervals", "submit"), "{}s".format),
    "drm_access.checkupdateintervalinsec": (("intervals", "poll"), "{}s".format),
    "profiling.updateintervalinsec": (("intervals", "sample"), "{}s".format),
    "payload_job.retries": (("retries", "science"), _number),
    "numjobexecutionretries": (("retries", "science"), _number),
}
_NO_PLACE: Final = (
    (r"pilots?\..+\.loglevel", "pilots have one level of logs"),
    (r"pilots?\..+\.starvemodeinpercent", "a task goes to any free pilot that holds it"),
    (r"pilots\..*interval.*", "nothing waits for a tick: news is acted upon when it comes"),
    (r"pilots\.(url_to|http|maxconnection).*", "pilots find the runner through the workspace"),
    (r"pilots\.taskcmd", "the program of the pilots is part of euclid_dask"),
    (r"pilots\.sourcingscript", "pilots need only their Python; write it as a prologue if not so"),
    (r"pilotmanager\..*", "the runner is the pilot manager"),
    (r"(drm\.)?submissionhost\..*|sshpool\..*|drm_access\..*|drmconfig\..*|connectionpool\..*",
     "batch commands are run on the machine of the runner"),
    (r"credentials\..*", "nobody logs in anywhere"),
    (r"(workspace|wsconfig)\..*", "the workspace is a folder that all machines share"),
    (r"(engine|traverser)\..*", "nothing waits for a tick: news is acted upon when it comes"),
    (r"concurrentruns|maxconcurrentjobs|numjob.*|queuesubmit.*|submittim.*",
     "max_running and max_queued say how many pilots there are"),
    (r"payload_job\.expandcpucoresenvvar", "the thread variables are always set"),
    (r"(payload_job\.)?tarlogfiles", "logs are plain files"),
    (r"profiling\..*", "every attempt is profiled"),
    (r"persistence\..*|databasedirectory", "runs live in their workdirs until `clean`"),
    (r"localcache|pkgrepository|pipelinedir", "this is said for a run, not for a site"),
    (r"(webserver|messaging|logging)\..*", "there is no server"),
    (r"general\..*|instancename", "the workspace is where all is"),
)  # fmt: skip
_PLACEHOLDERS: Final = {"workspace": "/path/of/the/workspace", "batch": "slurm"}
_PLACEHOLDER_PILOT: Final = {"cores": 8, "ram": "16GB", "walltime": "1d"}
_ENVIRONMENT: Final = re.compile(r"environment\.sourcingscripts(?:default|\.(.+))")
_SECRET: Final = re.compile("password|secret|token|username|credential", re.IGNORECASE)
_ODD: Final = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(slots=True)
class _Reader:
    """Collects tables of ours from the lines of a configuration."""

    page: Page
    checks: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def take(self, number: int, key: str, value: str) -> None:
        """Take one line over, or keep it as a comment."""
        word = key.lower().removeprefix("pipelinerunner.")
        bare = re.sub(r"\s#.*$", "", value).strip().strip("\"'")
        pilot = re.fullmatch(r"pilots?\.(.+)\.([^.]+)", word)
        environment = re.fullmatch(_ENVIRONMENT, word)
        if not bare:
            self.leave(number, key, value, "it is empty")
        elif environment is not None:
            version = environment[1] or DEFAULT_ENVIRONMENT
            self.put(("environments", version), value, number, key)
        elif pilot is not None and pilot[2] in _TEMPLATE:
            name, convert = _TEMPLATE[pilot[2]]
            kind = key.split(".")[-len(pilot[1].split(".")) - 1 : -1]
            self.put(("templates", self.name("_".join(kind)), name), convert(bare), number, key)
        elif word in _SETTINGS:
            target, convert = _SETTINGS[word]
            converted = self.name(bare) if target == ("name",) else convert(bare)
            self.put(target, converted, number, key)
        else:
            self.leave(number, key, value, _why(word))

    def put(self, target: Key, value: Any, number: int, key: str) -> None:
        """Set a key of ours."""
        table = self.page.tables
        for word in target[:-1]:
            table = table.setdefault(word, {})
        if target[-1] in table:
            self.checks.append(f"{_printable(key)} is there more than once; the last one counts")
        table[target[-1]] = value
        theirs = tuple(key.split("."))
        self.page.aliases[target] = theirs
        self.page.lines[theirs] = number

    def leave(self, number: int, key: str, value: str, why: str) -> None:
        """Keep a line as a comment, without secrets."""
        shown = "(not copied)" if _SECRET.search(key) and value else value
        self.left_out.append(LeftOut(number, _printable(f"{key}={shown}"), why))

    def name(self, name: str) -> str:
        """Return a name that is legal here."""
        legal = _ODD.sub("_", name)[:40]
        legal = legal if legal[:1].isalpha() else f"x{legal}"[:40]
        if legal != name:
            note = f"the name {_printable(name)} is written {legal}"
            self.checks += [] if note in self.checks else [note]
        return legal

    def guessed(self, key: str, value: object) -> None:
        """Tell that a value is our own."""
        self.checks.append(f"{key} is not in the configuration: {value} is a guess")

    def complete(self) -> None:
        """Fill in what must be there and is not in the configuration."""
        tables = self.page.tables
        for key, value in _PLACEHOLDERS.items():
            if key not in tables:
                tables[key] = value
                self.guessed(key, value)
        if "templates" not in tables:
            tables["templates"] = {"medium": {}}
        defaults = tables.pop("defaults", {})
        for name, template in tables["templates"].items():
            template.update({key: defaults[key] for key in defaults})
            for key in [key for key in _PLACEHOLDER_PILOT if key not in template]:
                template[key] = _PLACEHOLDER_PILOT[key]
                self.guessed(f"templates.{name}.{key}", template[key])
        if tables["batch"] == "openpbs":
            self.checks.append('batch: write "torque" if this PBS is Torque')


def read_ial(path: Path) -> Imported:
    """Return the site that a configuration of the IAL describes.

    Raises:
        SiteError: It cannot be read, is no such configuration, or values mean nothing. All of
            them are named, with their lines.
    """
    reader = _Reader(Page(str(path), {}, {}))
    for number, line in _lines(path):
        key, equals, value = (part.strip() for part in line.partition("="))
        if equals and key:
            reader.take(number, key, value)
        else:
            reader.leave(number, _printable(line), "", "it is not of the form key=value")
    if not reader.page.tables:
        raise SiteError(
            f"{path}: this is no configuration of the IAL",
            hint="one has lines like pipelinerunner.pilots.genericLight.CPUcores=2",
        )
    reader.complete()
    site = site_of(reader.page)
    if site is None:
        raise SiteError("\n".join(reader.page.problems), hint="correct these lines, or remove them")
    return Imported(site, tuple(reader.checks), tuple(reader.left_out))


def render_import(imported: Imported, source: str) -> str:
    """Return the site file that a configuration became, with comments on what did not fit."""
    lines = [f"# Made from {_printable(source)}"]
    if imported.checks:
        lines += ["#", "# Please check:", *(f"#   {check}" for check in imported.checks)]
    lines += ["", render_site(imported.site).rstrip()]
    if imported.left_out:
        lines += ["", "# What has no place here:", "#"]
        lines += [f"#   {left.text}    # {left.why}" for left in imported.left_out]
    return "\n".join(lines) + "\n"


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something; `[section]` is the beginning of the keys below it."""
    try:
        text = regular(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise SiteError(f"cannot read {path}: {reason}") from error
    section = ""
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if found := re.fullmatch(r"\[(.+)\]", line):
            section = f"{found[1].strip()}."
        elif line and line[0] not in "#;":
            yield number, section + line


def _why(word: str) -> str:
    return next((why for pattern, why in _NO_PLACE if re.fullmatch(pattern, word)), "unknown")


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
