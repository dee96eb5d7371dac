"""`product`: what a data product says, and whether it may be registered."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from euclid_dask.cli.data_options import DATA, data_settings
from euclid_dask.cli.exits import DONE, FAILED
from euclid_dask.cli.options import json_option, with_options
from euclid_dask.core.values import to_json
from euclid_dask.data.model import FileReference, Product
from euclid_dask.data.products import read_product
from euclid_dask.data.provenance import said_links
from euclid_dask.report.words import counted, printable

if TYPE_CHECKING:
    from euclid_dask.api.lineage import Known, Lineage

EPILOG = """\
\b
Examples:
  euclid-dask product show frame.xml
  euclid-dask product show frame.xml --value Data.ObservationSequence.ObservationId
  euclid-dask product show frame.xml --schemas /opt/euclid/datamodel
  euclid-dask product show VIS-31283-7        one that is registered, by its id
"""


@click.group("product", epilog=EPILOG)
def command() -> None:
    """Look at data products: XML that describes files and names them."""


@command.command("show", epilog=EPILOG)
@click.argument("file", metavar="FILE|ID", type=click.Path(path_type=Path))
@click.option(
    "--value",
    "values",
    multiple=True,
    metavar="PATH",
    help="Show the texts at this path too, as Data.ObservationSequence.ObservationId.",
)
@click.option(
    "--schemas",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Check the product against the schemas (*.xsd) in this folder; nothing is fetched.",
)
@with_options(DATA)
@json_option
def show(file: Path, values: tuple[str, ...], schemas: Path | None, **given: Any) -> int:
    """Show what the product FILE says: header, files, other products, problems.

    Of a product that is registered, by its ID, or with --registry, also what made it: the run, task
    and attempt, the products that went into it, and those that were made from it.

    A product with problems can be read, but not registered: the exit code is 1.
    """
    is_file = file.exists() or file.suffix.lower() == ".xml" or len(file.parts) > 1
    known = _known(file, given) if given["registry"] or not is_file else None
    product = read_product(file, values) if is_file or known is None else known.product
    violations = _violations(file, schemas) if is_file else ()
    if given["as_json"]:
        told = _as_json(product, violations)
        if known is not None:
            told["provenance"] = json.loads(to_json(known.lineage))
        click.echo(json.dumps(told))
    else:
        for line in (*_lines(product), *(() if known is None else _lineage(known.lineage))):
            click.echo(printable(line))
        for problem in product.problems:
            click.echo(click.style("problem: ", fg="yellow") + printable(problem))
        for violation in violations:
            click.echo(click.style("not as its schema: ", fg="red") + printable(violation))
    return FAILED if product.problems or violations else DONE


def _known(file: Path, given: dict[str, Any]) -> "Known | None":
    """Return what the registry knows of a product, by its id or file; None if it knows nothing."""
    from euclid_dask.api.lineage import known  # noqa: PLC0415  most are only read

    if not file.exists():
        return known(data_settings(given), str(file))
    return known(data_settings(given), read_product(file).product_id, must=False)


def _lineage(lineage: "Lineage") -> Iterator[str]:
    origin = lineage.origin
    if origin is not None:
        attempt = f", attempt {origin.attempt}" if origin.attempt else ""
        yield f"made by {origin.executable}: task {origin.task} of {origin.run}{attempt}"
        for port, target in origin.inputs:
            yield f"made from {target} (input {port})"
    for child in lineage.children:
        yield f"went into {child}"


def _violations(file: Path, schemas: Path | None) -> tuple[str, ...]:
    if schemas is None:
        return ()
    from euclid_dask.data.schemas import Schemas  # noqa: PLC0415  lxml takes long to import

    return Schemas(schemas).problems(file)


def _as_json(product: Product, violations: tuple[str, ...]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "product_id": "", "type": "", "namespace": "", "header": {}, "files": [], "links": [],
        "values": [], "problems": [],
    }  # fmt: skip
    told |= json.loads(to_json(product))
    return told | {"violations": list(violations)}


def _lines(product: Product) -> Iterator[str]:
    yield f"{product.type}: {product.product_id}"
    if product.namespace:
        yield f"namespace: {product.namespace}"
    if product.header:
        yield "header:"
        width = max(map(len, product.header))
        for name, text in product.header.items():
            yield f"  {name:<{width}}  {' '.join(text.split())}".rstrip()
    yield f"names {counted(len(product.files), 'file')}" + (":" if product.files else "")
    for file in product.files:
        yield from _file(file)
    for link in said_links(product.links):
        yield f"refers to {link.target} as {link.role}"
    for value in product.values:
        yield f"{value.path} = {' '.join(value.text.split())}"


def _file(file: FileReference) -> Iterator[str]:
    yield f"  {file.name}"
    told = [file.xpath, file.format, file.status]
    if file.checksum is not None:
        told.append(f"{file.checksum.algorithm} {file.checksum.value}")
    yield f"    {', '.join(filter(None, told))}"
