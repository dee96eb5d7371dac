"""`archive`: find, retrieve and put products of the Euclid archive, carry out its orders."""

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import click

from euclid_dask.api.orders import OrderDials, OrderPlan, plan_order, run_order
from euclid_dask.cli.data_options import DATA, data_settings
from euclid_dask.cli.exits import DONE
from euclid_dask.cli.options import EXECUTION, LIMITS, json_option, settings_of, with_options
from euclid_dask.cli.outcome import carried_out, told
from euclid_dask.core.errors import EuclidDaskError, InputError, StoppedError
from euclid_dask.core.values import to_json
from euclid_dask.data.archive.conditions import HINT
from euclid_dask.data.archive.dss import DssDriver
from euclid_dask.data.archive.export import DistributionOrder, distribution_xml, locations_xml
from euclid_dask.data.archive.ingestion import Ingester, Plan
from euclid_dask.data.archive.metadata import FIELDS, Document, Metadata
from euclid_dask.data.archive.retrieval import Retriever, declared_files, xml_name
from euclid_dask.data.archive.session import open_session
from euclid_dask.data.archive.settings import EXAMPLE
from euclid_dask.data.filling import Fetched
from euclid_dask.data.resolve import locate
from euclid_dask.data.storage import StorageError
from euclid_dask.report.terminal import table
from euclid_dask.report.words import counted, size

EPILOG: Final = """\
\b
Examples:
  euclid-dask archive new > archive.toml           (then edit it)
  euclid-dask archive find DpdVisRawFrame 'Header.DataSetRelease=SC8_MAIN_V0'
  euclid-dask archive get DpdVisRawFrame 'Data.TileIndex==90346' --to w --cache ~/euclid
  euclid-dask archive put w/out.xml --dry-run
  euclid-dask archive ppo run order.xml --workdir w

\b
Users and passwords are never on the command line, but in ~/.netrc (chmod 600), in lines
  machine eas-dps-rest-ops.esac.esa.int login NAME password WORD

Only a stand-in of the archive could be tried so far: begin with `find` and --dry-run.
"""
QUERY_EPILOG: Final = f"""\
\b
QUERY is the archive's own text, in quotes for the shell: conditions with && between them,
  {HINT}
with == (or =), !=, <, >, and like *TEXT*. Without a QUERY it is all products of the TYPE.
"""


@click.group("archive", epilog=EPILOG)
def command() -> None:
    """Find, retrieve and put products of the Euclid archive; carry out its orders.

    Which archive that is, says a settings file: --archive FILE, or EUCLID_DASK_ARCHIVE.
    """


archive_option: Final = click.option(
    "--archive",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="EUCLID_DASK_ARCHIVE",
    default="archive.toml",
    show_default=True,
    metavar="FILE",
    help="Settings of the archive, see `archive new`; or set EUCLID_DASK_ARCHIVE.",
)
cache_option: Final = click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="EUCLID_DASK_CACHE",
    metavar="DIR",
    help="Folder of data files that many workdirs share; they get links to it.",
)
kind_argument: Final = click.argument("kind", metavar="TYPE")
query_argument: Final = click.argument("query", metavar="[QUERY]", default="")


@command.command("new")
def new() -> int:
    """Print a settings file to start from."""
    click.echo(EXAMPLE, nl=False)
    return DONE


@command.command("find", epilog=QUERY_EPILOG)
@kind_argument
@query_argument
@click.option(
    "--fields", metavar="A:B", default=":".join(FIELDS), show_default=True, help="What to tell."
)
@archive_option
@json_option
def find(kind: str, query: str, **given: Any) -> int:
    """Show fields of the products of a TYPE that fulfil a QUERY."""
    with open_session(given["archive"]) as session:
        found = Metadata(session).find(kind, query, given["fields"].split(":"))
    if given["as_json"]:
        rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
        click.echo(json.dumps({"state": "ok", "products": rows}))
    else:
        click.echo(table([found.columns, *found.rows]) if found.rows else "no product fulfils it")
    return DONE


@command.command("get", epilog=QUERY_EPILOG)
@kind_argument
@query_argument
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    metavar="DIR",
    help="Folder for the XML; data files go to DIR/data.",
)
@cache_option
@click.option("--dry-run", is_flag=True, help="Only say what would be retrieved.")
@archive_option
@with_options(DATA)
@json_option
def get(kind: str, query: str, **given: Any) -> int:
    """Retrieve the products of a TYPE that fulfil a QUERY, with their data files.

    Several files come at once. Each is compared with its checksums before it gets its name; what
    was cut off goes on where it was cut, and what is here is not retrieved again. With --registry,
    what is in a storage of the registry then is registered there, as `ingest` does.
    """
    fetched: list[Fetched] = []

    def watch(one: Fetched) -> None:
        fetched.append(one)
        _tell(f"{one.name}: {one.how}, {size(one.size)}")

    paths: tuple[Path, ...] = ()
    with open_session(given["archive"]) as session:
        documents = list(Metadata(session).documents(kind, query))
        if not given["dry_run"]:
            with _failures_told():
                paths = Retriever(session, given["to"], given["cache"], watch).products(documents)
    registered = _registered(paths, given) if paths and given["registry"] else None
    if given["as_json"]:
        more = {} if registered is None else {"registered": registered}
        click.echo(json.dumps({**_got(documents, fetched, given), **more}))
        return DONE
    for line in _lines_of(documents, given):
        click.echo(line)
    if registered:
        click.echo(f"registered {counted(registered, 'file')}")
    return DONE


def _registered(paths: Sequence[Path], given: dict[str, Any]) -> int:
    """Register what was retrieved; return how many files, 0 if they are in no storage.

    Raises:
        StoppedError: It is here, and not registered.
    """
    from euclid_dask.api.data import ingest, is_in_storage  # noqa: PLC0415  slow to import

    settings = data_settings(given)
    try:
        if not is_in_storage(settings, paths[0]):
            _tell(f"not registered: {given['to']} is in no storage of {settings.address}")
            return 0
        found, _ = ingest(settings, paths)
    except EuclidDaskError as error:
        raise StoppedError(
            f"all is here, and not registered: {error.message}", hint=error.hint
        ) from error
    return len(found.files)


@command.command("locate")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@archive_option
@json_option
def locate_files(names: tuple[str, ...], **given: Any) -> int:
    """Show which file stores of the archive have the files of these NAMEs, their sizes and MD5."""
    with open_session(given["archive"]) as session:
        stores = [DssDriver(url, session) for url in session.settings.files]
        found = [one for name in names for store in stores if (one := _located(store, name))]
    if given["as_json"]:
        click.echo(json.dumps({"state": "ok", "files": found}))
        return DONE
    for one in found:
        click.echo(f"{one['name']}  {size(one['size'])}  md5 {one['md5']}")
        for place in one["stores"]:
            click.echo(f"  {place}")
    for name in names:
        if not any(one["name"] == name for one in found):
            click.echo(f"{name}  is in no store that the settings name")
    return DONE


@command.command("put")
@click.argument(
    "products", metavar="XML...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--dry-run", is_flag=True, help="Look at everything, and send nothing.")
@archive_option
@json_option
def put(products: tuple[Path, ...], **given: Any) -> int:
    """Give products to the archive: their data files first, their XML last.

    Data files are looked for in `data` beside the XML, beside it, and in ../data, where tasks
    leave them. All is looked at before anything is sent. What the archive has already is fine if
    it is the same, and refused if not: a name never gets other content.
    """
    with open_session(given["archive"]) as session:
        ingester = Ingester(session)
        plan = ingester.plan(products)
        if not given["dry_run"]:
            with _failures_told():
                ingester.send(plan, lambda name: _tell(f"{name}: there"))
    if given["as_json"]:
        state = "ok" if given["dry_run"] else "done"
        click.echo(json.dumps({"state": state, **json.loads(to_json(plan))}))
        return DONE
    for line in _lines_of_plan(plan, would=given["dry_run"]):
        click.echo(line)
    return DONE


@command.command("order")
@click.argument("sdc", metavar="SDC")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--id", "order_id", metavar="ID", help="Id of the order; default: a new one.")
@click.option("--purpose", default="TEST", show_default=True, help="What for.")
def order(sdc: str, names: tuple[str, ...], order_id: str | None, purpose: str) -> int:
    """Print an order (DDO) to the archive to copy the files of these NAMEs to an SDC."""
    wish = DistributionOrder(
        order_id=order_id or f"DDO-{uuid.uuid4()}", target_sdc=sdc, names=names, purpose=purpose
    )
    click.echo(distribution_xml(wish), nl=False)
    return DONE


@command.command("locations")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--registry", required=True, metavar="FILE|URL", help="The registry that knows.")
@click.option("--zone", required=True, help="The zone from which the files are to be reached.")
@click.option("--sdc", required=True, help="The science data centre, as SDC-CH.")
def locations(names: tuple[str, ...], registry: str, zone: str, sdc: str) -> int:
    """Print where files are, as XML that the archive can take (DataContainerStorage)."""
    from euclid_dask.data.registry.registry import Registry  # noqa: PLC0415  slow to import

    with Registry(registry, read_only=True) as known:
        files, replicas = known.files(names), known.locate(names)
        accesses = known.storages.accesses(zone)
        storages = {storage.name: storage for storage in known.storages.all()}
    if missing := [name for name in names if name not in files]:
        raise InputError(f"the registry {registry} knows no file {missing[0]}")
    places = [(files[name], locate(replicas[name], accesses, storages)) for name in names]
    click.echo(locations_xml(places, sdc), nl=False)
    return DONE


@command.group("ppo")
def ppo() -> None:
    """Carry out pipeline processing orders (PPO) of the archive."""


@ppo.command("run")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--script", metavar="FILE", help="The pipeline script; default: the order's.")
@click.option("--workdir", metavar="DIR", help="Where all files go; default: the order's id.")
@cache_option
@click.option("--again", is_flag=True, help="Also if its status says that it runs, or has ended.")
@click.option("--no-put", is_flag=True, help="Do not give the outputs to the archive.")
@click.option("--no-report", is_flag=True, help="Do not tell the archive how the order stands.")
@click.option("--dry-run", is_flag=True, help="Only say what would be run on which products.")
@archive_option
@with_options(EXECUTION)
@with_options(LIMITS)
@json_option
def run_ppo(file: Path, **given: Any) -> int:
    """Carry out the order in FILE: retrieve its inputs, run its pipeline, put its outputs.

    The archive is told that the order runs once nothing speaks against it, and that it is done
    when its outputs are there. After a failure or Ctrl-C call it again, with --again: what is done
    is not done again. In the workdir order.isf says the same for `run`.
    """
    settings = settings_of(given)
    dials = OrderDials(
        cache=given["cache"],
        put=not given["no_put"],
        report=not given["no_report"],
        watch=lambda one: _tell(f"{one.name}: {one.how}, {size(one.size)}"),
    )
    with open_session(given["archive"]) as session:
        plan = plan_order(
            session,
            file,
            script=given["script"],
            workdir=given["workdir"],
            again=given["again"],
        )
        if given["dry_run"]:
            return _tell_order(plan, as_json=given["as_json"])
        with _failures_told():
            result = run_order(
                session,
                plan,
                settings,
                dials,
                lambda run, chosen: carried_out(run, chosen, given),
            )
    return told(result, given)


@contextmanager
def _failures_told() -> Iterator[None]:
    """Say of what failed on its way that it can go on: it was not refused."""
    try:
        yield
    except StorageError as error:
        raise StoppedError(
            error.message, hint=error.hint or "call it again: what is done is not done again"
        ) from error


def _located(store: DssDriver, name: str) -> dict[str, Any] | None:
    stat = store.stat(name)
    if stat is None:
        return None
    places = store.locate(name) or (store.root,)
    return {"name": name, "size": stat.size, "md5": store.md5(name), "stores": places}


def _tell_order(plan: OrderPlan, *, as_json: bool) -> int:
    ports = {
        name: [one.product.product_id for one in found] for name, found in plan.documents.items()
    }
    if as_json:
        head = {"state": "ok", "order": plan.order.order_id, "status": plan.order.status}
        where = {"script": str(plan.script), "workdir": str(plan.workdir)}
        click.echo(json.dumps({**head, **where, "ports": ports}))
        return DONE
    click.echo(f"order {plan.order.order_id} is {plan.order.status}")
    click.echo(f"would run {plan.script} in {plan.workdir} on")
    for name, found in ports.items():
        click.echo(f"  {name}: {', '.join(found) or 'nothing'}")
    return DONE


def _got(documents: list[Document], fetched: list[Fetched], given: dict[str, Any]) -> Any:
    products = [
        {
            "product": one.product.product_id,
            "xml": str(given["to"] / xml_name(one.product)),
            "files": [reference.name for reference in one.product.files],
        }
        for one in documents
    ]
    state = "ok" if given["dry_run"] else "done"
    return {"state": state, "products": products, "files": json.loads(to_json(fetched))}


def _lines_of(documents: list[Document], given: dict[str, Any]) -> Iterator[str]:
    files = declared_files(one.product for one in documents)
    if given["dry_run"]:
        yield from (f"would retrieve {xml_name(one.product)}" for one in documents)
        yield from (f"would retrieve data/{name}" for name in files)
    yield f"{counted(len(documents), 'product')} with {counted(len(files), 'data file')}"


def _lines_of_plan(plan: Plan, *, would: bool) -> Iterator[str]:
    if would:
        names = [(one.content.name, one.known) for one in plan.files]
        names += [(one.product.product_id, one.known) for one in plan.products]
        for name, known in names:
            yield f"is there already: {name}" if known else f"would send {name}"
    yield (
        f"{counted(len(plan.products), 'product')} with {counted(len(plan.files), 'data file')}"
        f", {size(sum(one.content.size for one in plan.files))}"
    )


def _tell(text: str) -> None:
    with suppress(OSError):
        click.echo(text, err=True)
