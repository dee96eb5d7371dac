"""`run`: start a run and carry it to its end."""

from typing import Any

import click

from euclid_dask import api
from euclid_dask.cli.data_options import DATA
from euclid_dask.cli.options import (
    EXECUTION,
    GROUPING,
    LIMITS,
    PARTS,
    answers_option,
    files_of_ports,
    given_files,
    isf_option,
    json_option,
    pkgrepo_option,
    ports_argument,
    settings_of,
    spare_option,
    with_options,
    workdir_option,
)
from euclid_dask.cli.outcome import carried_out, told
from euclid_dask.cli.registering import register_option

EPILOG = """\
\b
Examples:
  euclid-dask run pipeline.py image=raw.fits params=params.xml
  euclid-dask run pipeline.py --isf field_7.isf --workdir /scratch/field_7
  euclid-dask run pipeline.py --isf field_7.isf params=other.xml   (wins over the ISF)
  euclid-dask run pipeline.py --isf field_7.isf --until vis_coadd
  euclid-dask run pipeline.py --from remap --given stack.image=old/stack.fits
  euclid-dask run pipeline.py --isf field_7.isf --json > result.json
  euclid-dask run pipeline.py --isf field_7.isf --site site.toml --workdir /scratch/field_7
  euclid-dask run pipeline.py exposures='query: DpdVisRawFrame where Data.TileIndex == 90346'
  euclid-dask run pipeline.py frames='query: DpdVisRawFrame' --group-by Data.TileIndex --at-once 2

PORT=None means that there is no file. Work that an earlier run in the workdir finished is not
done again. Ctrl-C once lets running tasks finish, twice kills them; `resume` goes on.
"""


@click.command("run", epilog=EPILOG)
@click.argument("script", metavar="SCRIPT")
@ports_argument
@pkgrepo_option
@workdir_option
@isf_option
@with_options(PARTS)
@with_options(EXECUTION)
@with_options(LIMITS)
@with_options(DATA)
@answers_option
@register_option
@with_options(GROUPING)
@click.option("--only", metavar="FOLDER", hidden=True)  # the group of a process of ours
@click.option("--dry-run", is_flag=True, help="List the products or groups, and run nothing.")
@spare_option
@json_option
@click.pass_context
def command(context: click.Context, /, script: str, ports: tuple[str, ...], **given: Any) -> int:
    """Run the pipeline of SCRIPT on the files of its input ports.

    Input files are named on the command line, PORT=FILE, or in a data file (--isf). In place of a
    file there may be a question, PORT='query: ...', as `euclid-dask find` takes it: the registry is
    asked once, and the products that fulfil it are staged into the workdir. Progress goes to
    stderr; the outcome, or one JSON object, to stdout.
    """
    settings = settings_of(given)
    call = {name: given[name] for name in ("pkgrepo", "workdir", "isf")}
    call["inputs"] = files_of_ports(ports)
    if given["group_by"] or given["links"] or given["at_once"] or given["dry_run"]:
        return _many_or_none(context, call, settings, given)
    stand_ins = given_files(given["stand_ins"])
    request, warnings = api.prepare(script, settings=settings, given=stand_ins, **call)
    if request.options.answers and not given["quiet"]:
        from euclid_dask.cli.campaigns import staged_text  # noqa: PLC0415  fast start

        click.echo(staged_text(request), err=True)
    result = carried_out(lambda chosen: api.start(request, chosen, warnings), settings, given)
    return told(result, given)


def _many_or_none(
    context: click.Context, call: dict[str, Any], settings: api.Settings, given: dict[str, Any]
) -> int:
    """Have a run for each group of products, or only tell what there would be."""
    from euclid_dask.cli import campaigns  # noqa: PLC0415  fast start

    campaigns.refuse_odd(given)
    script = context.params["script"]
    if given["only"]:
        return campaigns.carry_out_one(script, call, settings, given)
    if given["group_by"]:
        return campaigns.carry_out(context, call, settings)
    return campaigns.foresee(script, call, settings, as_json=given["as_json"])
