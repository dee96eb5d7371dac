"""From product to product, which others name one or were made from it; from file to product."""

from sqlalchemy import Connection, func, select

from euclid_dask.data.registry.engine import Database
from euclid_dask.data.registry.schema import files, product_files, product_links, products


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

    def of(self, file: str, *, limit: int) -> tuple[list[str], int]:
        """Return the first products that a file is or that name it, by ids, and how many more."""
        named = select(product_files.c.product_id.label("id"))
        named = named.join(files, files.c.id == product_files.c.file_id)
        being = select(products.c.id).join(files, files.c.id == products.c.xml_file_id)
        is_file = files.c.name == file
        keys = named.where(is_file).union(being.where(is_file)).subquery()
        first = select(keys.c.id).order_by(keys.c.id).limit(limit)
        query = select(products.c.product_id).where(products.c.id.in_(first))
        number = select(func.count()).select_from(keys)

        def work(connection: Connection) -> tuple[list[str], int]:
            found = list(connection.scalars(query.order_by(products.c.product_id)))
            return found, (connection.scalar(number) or 0) - len(found)

        return self._database.read(work)
