"""What rules owe, what waits for a storage, and how many replicas there are, from indexes."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Go from `down_revision` to `revision`."""
    op.add_column(  # nobody noted which have been changed
        "rules", sa.Column("stale", sa.Boolean(), nullable=False, server_default=sa.true())
    )
    op.create_index("ix_replicas_storage_id_state", "replicas", ["storage_id", "state"])
    op.create_index("ix_products_xml_file_id", "products", ["xml_file_id"])
    op.drop_index("ix_product_files_file_id", "product_files")
    op.create_index(
        "ix_product_files_file_id_product_id", "product_files", ["file_id", "product_id"]
    )
    is_in = sa.text("state IN ('queued', 'retry')")
    op.create_index(
        "ix_transfers_awaited",
        "transfers",
        ["destination_id", "rank", "id"],
        sqlite_where=is_in,
        postgresql_where=is_in,
    )
