"""The program of a Dask worker under a supervisor: it carries messages, and runs nothing itself.

It joins the scheduler that the scheduler file names. It ends when its supervisor does, when the
scheduler goes, and when the file names another one; the supervisor starts it again.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import dask.config
from distributed import Worker
from distributed.utils import get_ip

from euclid_dask.core.errors import WorkdirError
from euclid_dask.executors.dask import pilot
from euclid_dask.executors.dask.address import read_address
from euclid_dask.executors.dask.config import CONFIG
from euclid_dask.executors.dask.link import Link
from euclid_dask.executors.dask.security import membership
from euclid_dask.worker.link import SUPERVISOR

_SPARE_THREADS: Final = 2
_LOOK_S: Final = 1.0
_FLUSH_S: Final = 3.0


def main() -> None:
    """Be the worker; end without waiting for anything, since nothing here is of value."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the supervisor ends us, after its farewell
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    options = _options().parse_args()
    logging.getLogger("distributed").setLevel(logging.WARNING)  # it waits for hours, and says so
    status = 1
    try:
        with dask.config.set(CONFIG):
            asyncio.run(_live(options))
        status = 0
    except WorkdirError as error:
        sys.stderr.write(f"{error.message}\n")
    finally:
        sys.stderr.flush()
        os._exit(status)


async def _live(options: argparse.Namespace) -> None:
    link = await Link.open(Path(os.environ[SUPERVISOR]))
    pilot.be_supervised(link)
    listening = asyncio.create_task(link.listen())
    closed = asyncio.create_task(link.closed.wait())
    address = await _until_address(options.scheduler_file, link)
    serving = asyncio.create_task(_serve(options, address, link))
    moving = asyncio.create_task(_until_moved(options.scheduler_file, address))
    await asyncio.wait((closed, moving, serving), return_when=asyncio.FIRST_COMPLETED)
    if closed.done():
        await asyncio.wait((serving,), timeout=_FLUSH_S)
    if serving.done():
        serving.result()
    listening.cancel()


async def _serve(options: argparse.Namespace, address: str, link: Link) -> None:
    """Be a Dask worker until the scheduler goes or the supervisor leaves.

    Raises:
        WorkdirError: The scheduler does not say who it is.
    """
    if link.closed.is_set():
        return
    parts = urlsplit(address)
    if parts.scheme != "tls":
        raise WorkdirError(f"{options.scheduler_file} names {address}, which is not encrypted")
    worker = await Worker(
        address,
        name=f"{options.pilot}-{uuid4().hex[:8]}",  # the one before may not be missed yet
        host=get_ip(parts.hostname, parts.port),  # type: ignore[no-untyped-call]
        nthreads=options.slots + _SPARE_THREADS,
        memory_limit=0,
        local_directory=options.scratch,
        security=membership(options.scheduler_file.parent),
        dashboard=False,
        dashboard_address="127.0.0.1:0",
    )
    gone = asyncio.create_task(worker.finished())
    closed = asyncio.create_task(link.closed.wait())
    await asyncio.wait((gone, closed), return_when=asyncio.FIRST_COMPLETED)
    await worker.close(nanny=False, executor_wait=False)


async def _until_address(file: Path, link: Link) -> str:
    while not (address := read_address(file)) and not link.closed.is_set():  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_S)
    return address


async def _until_moved(file: Path, address: str) -> None:
    while read_address(file) in ("", address):  # noqa: ASYNC110 - a shared file tells nobody
        await asyncio.sleep(_LOOK_S)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Be the Dask worker of a supervised pilot.")
    parser.add_argument("--pilot", required=True, help="the pilot's id")
    parser.add_argument("--slots", required=True, type=int, help="most bundles at once")
    parser.add_argument("--scratch", required=True, help="a folder for Dask")
    parser.add_argument("--scheduler-file", required=True, type=Path, help="where to join")
    return parser


if __name__ == "__main__":
    main()
