"""Products of a type in order."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Go from `down_revision` to `revision`."""
    with op.batch_alter_table("products", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_products_type_product_id"), ["type", "product_id"], unique=False
        )
