"""Queues beside their history."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Go from `down_revision` to `revision`."""
    op.create_index("ix_transfers_file_id", "transfers", ["file_id"])
    op.create_index("ix_deletions_file_id", "deletions", ["file_id"])
    for name, state, columns in (
        ("ix_deletions_waiting", "queued", ["not_before_s", "id"]),
        ("ix_deletions_held", "running", ["lease_until_s"]),
    ):
        is_in = sa.text(f"state IN ('{state}')")
        op.create_index(name, "deletions", columns, sqlite_where=is_in, postgresql_where=is_in)
