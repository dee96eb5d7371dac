"""All engines, in the order of the table."""

from benchmarks.engines import (
    Engine,
    dask_native,
    floor_python,
    floor_spawn,
    floor_xargs,
    hyperqueue,
    ours,
    parsl_htex,
    parsl_threads,
    plain_dask,
    snakemake,
)

FLOOR = "floor-spawn"
PYTHON_FLOOR = "floor-python"
ENGINES: dict[str, Engine] = {
    engine.name: engine
    for module in (
        floor_spawn,
        floor_python,
        floor_xargs,
        ours,
        dask_native,
        plain_dask,
        parsl_threads,
        parsl_htex,
        hyperqueue,
        snakemake,
    )
    for engine in module.ENGINES
}
