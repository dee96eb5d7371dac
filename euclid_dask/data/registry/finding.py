"""Queries for products as SQL."""

import operator
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    and_,
    case,
    cast,
    false,
    func,
    not_,
    or_,
    select,
    true,
)

from euclid_dask.core.errors import InputError
from euclid_dask.data.model import FoundProduct
from euclid_dask.data.query import All, Condition, Expression, Not, Operator, Query, paths
from euclid_dask.data.query import Any as AnyOf
from euclid_dask.data.registry.schema import files, product_values, products

_COLUMNS: Final = {
    "Header.ProductId": products.c.product_id,
    "Header.DataSetRelease": products.c.release,
}
_OPERATORS: Final = {
    Operator.EQUAL: operator.eq,
    Operator.LESS: operator.lt,
    Operator.LESS_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_EQUAL: operator.ge,
}
_EXACT: Final = 2**53
"""Integers up to this are told apart as numbers; ids of observations can be longer."""
_NUMBER: Final = r"^[+-]?([0-9]{1,100}\.?[0-9]{0,100}|\.[0-9]{1,100})([eE][+-]?[0-9]{1,2})?$"
"""A text that is a number, of which no database says that it is too large."""
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_", "*": "%"})


def find(connection: Connection, query: Query, *, limit: int, after: str) -> list[FoundProduct]:
    """Return products that a query asks for, by their ids, from the one after `after`.

    Raises:
        InputError: No product has a value at a path of the query: it was not read from them.
    """
    _check_paths(connection, query)
    wanted = (
        select(products.c.product_id, products.c.type, files.c.name.label("xml"))
        .join(files, files.c.id == products.c.xml_file_id)
        .where(_clause(query.where))
    )
    if query.type:
        wanted = wanted.where(products.c.type == query.type)
    if after:
        wanted = wanted.where(products.c.product_id > after)
    rows = connection.execute(wanted.order_by(products.c.product_id).limit(limit))
    return [FoundProduct(product_id=row.product_id, type=row.type, xml=row.xml) for row in rows]


def types(connection: Connection) -> list[str]:
    """Return the types of products that there are."""
    return list(connection.scalars(select(products.c.type).distinct().order_by(products.c.type)))


def value_paths(connection: Connection) -> list[str]:
    """Return the paths of values of products; by one look into the index for each."""
    found: list[str] = []
    smallest = select(func.min(product_values.c.path))
    path = connection.scalar(smallest)
    while path is not None:
        found.append(path)
        path = connection.scalar(smallest.where(product_values.c.path > path))
    return found


def _check_paths(connection: Connection, query: Query) -> None:
    if not connection.execute(select(products.c.id).limit(1)).first():
        return
    for path in sorted(paths(query.where)):
        there = select(product_values.c.path).where(product_values.c.path == path).limit(1)
        if not path.startswith("Header.") and not connection.execute(there).first():
            raise InputError(
                f"no product has the value {path} in the registry",
                hint="have it read when products are registered, or mend the query",
            )


def _clause(expression: Expression) -> ColumnElement[bool]:
    match expression:
        case Not(part=part):
            return not_(_clause(part))
        case All(parts=parts):
            return and_(true(), *map(_clause, parts))
        case AnyOf(parts=parts):
            return or_(*map(_clause, parts))
        case Condition():
            return _condition(expression)


def _condition(condition: Condition) -> ColumnElement[bool]:
    if condition.path in _COLUMNS:
        return _compared(_COLUMNS[condition.path], condition.operator, condition.text)
    root, _, field = condition.path.partition(".")
    if root == "Header":
        text = products.c.header[field].as_string()
        number = case((text.regexp_match(_NUMBER), cast(text, Float(53))))
        return func.coalesce(_value(condition, text, number), false())
    # not a correlated EXISTS: few products have the value, and they are found by its index
    return products.c.id.in_(
        select(product_values.c.product_id).where(
            product_values.c.path == condition.path,
            _value(condition, product_values.c.text, product_values.c.number),
        )
    )


def _value(
    condition: Condition, texts: ColumnElement[Any], numbers: ColumnElement[Any]
) -> ColumnElement[bool]:
    """Return that a value, which is given as a text and as a number, meets a condition."""
    number, sign = condition.number, condition.operator
    is_id = sign is Operator.EQUAL and number is not None and abs(number) > _EXACT
    if number is None or is_id or sign is Operator.LIKE:
        return _compared(texts, sign, condition.text)
    return _compared(numbers, sign, number)


def _compared(
    column: ColumnElement[Any], sign: Operator, value: str | float
) -> ColumnElement[bool]:
    if sign is Operator.LIKE:
        return column.like(str(value).translate(_ESCAPES), escape="\\")
    compared: ColumnElement[bool] = _OPERATORS[sign](column, value)
    return compared
