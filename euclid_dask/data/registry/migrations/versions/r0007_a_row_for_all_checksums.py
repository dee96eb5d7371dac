"""One row for all checksums of a file."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_SQLITE = """
    INSERT INTO file_checksums (file_id, checksums, declared)
    SELECT file_id, json_group_object(algorithm, value),
        json_group_array(algorithm) FILTER (WHERE declared)
    FROM each_checksum GROUP BY file_id"""
_POSTGRESQL = """
    INSERT INTO file_checksums (file_id, checksums, declared)
    SELECT file_id, json_object_agg(algorithm, value),
        coalesce(json_agg(algorithm) FILTER (WHERE declared), '[]')
    FROM each_checksum GROUP BY file_id"""


def upgrade() -> None:
    """Go from `down_revision` to `revision`."""
    lite = op.get_bind().dialect.name == "sqlite"
    op.rename_table("file_checksums", "each_checksum")
    if not lite:  # the names of constraints are taken there
        op.drop_constraint("fk_file_checksums_file_id", "each_checksum", type_="foreignkey")
        op.drop_constraint("pk_file_checksums", "each_checksum", type_="primary")
    op.create_table(
        "file_checksums",
        sa.Column("file_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("checksums", sa.JSON(), nullable=False),
        sa.Column("declared", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name=op.f("fk_file_checksums_file_id")),
        sa.PrimaryKeyConstraint("file_id", name=op.f("pk_file_checksums")),
        sqlite_with_rowid=False,
    )
    op.execute(_SQLITE if lite else _POSTGRESQL)
    op.drop_table("each_checksum")
