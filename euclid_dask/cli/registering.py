"""`--register`: the outputs of a run are registered as soon as it is done."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from euclid_dask.api import RunResult
from euclid_dask.cli.data_options import data_settings
from euclid_dask.core.errors import EuclidDaskError, StoppedError
from euclid_dask.report.words import counted, size

if TYPE_CHECKING:
    from euclid_dask.api.registering import Registered

register_option: Final = click.option(
    "--register",
    is_flag=True,
    help="Register the outputs when the run is done, as `euclid-dask register` does.",
)


def refuse_early(given: Mapping[str, Any]) -> None:
    """Refuse before a run what would keep its outputs from being registered after it."""
    if given.get("register"):
        from euclid_dask.api.registering import (  # noqa: PLC0415  few runs are registered
            refuse_without_registry,
        )

        refuse_without_registry(data_settings(given))


def registered(result: RunResult, given: Mapping[str, Any]) -> "Registered | None":
    """Register the outputs of a run that is done, if somebody asked for it.

    Raises:
        StoppedError: They are not registered, or not all of them.
    """
    if not given.get("register") or result.state != "done":
        return None
    from euclid_dask.api.registering import register  # noqa: PLC0415  few runs are registered

    try:
        return register(result.workdir, result.id, data_settings(given))
    except EuclidDaskError as error:
        raise StoppedError(
            f"{result.id} is done, but not all of its outputs are registered: {error.message}",
            hint=error.hint or f"call it again: euclid-dask register {result.workdir}",
        ) from error


def registered_text(done: "Registered", *, would: bool = False) -> Iterator[str]:
    """Yield what is said of outputs that were registered."""
    if would:
        yield from (f"would register {name}" for name in done.files)
    place = f" in storage {done.storage}" if done.storage else ""
    yield (
        f"{'would register' if would else 'registered'} {counted(len(done.files), 'file')} "
        f"({size(done.size)}), of these {counted(len(done.products), 'product')}{place}"
    )
    if done.copies:
        yield f"copies made that rules want: {done.copies:,}"
    if done.waiting:
        yield f"copies that rules want are still to be made: {done.waiting}"
