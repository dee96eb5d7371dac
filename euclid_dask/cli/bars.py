"""Progress on a terminal: a bar of bytes, or a count of files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from euclid_dask.report.words import counted, printable, size

if TYPE_CHECKING:
    from euclid_dask.api.copies import Progress as CopyProgress


@contextmanager
def bytes_bar(what: str, *, quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar of bytes on a terminal, and nothing elsewhere; it is told of more, and of all."""
    from rich.console import Console  # noqa: PLC0415  slow to import
    from rich.progress import DownloadColumn, Progress, TransferSpeedColumn  # noqa: PLC0415

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    disabled = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disabled) as bar:
        task = bar.add_task(what, total=None)
        yield lambda some, total: bar.update(task, advance=some, total=total)


@contextmanager
def copying(*, quiet: bool) -> "Iterator[CopyProgress]":
    """Show a bar of bytes of copies on a terminal; tell anywhere what begins, and why it waits."""
    from euclid_dask.api.copies import Progress  # noqa: PLC0415  few commands copy

    told: set[str] = set()

    def say(line: str) -> None:
        if line not in told and not quiet:
            click.echo(printable(line), err=True)
        told.add(line)

    with bytes_bar("copying", quiet=quiet) as watch:
        yield Progress(
            begins=lambda files, some: say(f"copying {counted(files, 'file')} ({size(some)})"),
            wrote=watch,
            waits=lambda why: say(f"waits: {why}"),
        )


@contextmanager
def count(what: str, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """Show how many there were so far on a terminal, and nothing elsewhere."""
    from rich.console import Console  # noqa: PLC0415  slow to import
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}: {task.completed:,.0f}"),
        TimeElapsedColumn(),
    )
    disabled = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disabled) as bar:
        task = bar.add_task(what, total=None)
        yield lambda: bar.update(task, advance=1)
