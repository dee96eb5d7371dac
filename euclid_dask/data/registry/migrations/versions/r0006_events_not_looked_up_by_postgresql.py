"""Events are not looked up again by PostgreSQL for each row that names one.

It looks row by row, which is a tenth of what its server does when files are registered. SQLite
would have to write all tables anew.
"""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Go from `down_revision` to `revision`."""
    if op.get_bind().dialect.name == "sqlite":
        return
    for table in ("files", "replicas", "products"):
        op.drop_constraint(f"fk_{table}_event_id", table, type_="foreignkey")
