"""Campaigns: one run for each group of products that say the same, in one folder.

    <folder>/campaign.json    what was asked and answered, and the groups: never asked again
    <folder>/campaign.csv     how the run of each group stands, and what it made
    <folder>/<group>/         the workdir of a group

Rule 1: whatever is cut off, the same call goes on: what is done is not done again.
Rule 2: one campaign works in a folder at a time: it has the lock of a runner there.
"""

import csv
import dataclasses
import io
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
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
from euclid_dask.runner.workspace import Lock, Workspace

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
    return carry_out_groups(
        plan, lambda one: run_group(plan, one, settings, carry_out=carry_out), watch=watch
    )


def carry_out_groups(
    plan: CampaignPlan,
    run: Callable[[Group], Row],
    *,
    watch: Callable[[Row, int], None] = lambda _, __: None,
    at_once: int = 1,
) -> list[Row]:
    """Have the groups of a campaign carried out, and keep their table; return how each stands.

    Args:
        plan: The groups.
        run: Carries out the run of a group. With `at_once` above 1 it is called in threads.
        watch: Called with each group before its run, and its number.
        at_once: How many groups are run at once. When one is cancelled, no other is begun.

    Raises:
        InputError, WorkdirError: Another campaign works in the folder, or asked something else.
    """
    with _recorded(plan):
        return _carried_out(plan, run, watch, at_once)


def _carried_out(
    plan: CampaignPlan,
    run: Callable[[Group], Row],
    watch: Callable[[Row, int], None],
    at_once: int,
) -> list[Row]:
    rows = plan.rows()
    groups = plan.campaign.groups
    left = deque(number for number, one in enumerate(groups) if not one.missing)

    def begun(number: int) -> Group:
        watch(rows[number], number + 1)
        return groups[number]

    write_whole(plan.folder / TABLE, table(plan.campaign, rows).encode())
    ended = _in_turn(left, begun, run) if at_once == 1 else _at_once(left, begun, run, at_once)
    for number, row in ended:
        rows[number] = row
        write_whole(plan.folder / TABLE, table(plan.campaign, rows).encode())
        if row.state == "cancelled":
            left.clear()
    return rows


def _in_turn(
    left: deque[int], begun: Callable[[int], Group], run: Callable[[Group], Row]
) -> Iterator[tuple[int, Row]]:
    while left:
        number = left.popleft()
        yield number, run(begun(number))


def _at_once(
    left: deque[int], begun: Callable[[int], Group], run: Callable[[Group], Row], most: int
) -> Iterator[tuple[int, Row]]:
    running: dict[Future[Row], int] = {}
    with ThreadPoolExecutor(most, "group") as pool:
        while left or running:
            while left and len(running) < most:
                number = left.popleft()
                running[pool.submit(run, begun(number))] = number
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()


@contextmanager
def _recorded(plan: CampaignPlan) -> Iterator[None]:
    """Work alone in the folder of a campaign; what was asked, and the groups, are written down."""
    workspace = Workspace(plan.folder)
    workspace.create()
    lock = Lock.take(workspace)
    try:
        record = plan.folder / RECORD
        ours = to_json(plan.campaign) + b"\n"
        if not record.exists():
            write_whole(record, ours)
        elif to_json(json_reader(Campaign)(record.read_bytes())) + b"\n" != ours:
            raise InputError(
                f"another campaign was begun in {plan.folder} meanwhile",
                hint="call it again to go on with that one, or use another workdir",
            )
        yield
    finally:
        lock.release()


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


def run_group(
    plan: CampaignPlan,
    one: Group,
    settings: Settings | None = None,
    *,
    carry_out: CarryOut = lambda run, settings: run(settings),
) -> Row:
    """Carry out the run of a group, or go on with it; return how it stands."""
    try:
        result = carry_out(lambda chosen: _run(plan, one, chosen), settings or Settings())
    except InternalError:
        raise
    except EuclidDaskError as error:
        return Row(group=one, state="refused", error=error.message)
    return _of_result(one, result)


def prepare_campaign(plan: CampaignPlan, settings: Settings) -> Iterator[str]:
    """Write down the groups of a campaign, and stage their products; yield why some cannot run."""
    with _recorded(plan):
        for one in plan.campaign.groups:
            if one.missing:
                yield f"{one.folder}: {_row(plan.folder, one).error}"
                continue
            workdir, chosen = _frozen(plan, one, settings)
            try:
                prepare(plan.script, workdir=workdir, settings=chosen, **plan.given)
            except EuclidDaskError as error:
                yield f"{one.folder}: {error.message}"


def _run(plan: CampaignPlan, one: Group, settings: Settings) -> RunResult:
    workdir, settings = _frozen(plan, one, settings)
    if Workspace(workdir).runs() and not settings.fresh:
        before = open_run(workdir).run.options
        if workdir / before.answers == settings.answers:
            return resume(workdir, None, settings)
    request, warnings = prepare(plan.script, workdir=workdir, settings=settings, **plan.given)
    return start(request, settings, warnings)


def _frozen(plan: CampaignPlan, one: Group, settings: Settings) -> tuple[Path, Settings]:
    """Return the workdir of a group, and settings by which its products are not asked for again."""
    workspace = Workspace(plan.folder / one.folder)
    frozen = freeze(Answers(asked=one.asked), workspace.records / ANSWERS)
    return workspace.workdir, dataclasses.replace(settings, answers=frozen)


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
