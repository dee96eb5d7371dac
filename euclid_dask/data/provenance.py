"""What a product was made by, and from which others: kept with what the product itself says.

The attempt is kept as values, by which products can be found: `Run.Id`, `Run.Task`, `Run.Attempt`,
`Run.Executable`. Each product that went into it is a link whose role is `input` and the port.
"""

from collections.abc import Iterable
from typing import Final

from euclid_dask.core.values import Value, replace
from euclid_dask.data.model import Product, ProductLink, ProductValue

RUN: Final = "Run."
"""How the paths of values begin that a product does not say of itself."""
_INPUT: Final = "input "
"""How roles begin that a product does not say; those it says have no blank."""


class Origin(Value, frozen=True, kw_only=True):
    """The attempt that made a product, and what it was given."""

    run: str
    task: str
    attempt: int
    executable: str = ""
    inputs: tuple[tuple[str, str], ...] = ()
    """Ports, and the ids of products that came in by them; of other files the names."""


def with_origin(product: Product, origin: Origin) -> Product:
    """Return a product with what it was made by and from."""
    texts = {
        "Id": origin.run,
        "Task": origin.task,
        "Attempt": str(origin.attempt),
        "Executable": origin.executable,
    }
    values = tuple(
        ProductValue(
            path=f"{RUN}{name}",
            ordinal=0,
            text=text,
            number=float(origin.attempt) if name == "Attempt" else None,
        )
        for name, text in texts.items()
    )
    links = tuple(
        ProductLink(role=f"{_INPUT}{port}", target=target)
        for port, target in dict.fromkeys(origin.inputs)
    )
    return replace(product, values=(*product.values, *values), links=(*product.links, *links))


def origin_of(product: Product) -> Origin | None:
    """Return what a product of the registry was made by, None if nobody told."""
    texts = {one.path: one.text for one in product.values if one.path.startswith(RUN)}
    if not texts:
        return None
    return Origin(
        run=texts.get(f"{RUN}Id", ""),
        task=texts.get(f"{RUN}Task", ""),
        attempt=int(texts.get(f"{RUN}Attempt", "0")),
        executable=texts.get(f"{RUN}Executable", ""),
        inputs=tuple(
            (one.role.removeprefix(_INPUT), one.target)
            for one in product.links
            if is_input(one.role)
        ),
    )


def is_input(role: str) -> bool:
    """Tell whether a link says that something went into a product."""
    return role.startswith(_INPUT)


def said_links(links: Iterable[ProductLink]) -> list[ProductLink]:
    """Return the links that a product says of itself."""
    return [one for one in links if not is_input(one.role)]
