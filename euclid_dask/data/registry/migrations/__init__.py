"""Revisions of the schema, run by Alembic when an older registry is opened for writing."""
