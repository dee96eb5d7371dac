"""From product to product: which others name one, or were made from it."""

from sqlalchemy import select

from euclid_dask.data.registry.engine import Database
from euclid_dask.data.registry.schema import product_links, products


class Lineage:
    """The links between the products of a registry."""

    def __init__(self, database: Database) -> None:
        """Take a registry's database."""
        self._database = database

    def to(self, product_id: str) -> list[tuple[str, str]]:
        """Return the products that link to one, by their ids, with the roles it has for them."""
        query = (
            select(products.c.product_id, product_links.c.role)
            .join(products, products.c.id == product_links.c.product_id)
            .where(product_links.c.target == product_id)
            .order_by(products.c.product_id, product_links.c.role)
        )
        rows = self._database.read(lambda it: it.execute(query).all())
        return [(row.product_id, row.role) for row in rows]
