"""One attempt on one host: command line, process, limits, profile, checks, receipt.

`bundle.run_bundle` is the door in, `leftovers` the door for a runner that came back. This room
knows no run, no journal and no Dask: a pilot imports it and `core`, and starts fast.
"""
