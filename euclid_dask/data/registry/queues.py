"""The queues as people look at them: what waits, what failed and why, what is to be hurried."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, func, select, update

from euclid_dask.core.values import Value
from euclid_dask.data.model import Deletion, Transfer, TransferState
from euclid_dask.data.registry.deletions import Deletions
from euclid_dask.data.registry.engine import Database
from euclid_dask.data.registry.needs import Needs
from euclid_dask.data.registry.rows import batches, file_ids, storage_ids, where_in
from euclid_dask.data.registry.schema import (
    IS_ACTIVE,
    deletions,
    files,
    rule_stuck,
    rule_targets,
    rules,
    transfers,
)
from euclid_dask.data.registry.transfers import Transfers
from euclid_dask.data.states import ACTIVE


class Standing(Value, frozen=True, kw_only=True):
    """A transfer, since when it stands so, and when it is tried again."""

    transfer: Transfer
    since_s: float
    """Seconds since the epoch."""
    not_before_s: float = 0.0
    """Not claimed before, in seconds since the epoch; in the past when it can be at any time."""


class Queues:
    """The transfers and deletions of a registry, as people look at them."""

    def __init__(self, database: Database) -> None:
        """Take a registry's database."""
        self._database = database

    def counts(self, states: Collection[TransferState]) -> Mapping[TransferState, int]:
        """Return how many transfers are in each of some states.

        All history is read, if it is not only of those that are still to have an end.
        """
        query = select(transfers.c.state, func.count()).where(_stands(states))
        query = query.group_by(transfers.c.state)
        rows = self._database.read(lambda it: it.execute(query).all())
        return {TransferState(state): number for state, number in rows}

    def transfers(
        self,
        states: Collection[TransferState],
        names: Collection[str] | None = None,
        *,
        limit: int | None = None,
    ) -> list[Standing]:
        """Return transfers that stand so, the newest first; of each file and storage the last.

        Args:
            states: In which of these states.
            names: Names of files; any if None.
            limit: How many at most; all if None.
        """
        later = transfers.alias("later")
        is_last = (
            ~select(later.c.id)
            .where(
                later.c.file_id == transfers.c.file_id,
                later.c.destination_id == transfers.c.destination_id,
                later.c.id > transfers.c.id,
            )
            .exists()
        )
        query = (
            select(transfers.c.id, transfers.c.changed_at_s, transfers.c.not_before_s)
            .where(_stands(states), is_last)
            .order_by(transfers.c.id.desc())
            .limit(limit)
        )
        if names is None:
            rows = self._database.read(lambda it: it.execute(query).all())
        else:
            query = query.join(files, files.c.id == transfers.c.file_id)
            rows = self._database.read(lambda it: where_in(it, query, files.c.name, names))[:limit]
        told = {
            one.id: one
            for batch in batches(row.id for row in rows)
            for one in Transfers(self._database).get(batch)
        }
        return [
            Standing(transfer=told[row.id], since_s=row.changed_at_s, not_before_s=row.not_before_s)
            for row in rows
        ]

    def hurry(self, ids: Sequence[int]) -> None:
        """Have transfers that wait for their next try be tried at once."""
        query = update(transfers).values(not_before_s=0)
        query = query.where(transfers.c.state == TransferState.RETRY)
        self._database.write(
            lambda it: [
                it.execute(query.where(transfers.c.id.in_(batch))) for batch in batches(ids)
            ]
        )

    def deletions_of(self, names: Collection[str]) -> list[Deletion]:
        """Return all deletions of files, also those that have ended, in their order."""
        query = select(deletions.c.id).join(files, files.c.id == deletions.c.file_id)
        rows = self._database.read(lambda it: where_in(it, query, files.c.name, names))
        return [
            one
            for batch in batches(sorted(row.id for row in rows))
            for one in Deletions(self._database).get(batch)
        ]

    def needed(
        self, wanted: Sequence[tuple[str, str]], *, last_copy: bool, adopted: bool
    ) -> Mapping[tuple[str, str], str]:
        """Return which replicas have to stay by now, and why.

        Args:
            wanted: Names of files and storages.
            last_copy: Whether the last good replica of a file may go.
            adopted: Whether replicas may go that were registered where they lay.

        Raises:
            InputError: A file or storage is not known.
        """

        def work(connection: Connection) -> Mapping[tuple[str, str], str]:
            keys = file_ids(connection, {name for name, _ in wanted})
            places = storage_ids(connection, {storage for _, storage in wanted})
            needs = Needs(connection, sorted(keys.values()))
            rows = {
                (name, storage): needs.replicas.get((keys[name], places[storage]))
                for name, storage in wanted
            }
            reasons = {
                pair: needs.why(row, last_copy=last_copy, adopted=adopted)
                for pair, row in rows.items()
                if row is not None
            }
            return {pair: reason for pair, reason in reasons.items() if reason}

        return self._database.read(work)

    def targets_of(self, rule: str) -> tuple[int, Mapping[str, int]]:
        """Return how many targets a rule has, and how many files are stuck for which reason."""
        targets = (
            select(func.count())
            .select_from(rule_targets)
            .join(rules, rules.c.id == rule_targets.c.rule_id)
            .where(rules.c.name == rule)
        )
        stuck = (
            select(rule_stuck.c.reason, func.count().label("number"))
            .join(rules, rules.c.id == rule_stuck.c.rule_id)
            .where(rules.c.name == rule)
            .group_by(rule_stuck.c.reason)
        )
        return self._database.read(
            lambda it: (
                int(it.scalar(targets) or 0),
                {row.reason: row.number for row in it.execute(stuck)},
            )
        )


def _stands(states: Collection[TransferState]) -> ColumnElement[bool]:
    if set(states) == ACTIVE:
        return IS_ACTIVE  # as the index of such rows says it
    return transfers.c.state.in_(sorted(states))
