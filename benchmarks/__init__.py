"""What our engine costs beside a bare spawner and beside the engines a user could pick instead.

Start with `python -m benchmarks --help`. Nothing here is imported by `euclid_dask`.
"""
