"""The words: ids, resources, ports, the flow, states, events, effects, errors, seams.

Everything here is a value or a table. This room knows no disk, no clock, no process and no Dask;
every other room may use it. Read `states`, `events`, `effects` first.
"""
