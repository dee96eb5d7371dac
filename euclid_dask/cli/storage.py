"""`storage`: the places that keep files, and how they are reached."""

import json
from collections.abc import Sequence
from typing import Any, Final

import click

from euclid_dask.api.data import Way, add_storage, check_storages, open_registry
from euclid_dask.api.upkeep import edit_storage, remove_storage, set_quota, show_storage
from euclid_dask.cli.data_options import DATA, data_settings
from euclid_dask.cli.exits import DONE, FAILED
from euclid_dask.cli.options import Option, json_option, with_options
from euclid_dask.core.errors import InputError
from euclid_dask.core.texts import without_passwords
from euclid_dask.core.values import to_json
from euclid_dask.data.model import StorageState
from euclid_dask.data.probing import Outcome
from euclid_dask.report.terminal import table
from euclid_dask.report.words import size
from euclid_dask.wiring import parse_size

EPILOG: Final = """\
\b
Examples:
  euclid-dask storage add ARCHIVE file:///data/archive --label country=CH --label tier=disk
  euclid-dask storage add ARCHIVE sftp://host:22/archive --zone laptop --credential archive
  euclid-dask storage list
  euclid-dask storage edit ARCHIVE --state readonly --label tier=
  euclid-dask storage edit SCRATCH --quota 10TB
  euclid-dask storage check ARCHIVE
  euclid-dask storage remove ARCHIVE sftp://host:22/archive --zone laptop --dry-run

A storage is a place; each zone (hosts with the same mounts and routes) may reach it in its own
way. Its root gets a marker file, by which a disk that is not mounted is told from an empty one.
"""
MARKS: Final = {Outcome.YES: "yes", Outcome.NO: "no", Outcome.FAILED: "FAILED"}


SAID: Final[Sequence[Option[Any]]] = (
    click.option(
        "--label",
        "labels",
        multiple=True,
        metavar="KEY=TEXT",
        help="To be chosen by; KEY= takes it away.",
    ),
    click.option(
        "--state",
        type=click.Choice([str(one) for one in StorageState]),
        help="What may be done with it.",
    ),
    click.option(
        "--durable/--not-durable", default=None, help="Whether its replicas count as copies."
    ),
)


@click.group("storage", epilog=EPILOG)
def command() -> None:
    """Register and check the places that keep files."""


@command.command("add")
@click.argument("name", metavar="NAME")
@click.argument("root", metavar="URL")
@with_options(SAID)
@click.option(
    "--read",
    type=click.IntRange(min=0),
    help="Priority: 1 is best, 0 is never.",
)
@click.option("--write", type=click.IntRange(min=0), help="Priority for writing.")
@click.option("--delete", type=click.IntRange(min=0), help="Priority for removing.")
@click.option("--credential", metavar="NAME", help="Its name, in --credentials.")
@click.option("--option", "options", multiple=True, metavar="KEY=TEXT", help="Of the scheme.")
@click.option("--dry-run", is_flag=True, help="Only say what it would be; mark nothing.")
@with_options(DATA)
@json_option
def add(name: str, root: str, **given: Any) -> int:
    """Add the storage NAME with its root at URL; or one more way to reach it."""
    settings, dry_run = data_settings(given), given["dry_run"]
    way = Way(
        storage=name,
        zone=settings.zone,
        root=root,
        read=given["read"],
        write=given["write"],
        delete=given["delete"],
        credential=given["credential"],
        options=_pairs(given["options"], "--option"),
    )
    added = add_storage(
        settings,
        way,
        labels=_pairs(given["labels"], "--label"),
        state=StorageState(given["state"]) if given["state"] else None,
        durable=given["durable"],
        dry_run=dry_run,
    )
    if given["as_json"]:
        state = "ok" if dry_run else "done"
        click.echo(json.dumps({"state": state, "storage": json.loads(to_json(added))}))
    else:
        where = without_passwords(settings.address)
        verb = "would be" if dry_run else "is"
        click.echo(f"{name} {verb} {way.root} in the zone {settings.zone}, in {where}")
    return DONE


@command.command("list")
@with_options(DATA)
@json_option
def list_storages(**given: Any) -> int:
    """List storages, and how each zone reaches them."""
    with open_registry(data_settings(given), read_only=True) as registry:
        storages, accesses = registry.storages.all(), registry.storages.accesses()
    if given["as_json"]:
        told = {"storages": storages, "accesses": accesses}
        click.echo(json.dumps({"state": "ok", **json.loads(to_json(told))}))
        return DONE
    rows = [("storage", "state", "labels", "zone", "root", "read/write/delete")]
    for storage in storages:
        ways = [one for one in accesses if one.storage == storage.name]
        labels = ", ".join(f"{key}={text}" for key, text in storage.labels.items())
        state = str(storage.state) + ("" if storage.durable else ", not durable")
        rows += [
            (
                storage.name,
                state,
                labels,
                way.zone,
                way.root,
                f"{way.read}/{way.write}/{way.delete}",
            )
            for way in ways
        ]
    click.echo(table(rows) if len(rows) > 1 else "there is no storage yet")
    return DONE


@command.command("show")
@click.argument("name", metavar="NAME")
@with_options(DATA)
@json_option
def show(name: str, **given: Any) -> int:
    """Show the storage NAME, how each zone reaches it, and how many replicas it has."""
    found = show_storage(data_settings(given), name)
    if given["as_json"]:
        click.echo(json.dumps({"state": "ok", **json.loads(to_json(found))}))
        return DONE
    storage = found.storage
    durable = "its replicas count as copies" if storage.durable else "not durable"
    click.echo(f"{name}: {storage.state}, {durable}, marker {storage.marker or 'none'}")
    for key, text in storage.labels.items():
        click.echo(f"  {key}={text}")
    for way in found.accesses:
        credential = f", credential {way.credential}" if way.credential else ""
        uses = f"read {way.read}, write {way.write}, delete {way.delete}"
        click.echo(f"  {way.zone}: {way.root} ({uses}{credential})")
        for key, text in way.options.items():
            click.echo(f"    {key}={text}")
    counts = [f"{number:,} {state}" for state, number in sorted(found.replicas.items())]
    click.echo(f"  replicas: {', '.join(counts) or 'none'}")
    if (quota := found.quota) is not None:
        used = f"{size(quota.there_bytes)} are there, {size(quota.coming_bytes)} on their way"
        click.echo(f"  quota: {size(quota.limit_bytes)}; {used}")
    return DONE


@command.command("edit")
@click.argument("name", metavar="NAME")
@with_options(SAID)
@click.option(
    "--quota",
    metavar="SIZE",
    help='How much it may hold, like "10TB"; "none" for any amount. More is not copied to it.',
)
@click.option("--dry-run", is_flag=True, help="Only say what it would be then.")
@with_options(DATA)
@json_option
def edit(name: str, **given: Any) -> int:
    """Change what is said of the storage NAME; its disks may be away. `add` changes its ways."""
    quota, dry_run = given["quota"], given["dry_run"]
    limit = None if quota in {None, "none"} else parse_size(quota)
    if quota is not None and not dry_run:
        set_quota(data_settings(given), name, limit)
    changed = edit_storage(
        data_settings(given),
        name,
        labels=_pairs(given["labels"], "--label"),
        state=StorageState(given["state"]) if given["state"] else None,
        durable=given["durable"],
        dry_run=dry_run,
    )
    if given["as_json"]:
        state = "ok" if dry_run else "done"
        click.echo(json.dumps({"state": state, "storage": json.loads(to_json(changed))}))
    else:
        labels = [f"{key}={text}" for key, text in changed.labels.items()]
        told = [str(changed.state) + ("" if changed.durable else ", not durable"), *labels]
        told += [] if quota is None else [f"quota {quota}"]
        click.echo(f"{name} {'would be' if dry_run else 'is'} {', '.join(told)}")
    return DONE


@command.command("remove")
@click.argument("name", metavar="NAME")
@click.argument("root", metavar="[URL]", required=False)
@click.option("--dry-run", is_flag=True, help="Only say what would be forgotten.")
@with_options(DATA)
@json_option
def remove(name: str, root: str | None, **given: Any) -> int:
    """Forget how this zone reaches the storage NAME at URL; or the storage.

    No file is touched. A storage is forgotten only when it has no replicas.
    """
    dry_run = given["dry_run"]
    gone = remove_storage(data_settings(given), name, root, dry_run=dry_run)
    if given["as_json"]:
        state = "ok" if dry_run else "done"
        click.echo(json.dumps({"state": state, "accesses": json.loads(to_json(gone))}))
        return DONE
    verb = "would be forgotten" if dry_run else "is forgotten"
    for way in gone:
        click.echo(f"{name} by {way.root} in the zone {way.zone} {verb}")
    if root is None:
        click.echo(f"{name} {verb}")
    return DONE


@command.command("check")
@click.argument("names", metavar="[NAME ...]", nargs=-1)
@with_options(DATA)
@json_option
def check(names: tuple[str, ...], **given: Any) -> int:
    """Try whether storages are reached from this zone, and what they can do.

    Files are written only where the storage may be written, and are removed again.
    """
    found = check_storages(data_settings(given), names)
    failed = any(one.outcome is Outcome.FAILED for findings in found.values() for one in findings)
    if given["as_json"]:
        told = {" ".join(way): list(findings) for way, findings in found.items()}
        state = "failed" if failed else "ok"
        click.echo(json.dumps({"state": state, "storages": json.loads(to_json(told))}))
        return FAILED if failed else DONE
    for (name, root), findings in found.items():
        click.echo(f"{name} by {root}")
        for one in findings:
            detail = f": {one.detail}" if one.detail else ""
            click.echo(f"  {MARKS[one.outcome]:6}  {one.question}{detail}")
    return FAILED if failed else DONE


def _pairs(words: tuple[str, ...], option: str) -> dict[str, str]:
    pairs = {}
    for word in words:
        key, sign, text = word.partition("=")
        if not key or not sign:
            raise InputError(f"{option} {word!r} is not KEY=TEXT", hint=f"{option} tier=disk")
        pairs[key] = text
    return pairs
