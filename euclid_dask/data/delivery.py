"""Brings files to where they are wanted: the next copies that are to be made, and no more.

Rule: nothing is remembered. What is to be queued follows from where the files are now; whoever
asks again after some transfers have ended gets the next ones, and in the end none.
"""

from collections.abc import Callable, Collection, Sequence

from euclid_dask.data.registry import Registry
from euclid_dask.data.routes import Hop, Network

Copies = list[tuple[str, str]]
"""Files, and the storages that are to have them next: what the registry's queue takes."""


def copies_to_zone(
    registry: Registry, names: Sequence[str], zone: str, *, keep: Sequence[str] = ()
) -> Copies:
    """Return which copies are to be made next, so that tasks in `zone` can link the files.

    Args:
        registry: Knows where the files are, and the ways between storages.
        names: The files.
        zone: Where the tasks run.
        keep: Storages that must get a replica on the way, as the archive of a data centre.

    Raises:
        NoRouteError: There is no way for one of them.
    """
    return _next(registry, names, lambda net, holders: net.plan(holders, zone, keep=keep))


def copies_to_storage(registry: Registry, names: Sequence[str], storage: str) -> Copies:
    """Return which copies are to be made next, so that `storage` gets the files.

    Raises:
        NoRouteError: There is no way for one of them.
    """
    return _next(registry, names, lambda net, holders: net.route(holders, {storage}))


def _next(
    registry: Registry,
    names: Sequence[str],
    route: Callable[[Network, Collection[str]], Sequence[Hop]],
) -> Copies:
    storages = {storage.name: storage for storage in registry.storages.all()}
    network = Network(storages, registry.storages.accesses())
    copies: Copies = []
    for name, replicas in registry.locate(names).items():
        holders = {replica.storage for replica in replicas}
        hops = route(network, holders)
        copies += [(name, hop.destination) for hop in hops if hop.source in holders]
    return copies
