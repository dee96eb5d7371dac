"""What `run` does and tells when inputs are questions: dry runs, and campaigns."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from euclid_dask.api import RunResult, Settings
from euclid_dask.api.asking import answers_to, staged
from euclid_dask.api.campaigns import (
    CampaignPlan,
    Grouping,
    Row,
    carry_out_groups,
    plan_campaign,
    prepare_campaign,
    run_campaign,
    run_group,
)
from euclid_dask.api.preparing import read_call
from euclid_dask.cli.exits import DONE, FAILED, INTERRUPTED
from euclid_dask.cli.group_processes import GroupProcesses, end_with_parent
from euclid_dask.cli.options import words_of
from euclid_dask.cli.outcome import carried_out
from euclid_dask.cli.registering import refuse_early, registered
from euclid_dask.core.errors import InputError
from euclid_dask.core.values import to_json
from euclid_dask.data.counting import staged_bytes
from euclid_dask.report.terminal import state_text, table
from euclid_dask.report.words import counted, printable, size
from euclid_dask.runner.start import RunRequest

if TYPE_CHECKING:
    from euclid_dask.api import RunnerPlace

_NOT_OF_A_GROUP: Final = frozenset(
    {"only", "at_once", "workdir", "quiet", "as_json", "dry_run", "cores", "ram"}
)
_SHOWN: Final = 20


def foresee(script: str, call: Mapping[str, Any], settings: Settings, *, as_json: bool) -> int:
    """Print which products the questions of a run get; return the exit code."""
    read = read_call(script, settings=settings, **call)
    found = answers_to(read.loaded.flow, read.questions, settings) if read.questions else None
    asked = {} if found is None else dict(found.asked)
    if as_json:
        click.echo(json.dumps({"state": "ok", "answers": json.loads(to_json(asked))}))
        return DONE
    for port, answer in asked.items():
        click.echo(f"{port}: {counted(len(answer.products), 'product')}")
        for one in answer.products[:_SHOWN]:
            click.echo(f"  {one.product_id}  {one.xml}")
        if (more := len(answer.products) - _SHOWN) > 0:
            click.echo(f"  and {more:,} more; all with --json")
    click.echo("nothing was run")
    return DONE


def staged_text(request: RunRequest) -> str:
    """Return how the products that were asked for came into the workdir."""
    manifest = staged(request.options, request.workdir)
    by_method = staged_bytes([manifest]).items()
    told = ", ".join(f"{size(number)} by {method}" for method, number in by_method)
    return f"asked for {counted(len(manifest.entries), 'file')}: {told}"


def refuse_odd(given: Mapping[str, Any]) -> None:
    """Refuse options that say nothing without `--group-by`, or not with it.

    Raises:
        InputError: There is one.
    """
    for option, is_given in (("--link", given["links"]), ("--at-once", given["at_once"])):
        if is_given and not given["group_by"]:
            raise InputError(
                f"{option} says nothing without --group-by", hint="add --group-by PATH"
            )
    if given["group_by"] and given["stand_ins"]:
        raise InputError("--given is for one run, and --group-by makes several")


def carry_out(context: click.Context, call: Mapping[str, Any], settings: Settings) -> int:
    """Run the groups, some at once, or list them in a dry run; return the exit code."""
    given = context.params
    plan = plan_campaign(given["script"], grouping_of(given), settings=settings, **call)
    at_once = min(given["at_once"] or 1, _left(plan, settings))
    shared = _shared(settings, at_once)
    if shared is not settings:
        read_call(given["script"], settings=shared, **call)  # refuses what needs more than a share
    if given["dry_run"]:
        _tell(plan, plan.rows(), "ok", as_json=given["as_json"])
        return DONE
    if at_once == 1 and not given["spare_pilots"]:
        rows = run_campaign(
            plan,
            settings,
            carry_out=lambda run, chosen: _carried_out(run, chosen, given),
            watch=lambda row, number: _begin(plan, row, number, given),
        )
        return _told(plan, rows, given)
    return _at_once(context, plan, shared, at_once)


def _at_once(context: click.Context, plan: CampaignPlan, settings: Settings, at_once: int) -> int:
    """Run each group in a process of its own; return the exit code."""
    given = context.params
    words = ["--json", "--quiet", f"--workdir={plan.folder}", *words_of(context, _NOT_OF_A_GROUP)]
    if settings.cores is not None:
        words += [f"--cores={settings.cores}", f"--ram={settings.ram_bytes}"]
    refuse_early(given)
    processes = GroupProcesses(
        [*words, "--", given["script"], *given["ports"]], lambda row: _end(row, given)
    )
    with processes.passing_signals():
        rows = carry_out_groups(
            plan,
            processes.carry_out,
            watch=lambda row, number: _begin(plan, row, number, given),
            at_once=at_once,
        )
    return _told(plan, rows, given, interrupted=processes.interrupted)


def _left(plan: CampaignPlan, settings: Settings) -> int:
    """Return how many groups are left to run; 1 if there are none."""
    over = {"incomplete"} if settings.fresh else {"incomplete", "done"}
    return max(1, sum(row.state not in over for row in plan.rows()))


def _shared(settings: Settings, at_once: int) -> Settings:
    """Return settings by which one of several runs leaves the others their part of this machine.

    Raises:
        InputError: There is not a core for each.
    """
    if at_once == 1 or settings.limit() is None:
        return settings
    offer = settings.offer()
    if offer.cores < at_once:
        raise InputError(
            f"--at-once {at_once}: there are {offer.cores:g} cores, less than one for each run",
            hint="run fewer at once, or at a site",
        )
    return dataclasses.replace(
        settings, cores=offer.cores / at_once, ram_bytes=offer.ram_bytes // at_once
    )


def place_of_campaign(
    script: str, call: Mapping[str, Any], settings: Settings, given: Mapping[str, Any]
) -> "tuple[RunnerPlace, tuple[str, ...]]":
    """Return where a job carries out a campaign, and why some groups cannot run.

    What its groups are is written down, and their products are staged: the job asks nothing.
    """
    from euclid_dask.api.submitting import place_of_runs  # noqa: PLC0415  few runs are submitted

    refuse_odd(given)
    plan = plan_campaign(script, grouping_of(given), settings=settings, **call)
    place = place_of_runs(plan.folder, settings)
    return place, tuple(prepare_campaign(plan, settings))


def carry_out_one(
    script: str, call: Mapping[str, Any], settings: Settings, given: Mapping[str, Any]
) -> int:
    """Run one group of a campaign that another process keeps; return the exit code."""
    end_with_parent()
    plan = plan_campaign(script, grouping_of(given), settings=settings, **call)
    groups = {one.folder: one for one in plan.campaign.groups}
    only = given["only"]
    if only not in groups:
        raise InputError(f"--only {only}: no group has this folder in {plan.folder}")
    row = run_group(
        plan, groups[only], settings, carry_out=lambda run, chosen: _carried_out(run, chosen, given)
    )
    return _told(plan, [row], given)


def _told(
    plan: CampaignPlan, rows: Sequence[Row], given: Mapping[str, Any], *, interrupted: bool = False
) -> int:
    """Print how groups stand; return the exit code."""
    states = {row.state for row in rows}
    cut = interrupted or "cancelled" in states
    state = "done" if states == {"done"} else "cancelled" if cut else "failed"
    _tell(plan, rows, state, as_json=given["as_json"])
    return {"done": DONE, "cancelled": INTERRUPTED}.get(state, FAILED)


def grouping_of(given: Mapping[str, Any]) -> Grouping:
    """Return what `--group-by` and `--link` say.

    Raises:
        InputError: A word of `--link` has no port, or a port is there twice.
    """
    links: dict[str, tuple[str, ...]] = {}
    for word in given["links"]:
        port, equals, paths = word.partition("=")
        if not equals or not port:
            raise InputError(
                f"--link {word}: is not of the form PORT=PATH", hint="like: psf=Data.ObservationId"
            )
        if port in links:
            raise InputError(f"--link {port} is given twice")
        links[port] = tuple(path.strip() for path in paths.split(",")) if paths.strip() else ()
    return Grouping(by=tuple(given["group_by"]), links=links)


def _carried_out(
    run: Callable[[Settings], RunResult], settings: Settings, given: Mapping[str, Any]
) -> RunResult:
    result = carried_out(run, settings, given)
    registered(result, given)
    return result


def _begin(plan: CampaignPlan, row: Row, number: int, given: Mapping[str, Any]) -> None:
    if not given["quiet"]:
        total = len(plan.campaign.groups)
        click.echo(f"[{number}/{total}] {printable(', '.join(row.group.values))}", err=True)


def _end(row: Row, given: Mapping[str, Any]) -> None:
    if not given["quiet"]:
        click.echo(f"{printable(', '.join(row.group.values))}: {state_text(row.state)}", err=True)


def _tell(plan: CampaignPlan, rows: Sequence[Row], state: str, *, as_json: bool) -> None:
    if as_json:
        groups = [_as_json(plan, row) for row in rows]
        told = {"state": state, "campaign": str(plan.folder), "groups": groups}
        click.echo(json.dumps(told))
        return
    for line in _lines(plan, rows):
        click.echo(line)


def _as_json(plan: CampaignPlan, row: Row) -> dict[str, Any]:
    return {
        "values": dict(zip(plan.campaign.by, row.group.values, strict=True)),
        "folder": row.group.folder,
        "products": {port: len(one.products) for port, one in row.group.asked.items()},
        "run": row.run,
        "state": row.state,
        "outputs": {port: str(path) for port, path in row.outputs.items()},
        "error": row.error,
    }


def _lines(plan: CampaignPlan, rows: Sequence[Row]) -> Iterator[str]:
    ports = list(plan.campaign.questions)
    heads = [path.rpartition(".")[2] for path in plan.campaign.by]
    cells = [
        (
            row.group.folder,
            *map(printable, row.group.values),
            *(f"{len(row.group.asked[port].products):,}" for port in ports),
            row.state,
        )
        for row in rows
    ]
    yield table([("folder", *heads, *ports, "state"), *cells])
    for row in rows:
        if row.error:
            yield f"{row.group.folder}: {printable(row.error)}"
    counts = Counter(row.state for row in rows)
    told = ", ".join(f"{number:,} {state_text(state)}" for state, number in counts.items())
    yield f"{counted(len(rows), 'group')}: {told}; in {plan.folder}"
