"""Carrying out processing orders of the archive: bring the inputs, run, give the outputs back.

Rule: the archive is told that an order runs only once nothing speaks against it; that it has ended
only when its outputs are there. Whatever is cut off between can be done again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from euclid_dask.api.preparing import load, prepare
from euclid_dask.api.results import RunResult
from euclid_dask.api.running import start
from euclid_dask.api.settings import Settings
from euclid_dask.core.errors import EuclidDaskError, InputError, StoppedError
from euclid_dask.core.values import to_json
from euclid_dask.data.archive.ingestion import Ingester
from euclid_dask.data.archive.metadata import Document, Metadata
from euclid_dask.data.archive.ppo import (
    OrderedPort,
    ProcessingOrder,
    isf_text,
    read_order,
    write_status,
)
from euclid_dask.data.archive.retrieval import Retriever, xml_name
from euclid_dask.data.archive.session import Session
from euclid_dask.data.filling import Fetched
from euclid_dask.data.lists import closure
from euclid_dask.data.names import check_name
from euclid_dask.data.storage import StorageError
from euclid_dask.dataflow.names import did_you_mean
from euclid_dask.runner.start import RunRequest
from euclid_dask.worker.clock import now_s

ISF: str = "order.isf"
ORDER: str = "order.xml"

CarryOut = Callable[[Callable[[Settings], RunResult], Settings], RunResult]
"""Carries out a run, as to show its progress meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPlan:
    """What an order asks for, and the products that it is to get: nothing is done yet."""

    path: Path
    order: ProcessingOrder
    script: Path
    workdir: Path
    documents: dict[str, list[Document]]
    """By port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDials:
    """How an order is carried out.

    `cache` is a directory that many orders share; `put` says whether outputs are given to the
    archive, `report` whether it is told how the order stands.
    """

    cache: Path | None = None
    put: bool = True
    report: bool = True
    watch: Callable[[Fetched], None] = lambda _: None


def plan_order(
    session: Session,
    path: str | Path,
    *,
    script: str | Path | None = None,
    workdir: str | Path | None = None,
    again: bool = False,
) -> OrderPlan:
    """Find out what an order asks for; change nothing.

    Args:
        session: The archive that has the inputs.
        path: The order.
        script: The pipeline script, in place of the order's.
        workdir: Where to run; default: a folder named by the order's id.
        again: Whether to carry it out though its status says that it runs, or has ended.

    Raises:
        InputError: The order cannot be carried out.
        StorageError: The archive does not answer.
    """
    order = read_order(Path(path))
    if not (order.is_startable or again):
        raise InputError(
            f"order {path} is {order.status}, and not {' or '.join(sorted(order.stage.startable))}",
            hint="--again carries it out all the same; what is done is not done again",
        )
    chosen = Path(script or order.script)
    if not script and not order.script:
        raise InputError(f"order {path} names no pipeline script", hint="give one: --script FILE")
    _check_ports(order, load(chosen).flow.body.inputs, chosen)
    metadata = Metadata(session)
    return OrderPlan(
        path=Path(path),
        order=order,
        script=chosen,
        workdir=Path(workdir or check_name(order.order_id)).absolute(),
        documents={port.name: _documents(metadata, port) for port in order.ports},
    )


def run_order(
    session: Session,
    plan: OrderPlan,
    settings: Settings | None = None,
    dials: OrderDials | None = None,
    carry_out: CarryOut = lambda run, settings: run(settings),
) -> RunResult:
    """Carry out an order to its end.

    Raises:
        PipelineError, InputError, SiteError: What is done is kept: call it again.
    """
    settings, dials = settings or Settings(), dials or OrderDials()
    stage = plan.order.stage
    ingester = Ingester(session) if dials.put or dials.report else None
    request, warnings = _staged(session, plan, settings, dials)

    def report(status: str, ended_s: float | None = None) -> None:
        if ingester is not None and dials.report:
            ingester.update(_status(plan, status, ended_s))

    report(stage.running)
    try:
        result = carry_out(lambda chosen: start(request, chosen, warnings), settings)
    except EuclidDaskError:
        with suppress(StorageError):  # what went wrong first is told
            report(stage.failed, now_s())
        raise
    done = result.state == "done"
    with _told_as_stopped(plan):
        if ingester is not None and dials.put and done:
            ingester.send(ingester.plan(list(output_products(result))))
        if result.state != "cancelled":
            report(stage.done if done else stage.failed, now_s())
    return result


def output_products(result: RunResult) -> Iterator[Path]:
    """Yield the products that are outputs of a run, also those that its output lists name.

    Raises:
        InputError: A list or product is damaged.
    """
    workdir = result.workdir

    def find(path: str) -> Path | None:
        return workdir / path if (workdir / path).is_file() else None

    found = [
        workdir / product
        for path in result.run.outputs().values()
        for product in closure(str(path), find).products
    ]
    yield from dict.fromkeys(found)


@contextmanager
def _told_as_stopped(plan: OrderPlan) -> Iterator[None]:
    """Say of what went wrong after the run that it can go on: nothing of it was refused."""
    try:
        yield
    except (InputError, StorageError) as error:
        raise StoppedError(
            f"the pipeline of order {plan.order.order_id} has ended, but the archive does not "
            f"have all of it: {error.message}",
            hint=error.hint or "call it again with --again: what is done is not done again",
        ) from error


def _staged(
    session: Session, plan: OrderPlan, settings: Settings, dials: OrderDials
) -> tuple[RunRequest, tuple[str, ...]]:
    """Bring the inputs and write the data file; return what to start, and warnings."""
    distinct = {
        one.product.product_id: one for port in plan.documents.values() for one in port
    }.values()
    Retriever(session, plan.workdir, dials.cache, dials.watch).products(list(distinct))
    files = {
        port.name: _port_file(plan.workdir, port, plan.documents[port.name])
        for port in plan.order.ports
    }
    isf = plan.workdir / ISF
    isf.write_text(isf_text(plan.order, files, plan.workdir))
    return prepare(
        plan.script, pkgrepo=None, workdir=plan.workdir, isf=isf, settings=settings, inputs={}
    )


def _port_file(workdir: Path, port: OrderedPort, documents: Sequence[Document]) -> str | None:
    """Return the file that a port gets, relative to the workdir; write it if it is a list."""
    names = [xml_name(one.product) for one in documents]
    if not port.is_list:
        return names[0]
    name = f"{check_name(port.name)}.json"
    (workdir / name).write_bytes(to_json(names) + b"\n")
    return name


def _status(plan: OrderPlan, status: str, ended_s: float | None = None) -> bytes:
    return write_status(plan.path, plan.workdir / ORDER, status, ended_s)


def _check_ports(order: ProcessingOrder, ports: Sequence[str], script: Path) -> None:
    for port in order.ports:
        if port.name not in ports:
            raise InputError(
                f"{script} has no input port '{port.name}', which order {order.order_id} fills",
                hint=did_you_mean(port.name, ports, "its ports are"),
            )
    filled = {port.name for port in order.ports}
    if missing := [name for name in ports if name not in filled]:
        raise InputError(
            f"order {order.order_id} says nothing of the input ports {', '.join(missing)} "
            f"of {script}"
        )


def _documents(metadata: Metadata, port: OrderedPort) -> list[Document]:
    """Return the products that a port is to get."""
    found: list[Document] = []
    for one in port.products:
        document = metadata.document(one.type, one.product_id)
        if document is None:
            raise InputError(
                f"port {port.name}: the archive has no {one.type} by the id {one.product_id}"
            )
        found.append(document)
    if not port.products and port.query:
        found = list(metadata.documents(port.type, port.query))
    port.refuse_count(len(found))
    return found
