"""Dask as the carrier: bundles become Dask graphs, Dask workers are pilots.

Dask remembers nothing for us. `executor.DaskExecutor` is the door, and it imports Dask only when
it is opened. `cluster` starts or finds a cluster, `server` is a scheduler that pilots come to,
`carrier` lives on the event loop, `pilot` is what runs on a Dask worker, `page` is Dask's own
dashboard, loaded when somebody looks at it. On a pilot with a supervisor, `supervised` is the Dask
worker's program and `link` its link to the supervisor; `address` and `security` tell it where the
scheduler is and let it in.
"""
