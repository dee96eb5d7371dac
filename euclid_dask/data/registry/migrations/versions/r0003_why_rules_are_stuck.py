"""Why rules are stuck."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Go from `down_revision` to `revision`."""
    op.create_table(
        "rule_stuck",
        sa.Column("rule_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("file_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "reason",
            sa.String().with_variant(sa.String(collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name=op.f("fk_rule_stuck_file_id")),
        sa.ForeignKeyConstraint(["rule_id"], ["rules.id"], name=op.f("fk_rule_stuck_rule_id")),
        sa.PrimaryKeyConstraint("rule_id", "file_id", name=op.f("pk_rule_stuck")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("rule_stuck", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rule_stuck_file_id"), ["file_id"], unique=False)
