"""`rule`: which files shall have how many copies where."""

import json
from typing import Any, Final

import click

from euclid_dask.api.upkeep import RuleShown, add_rule, end_rule, list_rules, show_rule
from euclid_dask.cli.data_options import DATA, data_settings
from euclid_dask.cli.exits import DONE, FAILED
from euclid_dask.cli.options import json_option, with_options
from euclid_dask.core.errors import InputError
from euclid_dask.core.values import to_json
from euclid_dask.data.registry.rules import KeptRule, RuleState
from euclid_dask.data.rules import Grouping, Rule, Selector
from euclid_dask.report.terminal import table
from euclid_dask.report.words import counted, moment

EPILOG: Final = """\
\b
Examples:
  euclid-dask rule add tape --query DpdVisRawFrame --places 'tier=tape'
  euclid-dask rule add safe --name 'EUC_VIS_*' --places 'country=CH & tier=disk' --copies 2
  euclid-dask rule list
  euclid-dask rule show tape
  euclid-dask rule end tape

A rule holds for files that are there, and for those that will be registered. What it wants is
queued; `euclid-dask move` brings it. What a rule wants somewhere is not removed there.
"""
GROUPINGS: Final = [str(one) for one in (Grouping.FILE, Grouping.PRODUCT)]
DAY_S: Final = 86400.0


@click.group("rule", epilog=EPILOG)
def command() -> None:
    """Say which files shall have how many copies where."""


@command.command("add")
@click.argument("name", metavar="NAME")
@click.option("--query", default="", metavar="QUERY", help="Files of the products that fulfil it.")
@click.option(
    "--name", "patterns", multiple=True, metavar="PATTERN", help="Files named so, as 'EUC_VIS_*'."
)
@click.option(
    "--places",
    required=True,
    metavar="EXPR",
    help="Labels, as 'country=CH & tier=disk'.",
)
@click.option("--copies", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--grouping",
    type=click.Choice(GROUPINGS),
    default=GROUPINGS[0],
    show_default=True,
    help="What goes to the same storages.",
)
@click.option("--prefer", multiple=True, metavar="STORAGE", help="Taken first, in this order.")
@click.option("--priority", type=int, default=0, show_default=True, help="Higher is earlier.")
@click.option(
    "--days", type=click.FloatRange(min=0, min_open=True), help="How long it holds; else for ever."
)
@click.option("--dry-run", is_flag=True, help="Only say how many copies it would want.")
@with_options(DATA)
@json_option
def add(name: str, **given: Any) -> int:
    """Add the rule NAME, or change it, and queue the copies that are missing."""
    if not given["query"] and not given["patterns"]:
        raise InputError(
            f"rule {name} says not of which files", hint="give --query, or --name '*' for all"
        )
    rule = Rule(
        name=name,
        select=Selector(query=given["query"], names=given["patterns"]),
        places=given["places"],
        copies=given["copies"],
        grouping=Grouping(given["grouping"]),
        prefer=given["prefer"],
        priority=given["priority"],
        lifetime_s=given["days"] and given["days"] * DAY_S,
    )
    done = add_rule(data_settings(given), rule, dry_run=given["dry_run"])
    if given["as_json"]:
        state = "failed" if done.stuck else "ok" if given["dry_run"] else "done"
        click.echo(json.dumps({"state": state, **json.loads(to_json(done))}))
        return FAILED if done.stuck else DONE
    would = "would be" if given["dry_run"] else "are"
    click.echo(f"{name}: {counted(done.files, 'file')}, {done.missing:,} copies {would} queued")
    for stuck in done.stuck:
        click.echo(f"  {counted(len(stuck.files), 'file')} stuck: {stuck.reason}")
    if done.missing and not given["dry_run"]:
        click.echo("  next: euclid-dask move --once")
    return FAILED if done.stuck else DONE


@command.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that have ended.")
@with_options(DATA)
@json_option
def list_all(*, every: bool, **given: Any) -> int:
    """List the rules."""
    found = list_rules(data_settings(given), ended=every)
    if given["as_json"]:
        click.echo(json.dumps({"state": "ok", "rules": json.loads(to_json(found))}))
        return DONE
    rows = [("rule", "files", "copies", "places", "until"), *map(_row, found)]
    click.echo(table(rows) if found else "there is no rule")
    return DONE


def _row(kept: KeptRule) -> tuple[str, ...]:
    rule = kept.rule
    return (rule.name, _files(rule), str(rule.copies), rule.places, _until(kept))


def _files(rule: Rule) -> str:
    return " and ".join(one for one in (rule.select.query, ", ".join(rule.select.names)) if one)


def _until(kept: KeptRule) -> str:
    if kept.state is RuleState.ENDED:
        return "ended"
    return moment(kept.until_s) if kept.until_s else "for ever"


@command.command("show")
@click.argument("name", metavar="NAME")
@with_options(DATA)
@json_option
def show(name: str, **given: Any) -> int:
    """Show the rule NAME, and what it cannot have."""
    found = show_rule(data_settings(given), name)
    if given["as_json"]:
        click.echo(json.dumps({"state": "ok", **json.loads(to_json(found))}))
        return DONE
    _tell(found)
    return DONE


def _tell(found: RuleShown) -> None:
    rule = found.kept.rule
    click.echo(f"{rule.name}: {_until(found.kept)}")
    click.echo(f"  {counted(rule.copies, 'copy').replace('copys', 'copies')} of {_files(rule)}")
    click.echo(f"  in {rule.places}, by {rule.grouping}, priority {rule.priority}")
    if rule.prefer:
        click.echo(f"  first in {', '.join(rule.prefer)}")
    click.echo(f"  wants {found.targets:,} replicas")
    for reason, number in found.stuck.items():
        click.echo(f"  {counted(number, 'file')} stuck: {reason}")


@command.command("end")
@click.argument("name", metavar="NAME")
@click.option("--dry-run", is_flag=True, help="Only say what it wants by now.")
@with_options(DATA)
@json_option
def end(name: str, *, dry_run: bool, **given: Any) -> int:
    """End the rule NAME: it wants nothing any more; its copies stay until they are removed."""
    settings = data_settings(given)
    found = show_rule(settings, name)
    if not dry_run:
        end_rule(settings, name)
    if given["as_json"]:
        told = {"rule": name, "released": found.targets}
        click.echo(json.dumps({"state": "ok" if dry_run else "done", **told}))
        return DONE
    ends = "would end" if dry_run else "has ended"
    click.echo(f"{name} {ends}: {found.targets:,} replicas are not wanted by it any more")
    click.echo("  they stay until `euclid-dask rm` removes them")
    return DONE
