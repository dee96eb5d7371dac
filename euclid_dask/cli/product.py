"""`product`: what a data product says, and whether it may be registered."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from euclid_dask.cli.exits import DONE, FAILED
from euclid_dask.cli.options import json_option
from euclid_dask.core.values import to_json
from euclid_dask.data.model import FileReference, Product
from euclid_dask.data.products import read_product
from euclid_dask.report.words import counted, printable

EPILOG = """\
\b
Examples:
  euclid-dask product show frame.xml
  euclid-dask product show frame.xml --value Data.ObservationSequence.ObservationId
  euclid-dask product show frame.xml --schemas /opt/euclid/datamodel
"""


@click.group("product", epilog=EPILOG)
def command() -> None:
    """Look at data products: XML that describes files and names them."""


@command.command("show", epilog=EPILOG)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
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
@json_option
def show(file: Path, values: tuple[str, ...], schemas: Path | None, *, as_json: bool) -> int:
    """Show what the product FILE says: header, files, other products, problems.

    A product with problems can be read, but not registered: the exit code is 1.
    """
    product = read_product(file, values)
    violations = _violations(file, schemas)
    if as_json:
        click.echo(json.dumps(_as_json(product, violations)))
    else:
        for line in _lines(product):
            click.echo(printable(line))
        for problem in product.problems:
            click.echo(click.style("problem: ", fg="yellow") + printable(problem))
        for violation in violations:
            click.echo(click.style("not as its schema: ", fg="red") + printable(violation))
    return FAILED if product.problems or violations else DONE


def _violations(file: Path, schemas: Path | None) -> tuple[str, ...]:
    if schemas is None:
        return ()
    from euclid_dask.data.schemas import Schemas  # noqa: PLC0415  only who asks for it needs lxml

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
    for link in product.links:
        yield f"refers to {link.target} as {link.role}"
    for value in product.values:
        yield f"{value.path} = {' '.join(value.text.split())}"


def _file(file: FileReference) -> Iterator[str]:
    yield f"  {file.name}"
    told = [file.xpath, file.format, file.status]
    if file.checksum is not None:
        told.append(f"{file.checksum.algorithm} {file.checksum.value}")
    yield f"    {', '.join(filter(None, told))}"
