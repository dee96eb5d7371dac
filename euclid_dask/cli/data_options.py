"""Options of the commands that speak with the registry."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from euclid_dask.api import Settings
from euclid_dask.cli.options import Option

if TYPE_CHECKING:
    from euclid_dask.api.data import DataSettings

DATA: Final[Sequence[Option[Any]]] = (
    click.option(
        "--registry",
        metavar="FILE|URL",
        envvar="EUCLID_DASK_REGISTRY",
        default="",
        help="The registry: a file (SQLite) or postgresql://...; default: a file in your home.",
    ),
    click.option(
        "--zone",
        envvar="EUCLID_DASK_ZONE",
        default="",
        show_default="local",
        help="The hosts that see storages as this one does.",
    ),
    click.option(
        "--credentials",
        metavar="FILE",
        envvar="EUCLID_DASK_CREDENTIALS",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Users and passwords or keys by name (TOML or netrc); only you may read it.",
    ),
)

values_option: Final = click.option(
    "--value",
    "values",
    multiple=True,
    metavar="PATH",
    help="Texts of products to find them by, besides their headers, as Data.TileIndex.",
)


def data_settings(given: Mapping[str, Any]) -> "DataSettings":
    """Return what these options say, or the site, if one is given."""
    settings = Settings(
        site=given.get("site"),
        registry=given["registry"],
        zone=given["zone"],
        credentials=given["credentials"],
    )
    return settings.data()
