"""What a registered product was made by and from, and what was made from it."""

from typing import Literal, overload

from euclid_dask.api.data import DataSettings, open_registry
from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value
from euclid_dask.data.model import Product
from euclid_dask.data.provenance import Origin, is_input, origin_of
from euclid_dask.data.registry.lineage import Lineage as Links


class Lineage(Value, frozen=True, kw_only=True, omit_defaults=False):
    """The parents and children of a product."""

    origin: Origin | None
    """The attempt that made it, with its inputs; None if it came from elsewhere."""
    children: tuple[str, ...]
    """The ids of products that were made from it."""


class Known(Value, frozen=True, kw_only=True):
    """A product as the registry knows it."""

    product: Product
    lineage: Lineage


@overload
def known(settings: DataSettings, product_id: str) -> Known: ...
@overload
def known(settings: DataSettings, product_id: str, *, must: Literal[False]) -> Known | None: ...
def known(settings: DataSettings, product_id: str, *, must: bool = True) -> Known | None:
    """Return what the registry knows of a product, None if nothing.

    Raises:
        InputError: It knows nothing and must, or there is no registry.
    """
    with open_registry(settings, read_only=True) as registry:
        found = registry.products([product_id])
        links = Links(registry.database).to(product_id) if found else []
    if not found:
        if must:
            raise InputError(
                f"there is no file {product_id}, and the registry knows no product of this id",
                hint="products that are registered: euclid-dask find TYPE",
            )
        return None
    product = found[product_id]
    children = dict.fromkeys(child for child, role in links if is_input(role))
    lineage = Lineage(origin=origin_of(product), children=tuple(children))
    return Known(product=product, lineage=lineage)
