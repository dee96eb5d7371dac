"""The registry: what files and products there are, where they are, and what is to be moved.

SQLite on a local disk, with one writing process, or PostgreSQL (docs/decisions).
"""

from euclid_dask.data.registry.registry import Registry

__all__ = ["Registry"]
