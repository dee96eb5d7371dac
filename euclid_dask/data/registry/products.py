"""Products: their headers, the files they name, the values they are found by."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import replace
from euclid_dask.data.model import (
    Checksum,
    File,
    FileReference,
    FileState,
    Product,
    ProductLink,
    ProductValue,
)
from euclid_dask.data.names import shown
from euclid_dask.data.provenance import said_links
from euclid_dask.data.registry.files import ONE_CONTENT, put_checksums
from euclid_dask.data.registry.rows import (
    AnyRow,
    add_rows,
    batches,
    lock_files,
    where_in,
)
from euclid_dask.data.registry.rules import doubt
from euclid_dask.data.registry.schema import (
    files,
    product_files,
    product_links,
    product_values,
    products,
)


def put_products(
    connection: Connection,
    new: Mapping[str, Product],
    event_id: int,
    fresh: Mapping[str, AnyRow],
) -> frozenset[str]:
    """Add products by the names of their XML files; those that are there already are compared.

    Values and links that somebody knows besides, as what made a product, are added to them.

    Args:
        connection: Of a transaction that writes.
        new: The products.
        event_id: By what they come.
        fresh: The rows of files that this transaction has added, by name.

    Returns:
        The names of the files of those that were not there.

    Raises:
        InputError: A product has problems, names a file that has no verified replica or that is
            another one, or is known with other content.
    """
    by_id = {product.product_id: (xml, product) for xml, product in new.items()}
    for xml, product in new.items():
        if product.problems:
            raise InputError(f"product {shown(xml)} is not registered: {product.problems[0]}")
        if by_id[product.product_id][0] != xml:
            raise InputError(f"two products have the id {shown(product.product_id)}")
    names: set[str] = set()
    for batch in batches(sorted(by_id)):
        some = {key: by_id[key] for key in batch}
        rows = _committed(connection, some.values(), fresh)
        for xml, product in _put(connection, some, rows, event_id):
            names.update((xml, *(file.name for file in product.files)))
    return frozenset(names)


def _put(
    connection: Connection,
    new: Mapping[str, tuple[str, Product]],
    rows: Mapping[str, AnyRow],
    event_id: int,
) -> Collection[tuple[str, Product]]:
    """Add products by their ids; return those that were not there."""
    inserted = [
        {
            "product_id": key,
            "type": product.type,
            "namespace": product.namespace,
            "release": product.header.get("DataSetRelease", ""),
            "header": dict(product.header),
            "xml_file_id": rows[xml].id,
            "event_id": event_id,
        }
        for key, (xml, product) in new.items()
    ]
    names = ("id", "product_id")
    added = add_rows(connection, products, inserted, only_new=True, returning=names)
    ids = {row.product_id: row.id for row in added}
    there = {key: product for key, (_, product) in new.items() if key not in ids}
    _compare(connection, there, event_id)
    _put_parts(connection, [(ids[key], new[key][1]) for key in ids], rows)
    return [new[key] for key in ids]


def _compare(connection: Connection, there: Mapping[str, Product], event_id: int) -> None:
    known = read_products(connection, list(there))
    for key, product in known.items():
        if _said(product) != _said(_kept(there[key])):
            raise InputError(
                f"product {shown(key)} is known with other content",
                hint=ONE_CONTENT,
            )
    pairs = {key: (known[key], _kept(there[key])) for key in known}
    _add_to_known(connection, pairs, event_id)


def _committed(
    connection: Connection, new: Iterable[tuple[str, Product]], fresh: Mapping[str, AnyRow]
) -> dict[str, AnyRow]:
    """Return the rows of all files of products, which are committed, and are the declared ones."""
    wanted: dict[str, None] = {}
    declared: dict[str, list[Checksum]] = defaultdict(list)
    for xml, product in new:
        wanted[xml] = None
        for reference in product.files:
            wanted[reference.name] = None
            if reference.checksum is not None:
                declared[reference.name].append(reference.checksum)
    rows = lock_files(connection, [name for name in wanted if name not in fresh])
    rows |= {name: fresh[name] for name in wanted if name in fresh}
    for name, row in rows.items():
        if row.state != FileState.COMMITTED:
            raise InputError(
                f"{shown(name)} is {row.state}: a product is registered after all its files",
                hint="register its files and their replicas first",
            )
    known = [
        File(name=name, size=rows[name].size, checksums=(checksum,))
        for name, checksums in declared.items()
        for checksum in checksums
    ]
    put_checksums(connection, known)
    return rows


def _said(product: Product) -> Product:
    """Return what a product says whoever registers it, whatever values are asked for."""
    return replace(product, values=(), links=tuple(said_links(product.links)))


def _add_to_known(
    connection: Connection, pairs: Mapping[str, tuple[Product, Product]], event_id: int
) -> None:
    """Add the values and links of products that are known without them."""
    more = {
        key: (set(new.values) - set(before.values), set(new.links) - set(before.links))
        for key, (before, new) in pairs.items()
        if before != new
    }
    if not more:
        return
    query = select(products.c.id, products.c.product_id)
    rows = where_in(connection, query, products.c.product_id, sorted(more))
    ids = {row.product_id: row.id for row in rows}
    valued = [_value_row(ids[key], one) for key, (values, _) in more.items() for one in values]
    linked = [_link_row(ids[key], one) for key, (_, links) in more.items() for one in links]
    added = add_rows(connection, product_values, valued, only_new=True, returning=("path",))
    add_rows(connection, product_links, linked, only_new=True)
    if added:
        doubt(connection, event_id)


def _value_row(key: int, one: ProductValue) -> dict[str, Any]:
    return {
        "product_id": key,
        "path": one.path,
        "ordinal": one.ordinal,
        "text": one.text,
        "number": one.number,
    }


def _link_row(key: int, one: ProductLink) -> dict[str, Any]:
    return {"product_id": key, "role": one.role, "target": one.target}


def _put_parts(
    connection: Connection, new: Sequence[tuple[int, Product]], rows: Mapping[str, AnyRow]
) -> None:
    named = [
        {
            "product_id": key,
            "ordinal": one.ordinal,
            "file_id": rows[one.name].id,
            "xpath": one.xpath,
            "format": one.format,
            "status": one.status,
        }
        for key, product in new
        for one in product.files
    ]
    valued = [_value_row(key, one) for key, product in new for one in product.values]
    linked = [_link_row(key, one) for key, product in new for one in set(product.links)]
    add_rows(connection, product_files, named)
    add_rows(connection, product_values, valued)
    add_rows(connection, product_links, linked)


def _kept(product: Product) -> Product:
    """Return what the registry keeps of a product, in its order."""
    return Product(
        product_id=product.product_id,
        type=product.type,
        namespace=product.namespace,
        header=dict(product.header),
        files=tuple(
            FileReference(
                name=one.name,
                ordinal=one.ordinal,
                xpath=one.xpath,
                format=one.format,
                status=one.status,
            )
            for one in sorted(product.files, key=lambda one: one.ordinal)
        ),
        links=tuple(sorted(set(product.links), key=lambda one: (one.role, one.target))),
        values=tuple(sorted(product.values, key=lambda one: (one.path, one.ordinal))),
    )


def read_products(connection: Connection, ids: Collection[str]) -> dict[str, Product]:
    """Return the products of these ids that there are; checksums are those of the files."""
    rows = where_in(connection, select(products), products.c.product_id, ids)
    keys = [row.id for row in rows]
    named = _parts(
        connection,
        select(product_files, files.c.name)
        .join(files, files.c.id == product_files.c.file_id)
        .order_by(product_files.c.ordinal),
        product_files.c.product_id,
        keys,
    )
    valued = _parts(connection, select(product_values), product_values.c.product_id, keys)
    linked = _parts(connection, select(product_links), product_links.c.product_id, keys)
    return {
        row.product_id: _kept(
            Product(
                product_id=row.product_id,
                type=row.type,
                namespace=row.namespace,
                header=row.header,
                files=tuple(map(_reference, named[row.id])),
                links=tuple(
                    ProductLink(role=one.role, target=one.target) for one in linked[row.id]
                ),
                values=tuple(map(_value, valued[row.id])),
            )
        )
        for row in rows
    }


def _parts(
    connection: Connection, query: Any, column: Any, keys: Collection[int]
) -> dict[int, list[AnyRow]]:
    found: dict[int, list[AnyRow]] = defaultdict(list)
    for row in where_in(connection, query, column, keys):
        found[row.product_id].append(row)
    return found


def _reference(row: AnyRow) -> FileReference:
    return FileReference(
        name=row.name,
        ordinal=row.ordinal,
        xpath=row.xpath,
        format=row.format,
        status=row.status,
    )


def _value(row: AnyRow) -> ProductValue:
    return ProductValue(path=row.path, ordinal=row.ordinal, text=row.text, number=row.number)


def named_by(connection: Connection, names: Collection[str]) -> list[str]:
    """Return the names of the files that products name, whose XML files have these names."""
    xml = files.alias("xml")
    query = (
        select(files.c.name)
        .join(product_files, product_files.c.file_id == files.c.id)
        .join(products, products.c.id == product_files.c.product_id)
        .join(xml, xml.c.id == products.c.xml_file_id)
    )
    return sorted({row.name for row in where_in(connection, query, xml.c.name, names)})
