"""Pipeline processing orders (PPO): XML that says which pipeline is to run on which products.

What is read, by local names and wherever it is in the document:

    Id, ProcessingStatus (or ProcessingState, before 2015)              below the root
    PipelineScriptName, PipelineVersion, EdenVersion                     anywhere
    an element with InputPortName (or PortName) in it                    is an input port:
        elements in it with ProductId (ProductID), and ProductType           its products
        DataProductType, Query                                               or what to ask for them
        Cardinality {Optionality, Min, Max}                                  how many there may be

No schema of orders is public: this follows what listings of the archive and pipeline definitions
show. What else an order has stays as it is when its status is written.
"""

import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Final
from xml.etree import ElementTree as ET

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value
from euclid_dask.data.templates import write_product
from euclid_dask.data.xmlstream import XmlError, local_name, new_parser, open_regular, parse

MAX_ORDER_BYTES: Final = 16 << 20
_NAMES: Final = frozenset({"InputPortName", "PortName"})
_IDS: Final = frozenset({"ProductId", "ProductID"})


class Stage(Value, frozen=True, kw_only=True):
    """The words of one generation of orders for how an order stands."""

    element: str
    startable: frozenset[str]
    """When it is to be carried out; all others say that it is under way, or has ended."""
    running: str
    done: str
    failed: str


STAGES: Final = (
    Stage(
        element="ProcessingStatus",
        startable=frozenset({"ALLOCATED"}),
        running="EXECUTING",
        done="COMPLETED",
        failed="ERROR",
    ),
    Stage(
        element="ProcessingState",
        startable=frozenset({"NEW"}),
        running="RUNNING",
        done="TERMINATED",
        failed="ERROR",
    ),
)


class ProductRef(Value, frozen=True, kw_only=True):
    """A product that an order names."""

    type: str
    product_id: str


class OrderedPort(Value, frozen=True, kw_only=True):
    """What one input port of the pipeline is to get."""

    name: str
    products: tuple[ProductRef, ...] = ()
    type: str = ""
    """The type of products to ask for."""
    query: str = ""
    """What to ask for, when no products are named."""
    optional: bool = False
    least: int = 1
    most: int | None = 1
    """How many products there may be; None for any number."""

    @property
    def is_list(self) -> bool:
        """Whether the port gets a list file, as all do that may have other than one product."""
        return self.optional or self.most != 1

    def refuse_count(self, found: int) -> None:
        """Refuse another number of products than there may be.

        Raises:
            InputError: There are too few or too many.
        """
        least = 0 if self.optional else self.least
        if found < least or (self.most is not None and found > self.most):
            most = "any number" if self.most is None else str(self.most)
            raise InputError(
                f"port {self.name} wants {least} to {most} products of the archive, and there "
                f"are {found}"
            )


class ProcessingOrder(Value, frozen=True, kw_only=True):
    """What is to be run."""

    order_id: str
    status: str
    stage: Stage
    script: str
    """The path of the pipeline script, "" if the order does not say."""
    version: str = ""
    eden_version: str = ""
    ports: tuple[OrderedPort, ...] = ()

    @property
    def is_startable(self) -> bool:
        """Whether it waits to be carried out."""
        return self.status in self.stage.startable


def read_order(path: Path) -> ProcessingOrder:
    """Return what an order says.

    Raises:
        InputError: It cannot be read, or says too little.
    """
    try:
        with open_regular(path, MAX_ORDER_BYTES) as file:
            body = file.read()
        parse(io.BytesIO(body), new_parser())  # refuses what could be dangerous
    except XmlError as error:
        raise InputError(f"order {path} {error}") from None
    except OSError as error:
        raise InputError(f"order {path} cannot be read: {error.strerror}") from None
    try:
        return parse_order(ET.fromstring(body))  # noqa: S314  it has no DOCTYPE
    except InputError as error:
        raise InputError(f"order {path}: {error.message}", hint=error.hint) from None


def parse_order(root: ET.Element) -> ProcessingOrder:
    """Return what the root element of an order says.

    Raises:
        InputError: It has no id or status, or a port that nothing is said of.
    """
    top = {local_name(one.tag): _text(one) for one in root}
    stage = next((one for one in STAGES if one.element in top), None)
    if not top.get("Id") or stage is None:
        raise InputError(
            "this is no processing order: it has no Id and ProcessingStatus",
            hint="is it a product? those are inputs: euclid-dask run SCRIPT port=FILE",
        )
    ports: dict[str, OrderedPort] = {}
    for element in root.iter():
        if port := _port(element):
            ports[port.name] = _merged(ports.get(port.name), port)
    for port in ports.values():
        if not port.products and not port.query and not port.optional:
            raise InputError(f"nothing is said of what port {port.name} is to get")
    return ProcessingOrder(
        order_id=top["Id"],
        status=top[stage.element].upper(),
        stage=stage,
        script=_first(root, "PipelineScriptName"),
        version=_first(root, "PipelineVersion"),
        eden_version=_first(root, "EdenVersion"),
        ports=tuple(ports.values()),
    )


def write_status(order: Path, target: Path, status: str, ended_s: float | None = None) -> bytes:
    """Write an order with another status to `target`, and return it; all else stays.

    Args:
        order: The order as it was given.
        target: The file to write.
        status: The new status.
        ended_s: When it ended, in seconds since the epoch; told where the order has an `EndDate`.

    Raises:
        InputError: It is no order.
        SiteError: The target cannot be written.
    """
    element = read_order(order).stage.element
    texts = {element: status}
    if ended_s is not None and b"EndDate>" in order.read_bytes():
        date = datetime.fromtimestamp(ended_s, UTC)
        texts["EndDate"] = date.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    write_product(order, target, texts)
    return target.read_bytes()


def isf_text(order: ProcessingOrder, files: Mapping[str, str | None], workdir: Path) -> str:
    """Return the data file (ISF) by which `run` does what an order asks for.

    Args:
        order: The order.
        files: What each port gets: a file relative to the workdir, None for no file.
        workdir: Where it runs.
    """
    head = {"workdir": str(workdir), "edenVersion": order.eden_version}
    if order.script:
        head["pipelineDir"] = str(PurePosixPath(order.script).parent)
    lines = [f"{key}={' '.join(value.split())}" for key, value in head.items() if value]
    lines += [f"{port}={file or 'None'}" for port, file in files.items()]
    return f"# of the processing order {order.order_id}\n" + "\n".join(lines) + "\n"


_OPTIONAL: Final[Mapping[str, bool]] = MappingProxyType({"OPTIONAL": True, "MANDATORY": False})


def _port(element: ET.Element) -> OrderedPort | None:
    """Return the port that an element is, None if it is something else."""
    name = next((_text(one) for one in element if local_name(one.tag) in _NAMES), "")
    if not name:
        return None
    type_ = _first(element, "DataProductType")
    least, most = _first(element, "Min"), _first(element, "Max")
    return OrderedPort(
        name=name,
        products=tuple(_products(element, type_)),
        type=type_,
        query=_first(element, "Query"),
        optional=_optional(_first(element, "Optionality"), name),
        least=_number(least, name) if least else 1,
        most=None if most.lower() in {"unbounded", "n", "*"} else _number(most or "1", name),
    )


def _merged(before: OrderedPort | None, port: OrderedPort) -> OrderedPort:
    """Return a port of which two elements speak: its definition, and its products."""
    if before is None:
        return port
    rules = before if before.query or before.type else port
    products = before.products + port.products
    return OrderedPort(
        name=port.name,
        products=products,
        type=rules.type,
        query=rules.query,
        optional=rules.optional,
        least=rules.least,
        most=rules.most,
    )


def _products(port: ET.Element, type_: str) -> Iterator[ProductRef]:
    for element in port.iter():
        texts = {local_name(one.tag): _text(one) for one in element}
        for name in _IDS & texts.keys():
            own = texts.get("ProductType") or texts.get("DataProductType") or type_
            if not own:
                raise InputError(f"the type of product {texts[name]} is not said")
            yield ProductRef(type=own, product_id=texts[name])


def _optional(text: str, port: str) -> bool:
    if text and text.upper() not in _OPTIONAL:
        raise InputError(f"port {port}: {text!r} is neither OPTIONAL nor MANDATORY")
    return _OPTIONAL.get(text.upper(), False)


def _number(text: str, port: str) -> int:
    if not text.isdecimal():
        raise InputError(f"port {port}: {text!r} is no number of products")
    return int(text)


def _first(element: ET.Element, name: str) -> str:
    found = (one for one in element.iter() if local_name(one.tag) == name)
    return next(filter(None, map(_text, found)), "")


def _text(element: ET.Element) -> str:
    return (element.text or "").strip()
