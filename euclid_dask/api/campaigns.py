"""Campaigns: one run for each group of products that say the same, in one folder.

    <folder>/campaign.json    what was asked and answered, and the groups: never asked again
    <folder>/campaign.csv     how the run of each group stands, and what it made
    <folder>/<group>/         the workdir of a group

Rule: whatever is cut off, the same call goes on: what is done is not done again.
"""

import csv
import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from euclid_dask.api.asking import (
    ANSWERS,
    collected,
    refuse_many,
    refuse_unread,
)
from euclid_dask.api.data import open_registry
from euclid_dask.api.preparing import Call, prepare, read_call
from euclid_dask.api.results import RunResult, open_run
from euclid_dask.api.running import resume, start
from euclid_dask.api.settings import Script, Settings
from euclid_dask.core.errors import EuclidDaskError, InputError, InternalError
from euclid_dask.core.values import Value, json_reader, to_json
from euclid_dask.data.grouping import Group, group
from euclid_dask.data.local import write_whole
from euclid_dask.data.questions import Answers, freeze
from euclid_dask.dataflow.names import did_you_mean
from euclid_dask.runner.workspace import Workspace

RECORD: Final = "campaign.json"
TABLE: Final = "campaign.csv"

CarryOut = Callable[[Callable[[Settings], RunResult], Settings], RunResult]
"""Carries out a run, as to show its progress meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """What products are grouped by: paths of values, and other paths for some ports.

    A port whose `links` are empty gives all its products to each group.
    """

    by: tuple[str, ...]
    links: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Campaign(Value, frozen=True, kw_only=True):
    """What was asked, and the groups that the answers are in: written once."""

    questions: Mapping[str, str]
    by: tuple[str, ...]
    links: Mapping[str, tuple[str, ...]] = {}
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How the run of a group stands: `planned`, `incomplete`, `refused`, or the state of a run.

    `error` says why there is no run; `outputs` are absolute paths by port.
    """

    group: Group
    state: str
    run: str = ""
    outputs: Mapping[str, Path] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignPlan:
    """A campaign in its folder; it is new, or was begun before.

    `given` is what each run takes besides: what `prepare` takes.
    """

    folder: Path
    campaign: Campaign
    script: Script
    given: Mapping[str, Any]

    def rows(self) -> list[Row]:
        """Return how each group stands, as the disk says."""
        return [_row(self.folder, one) for one in self.campaign.groups]


def plan_campaign(  # noqa: PLR0913  what `run` takes
    script: Script,
    grouping: Grouping,
    *,
    settings: Settings | None = None,
    pkgrepo: str | Path | None = None,
    workdir: str | Path | None = None,
    isf: str | Path | None = None,
    inputs: Mapping[str, str | Path | None],
) -> CampaignPlan:
    """Return the groups of the products that the inputs ask for; change nothing.

    The registry is asked, unless the campaign was begun before. All else is as `run` takes it.

    Raises:
        PipelineError, InputError, SiteError: It cannot run; the message says why.
    """
    settings = settings or Settings()
    call = read_call(
        script, pkgrepo=pkgrepo, workdir=workdir, isf=isf, settings=settings, inputs=inputs
    )
    _refuse_links(call, grouping)
    record = call.workdir / RECORD
    if record.exists():
        campaign = _as_before(record, call, grouping)
    else:
        campaign = Campaign(
            questions=call.questions,
            by=grouping.by,
            links=grouping.links,
            groups=_groups(call, grouping, settings),
        )
    given = {"pkgrepo": pkgrepo, "isf": isf, "inputs": inputs}
    return CampaignPlan(folder=call.workdir, campaign=campaign, script=script, given=given)


def run_campaign(
    plan: CampaignPlan,
    settings: Settings | None = None,
    *,
    carry_out: CarryOut = lambda run, settings: run(settings),
    watch: Callable[[Row, int], None] = lambda _, __: None,
) -> list[Row]:
    """Run the groups of a campaign one after the other, to the end of the last one.

    A group that cannot run, or whose run fails, keeps no other from running. A run that was begun
    before goes on. When a run is cancelled, no other is started.

    Args:
        plan: The groups.
        settings: How to run.
        carry_out: Carries out a run.
        watch: Called with each group before its run, and its number.

    Returns:
        How each group stands.
    """
    settings = settings or Settings()
    plan.folder.mkdir(parents=True, exist_ok=True)
    record = plan.folder / RECORD
    if not record.exists():
        write_whole(record, to_json(plan.campaign) + b"\n")
    rows = plan.rows()
    for number, one in enumerate(plan.campaign.groups):
        if not one.missing:
            watch(rows[number], number + 1)
            rows[number] = _carried_out(plan, one, settings, carry_out)
        write_whole(plan.folder / TABLE, table(plan.campaign, rows).encode())
        if rows[number].state == "cancelled":
            break
    return rows


def table(campaign: Campaign, rows: Sequence[Row]) -> str:
    """Return the table of a campaign as CSV: a row for each group."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ports = sorted({port for row in rows for port in row.outputs})
    writer.writerow([*campaign.by, "folder", "run", "state", *ports, "error"])
    for row in rows:
        outputs = [row.outputs.get(port, "") for port in ports]
        values = row.group.values
        writer.writerow([*values, row.group.folder, row.run, row.state, *outputs, row.error])
    return text.getvalue()


def _carried_out(plan: CampaignPlan, one: Group, settings: Settings, carry_out: CarryOut) -> Row:
    """Carry out the run of a group; return how it stands."""
    try:
        result = carry_out(lambda chosen: _run(plan, one, chosen), settings)
    except InternalError:
        raise
    except EuclidDaskError as error:
        return Row(group=one, state="refused", error=error.message)
    return _of_result(one, result)


def _run(plan: CampaignPlan, one: Group, settings: Settings) -> RunResult:
    workspace = Workspace(plan.folder / one.folder)
    frozen = freeze(Answers(asked=one.asked), workspace.records / ANSWERS)
    settings = dataclasses.replace(settings, answers=frozen)
    if workspace.runs() and not settings.fresh:
        before = open_run(workspace.workdir).run.options
        if workspace.workdir / before.answers == frozen:
            return resume(workspace.workdir, None, settings)
    request, warnings = prepare(
        plan.script, workdir=workspace.workdir, settings=settings, **plan.given
    )
    return start(request, settings, warnings)


def _row(folder: Path, one: Group) -> Row:
    if one.missing:
        ports = ", ".join(one.missing)
        return Row(group=one, state="incomplete", error=f"there is no product for {ports}")
    if not Workspace(folder / one.folder).runs():
        return Row(group=one, state="planned")
    try:
        return _of_result(one, open_run(folder / one.folder))
    except EuclidDaskError as error:
        return Row(group=one, state="refused", error=error.message)


def _of_result(one: Group, result: RunResult) -> Row:
    return Row(group=one, state=result.state, run=result.id, outputs=result.outputs)


def _groups(call: Call, grouping: Grouping, settings: Settings) -> tuple[Group, ...]:
    answers = collected(call.loaded.flow, call.questions, settings)
    paths = {path for some in (grouping.by, *grouping.links.values()) for path in some}
    with open_registry(settings.data(), read_only=True) as registry:
        refuse_unread(registry, paths, "--group-by")
        products = registry.products(list(answers.products))
    groups = group(answers, products, grouping.by, grouping.links)
    for one in groups:
        refuse_many(one.asked, f" for {', '.join(one.values)}")
    return groups


def _refuse_links(call: Call, grouping: Grouping) -> None:
    if not call.questions:
        raise InputError(
            "there is nothing to group: no input asks for products",
            hint="like: exposures='query: DpdVisRawFrame'",
        )
    for port, paths in grouping.links.items():
        if port not in call.questions:
            raise InputError(
                f"--link {port}: no question is asked for it",
                hint=did_you_mean(port, call.questions, "questions are asked for"),
            )
        if paths and len(paths) != len(grouping.by):
            raise InputError(
                f"--link {port}: {len(paths)} paths stand for the {len(grouping.by)} of --group-by",
                hint="give as many, or none: then each run gets all products",
            )


def _as_before(record: Path, call: Call, grouping: Grouping) -> Campaign:
    try:
        known = json_reader(Campaign)(record.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{record} cannot be read: {error}") from error
    asked = (call.questions, grouping.by, dict(grouping.links))
    if asked != (dict(known.questions), known.by, dict(known.links)):
        raise InputError(
            f"{record.parent} has a campaign that asked for something else",
            hint="use another workdir; or ask anew by removing "
            f"{record}: runs that are done are not done again",
        )
    return known
