"""Sites read from TOML: what six lines say, what is refused, and back to TOML."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from euclid_dask.core.errors import SiteError
from euclid_dask.core.pilots import PilotTemplate
from euclid_dask.core.resources import GB, Resources
from euclid_dask.pilots.ial import read_ial
from euclid_dask.pilots.scripts import SYSTEMS
from euclid_dask.pilots.site import (
    BatchKind,
    Intervals,
    Limits,
    Network,
    Pilots,
    Retries,
    Site,
    Template,
    doubts,
    example,
    read_site,
    render_site,
    site_of,
)
from euclid_dask.pilots.tables import Page

SIX_LINES = """\
workspace = "/scratch/euclid"
batch = "slurm"
[templates.medium]
cores = 8
ram = "16GB"
walltime = "1d"
"""
MACHINE = Resources(cores=2, ram_bytes=8 * GB)

Read = Callable[..., Site]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Return a function from the text of a site file to the site."""
    monkeypatch.chdir(tmp_path)

    def reader(text: str, **environment: str) -> Site:
        Path("site.toml").write_text(text)
        return read_site(Path("site.toml"), environment)

    return reader


def refusal(read: Read, text: str, **environment: str) -> list[str]:
    with pytest.raises(SiteError) as caught:
        read(text, **environment)
    return caught.value.message.splitlines()


# ---- what is said


def test_six_lines_are_a_site(read: Read) -> None:
    assert read(SIX_LINES).pilot_templates() == (
        PilotTemplate(
            name="medium",
            offer=Resources(cores=8, ram_bytes=16 * GB, walltime_s=86400),
            slots=32,
            max_running=10,
            max_queued=4,
            farewell_s=28.0,
        ),
    )


def test_a_template_has_what_the_defaults_say_unless_it_says_otherwise(read: Read) -> None:
    site = read(
        SIX_LINES
        + '[templates.heavy]\ncores = 16\nram = "32GB"\nqueue = "big"\n'
        + '[defaults]\nqueue = "htc"\naccount = "euclid"\nwalltime = "3d"\n'
    )
    medium, heavy = site.templates["medium"], site.templates["heavy"]
    assert (medium.queue, medium.account, medium.walltime_s) == ("htc", "euclid", 86400)
    assert (heavy.queue, heavy.account, heavy.walltime_s) == ("big", "euclid", 3 * 86400)


def test_variables_in_the_workspace_are_filled_in(read: Read) -> None:
    text = SIX_LINES.replace("/scratch/euclid", "/scratch/$USER/${WHAT}")
    assert read(text, USER="me", WHAT="runs").workspace == "/scratch/me/runs"


def test_versions_are_read_in_lower_case(read: Read) -> None:
    site = read(SIX_LINES + '[environments]\n"EDEN-2.1" = "/opt/a.sh"\n')
    assert site.environments == {"eden-2.1": "/opt/a.sh"}


def test_a_walltime_may_be_written_as_a_time_of_toml(read: Read) -> None:
    assert read(SIX_LINES.replace('"1d"', "02:30:00")).templates["medium"].walltime_s == 9000


def test_a_site_has_rules_for_its_pilots(read: Read) -> None:
    pilots = '[pilots]\nmargin = "2min"\nidle_timeout = "0s"\nfailed_starts = 7\n'
    pilots += 'max_troubles = 5\nquarantine = "10min"\n'
    rules = read(SIX_LINES + pilots + "[limits]\nmax_running = 5\nmax_queued = 2\n").rules
    assert (rules.margin_s, rules.idle_s, rules.max_failures) == (120, math.inf, 7)
    assert (rules.max_running, rules.max_queued) == (5, 2)
    assert (rules.max_troubles, rules.quarantine_s) == (5, 600)


# ---- what is refused


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("walltime", "wallclock", "6: templates.medium.wallclock: there is no such key; "),
        ("cores", "cpus", "4: templates.medium.cpus: there is no such key; "),
        ("8", "-8", "4: templates.medium.cores: -8 is not a number above 0"),
        ("8", "nan", "4: templates.medium.cores: nan is not a number above 0"),
        ("8", "1e999", "4: templates.medium.cores: "),
        ("8", "true", "4: templates.medium.cores: true is not a number above 0"),
        ('"16GB"', "16", "5: templates.medium.ram: 16 is not a size like"),
        ('"16GB"', '"16"', '5: templates.medium.ram: "16" is not a size like'),
        ('"16GB"', '"16 gigs"', '5: templates.medium.ram: "16 gigs" is not a size like'),
        ('"1d"', '"02:00"', '6: templates.medium.walltime: "02:00" is not a duration like'),
        ('"1d"', '"0s"', '6: templates.medium.walltime: "0s" is not a duration like'),
        ('"slurm"', '"slrum"', '2: batch: "slrum" is not one of: htcondor, local, openpbs, '),
        ('"/scratch', '"scratch', "1: workspace: 'scratch/euclid' is not an absolute path"),
        ('"/scratch', '"$HERE', "1: workspace: the environment variable HERE is not set"),
        ('"slurm"', '"slurm"\npolicy = "fife"', "3: policy: there is no policy 'fife'; did you"),
        ("[templates.medium]", '[templates."my own"]', '3: templates."my own": "my own" is not'),
        ('"1d"', '"1d"\nqueue = "a\\nb"', '7: templates.medium.queue: "a\\nb" is not one line'),
        (
            '"1d"',
            '"1d"\ndirectives = [\n  "--x",\n  "#SBATCH -C y",\n]',
            "7: templates.medium.directives: '#SBATCH -C y' begins with #; write '-C y'",
        ),
        ('"1d"', '"1d"\n[network]\nport = 65536', "8: network.port: 65536 is not a whole"),
        ('"1d"', '"1d"\n[defaults]\nquue = ""', "8: defaults.quue: there is no such key; did"),
        ('"1d"', '"1d"\n[environments]\nA = ""\na = ""', "9: environments.a: is there twice"),
        ('"1d"', '"1d"\n[data]\nregistry = "r.db"', "8: data.registry: 'r.db' is not an absolute"),
        ("cores = 8\n", "", "3: templates.medium: 'cores' is missing: a number above 0"),
        ("= 8", "= 8 8", "4: not TOML: "),
        ("[templates.medium]", "[[templates.medium]]", "3: templates.medium: a list is not a"),
    ],
)
def test_a_mistake_is_told_with_its_line(read: Read, old: str, new: str, told: str) -> None:
    assert old in SIX_LINES
    messages = refusal(read, SIX_LINES.replace(old, new, 1))
    assert [message for message in messages if message.startswith(f"site.toml:{told}")], messages


def test_all_mistakes_are_told_at_once_and_in_order(read: Read) -> None:
    messages = refusal(read, SIX_LINES.replace("8", "0").replace("slurm", "sun").replace("1d", ""))
    assert [message.split(":")[1] for message in messages] == ["2", "4", "6"]


def test_the_nearest_key_is_told(read: Read) -> None:
    (message,) = refusal(read, SIX_LINES + 'prolog = ["a"]\n')
    assert message.startswith(
        "site.toml:7: templates.medium.prolog: there is no such key; did you mean 'prologue'? keys:"
    )


def test_a_mistake_in_the_defaults_is_told_once(read: Read) -> None:
    text = SIX_LINES + SIX_LINES[SIX_LINES.index("[") :].replace("medium", "heavy")
    assert len(refusal(read, text + "[defaults]\nslots = -1\n")) == 1


def test_a_site_without_templates_is_refused(read: Read) -> None:
    (message,) = refusal(read, SIX_LINES[: SIX_LINES.index("[")])
    assert message == "site.toml: 'templates' is missing: a table"


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "site.toml", tmp_path / "none.toml", tmp_path):
        with pytest.raises(SiteError, match="cannot read"):
            read_site(path, {})


CHARACTERS = st.characters(exclude_categories=["Cs"])
"""What UTF-8 can have; to list that by `codec=` takes seconds."""


@given(st.text(CHARACTERS) | st.text(alphabet='[]{}"=.,#\n abc1-:'))
def test_any_text_is_a_site_or_refused(tmp_path_factory: Any, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SiteError):
        read_site(path, {})


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "9" * 5000, ".".join("a" * 5000)])
def test_deep_and_long_values_are_refused(read: Read, text: str) -> None:
    assert refusal(read, text)


WORDS = st.text(CHARACTERS, max_size=5)
JUNK = st.recursive(
    st.booleans() | st.integers() | st.floats() | WORDS | st.times() | st.dates(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner),
    max_leaves=5,
)


@given(st.sampled_from(Template.__struct_encode_fields__), JUNK)
def test_any_value_of_a_key_is_taken_or_refused(key: str, value: Any) -> None:
    template = {"cores": 8, "ram": "16GB", "walltime": "1d", key: value}
    page = Page("x", {"workspace": "/w", "batch": "sge", "templates": {"t": template}}, {})
    assert (site_of(page) is None) == bool(page.problems)


# ---- back to TOML

lines = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
names = st.from_regex(r"\A[A-Za-z][A-Za-z0-9_-]{0,39}\Z", alphabet=CHARACTERS)
sizes = st.integers(0, 10**15)
spans = st.integers(0, 10**9).map(lambda ms: ms / 1000)
counts = st.integers(0, 1000)
templates = st.builds(
    Template,
    cores=st.floats(0.001, 1000) | st.integers(1, 128).map(float),
    ram_bytes=st.integers(10**6, 10**15),
    walltime_s=spans.map(lambda s: s + 1),
    disk_bytes=sizes,
    slots=counts,
    max_running=counts,
    max_queued=counts,
    boot_s=spans,
    queue=lines,
    account=lines,
    prologue=st.lists(lines, max_size=3).map(tuple),
    directives=st.lists(lines.filter(lambda line: line[:1] != "#"), max_size=3).map(tuple),
)
sites = st.builds(
    Site,
    name=names,
    workspace=lines.map(lambda line: "/" + line.replace("$", "")),
    batch=st.sampled_from(["slurm", "openpbs", "torque", "sge", "htcondor", "local"]),
    policy=st.just("critical-path") | st.just("fifo"),
    templates=st.dictionaries(names, templates, min_size=1, max_size=3),
    environments=st.dictionaries(lines.map(str.lower), lines, max_size=3).filter(
        lambda found: all(key == key.lower() for key in found)
    ),
    limits=st.builds(Limits, max_running=counts, enforce_ram=st.booleans(), grace_s=spans),
    retries=st.builds(Retries, science=counts, larger=counts, lost=counts),
    pilots=st.builds(Pilots, python=lines, idle_timeout_s=spans, failed_starts=counts),
    network=st.builds(Network, interface=lines, port=st.integers(0, 65535)),
    intervals=st.builds(Intervals, poll_s=spans, submit_s=spans, command_s=spans),
)


@settings(deadline=None)
@given(sites, st.booleans())
def test_a_site_is_written_so_that_it_is_read_as_the_same(
    tmp_path_factory: Any, site: Site, complete: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.toml"
    path.write_text(render_site(site, complete=complete), encoding="utf-8", newline="")
    assert read_site(path, {}) == site


def test_the_example_is_a_site_and_shows_every_key(read: Read) -> None:
    text = example()
    assert read(text, USER="me").templates["medium"].cores == 8
    uncommented = "\n".join(
        line.removeprefix("#") for line in text.splitlines() if not line.startswith("# ")
    )
    assert read(uncommented, USER="me").environments["default"] == "/opt/euclid/activate.sh"


# ---- doubts


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("max_running = 0", "templates: all are off"),
        ("max_queued = 0", "templates.medium: max_queued is 0, so none is ever submitted"),
        ('walltime = "5min"', "templates.medium: walltime is less than ten times boot"),
        ('walltime = "2min"', "templates.medium: walltime is not more than boot and pilots.margin"),
        ('[environments]\na = "/none/a.sh && b"', "environments: a: there is no /none/a.sh on"),
    ],
)
def test_what_is_hardly_meant_is_doubted(read: Read, tmp_path: Path, more: str, told: str) -> None:
    base = SIX_LINES.replace("/scratch/euclid", str(tmp_path))
    assert doubts(read(base), MACHINE) == ()
    base = base.replace('walltime = "1d"\n', "") if "walltime" in more else base
    assert [doubt for doubt in doubts(read(base + more), MACHINE) if doubt.startswith(told)]


def test_a_local_pilot_larger_than_the_machine_is_doubted(read: Read, tmp_path: Path) -> None:
    text = SIX_LINES.replace("/scratch/euclid", str(tmp_path)).replace("slurm", "local")
    assert doubts(read(text), MACHINE) == (
        "templates.medium: it is larger than this machine, which has 2 cores and 8GB",
    )


def test_a_workspace_that_is_not_there_is_doubted(read: Read) -> None:
    text = SIX_LINES.replace("/scratch", "/no/such")
    assert doubts(read(text), MACHINE) == (
        "workspace: there is no folder /no/such/euclid on this machine",
    )


# ---- the batch systems


def test_job_scripts_are_written_for_every_batch_system_of_a_site() -> None:
    assert sorted(get_args(BatchKind)) == sorted(SYSTEMS)


@pytest.mark.parametrize("read", [lambda path: read_site(path, {}), read_ial])
def test_a_pipe_is_not_read(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "site.toml")
    with pytest.raises(SiteError, match=r"site\.toml: it is a pipe or a device, not a file"):
        read(tmp_path / "site.toml")
