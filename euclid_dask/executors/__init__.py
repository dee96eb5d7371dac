"""Carrying out attempts: `local` by threads of this process, `dask` by a Dask cluster.

This room knows neither why a task runs nor what comes after it.
"""
