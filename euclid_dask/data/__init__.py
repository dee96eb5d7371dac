"""Data: names, not URLs; where files are, how they get there, and the fewest copies on the way.

A file has one immutable name. A *storage* is a place that keeps replicas of files; an *access*
says how one zone (hosts with the same mounts and routes) reaches it. A URL is made at the last
moment, from a replica and an access, and is never kept.

Rule: nothing here knows of tasks, pilots or Dask.
"""
