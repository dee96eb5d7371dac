"""What outages cost on a real Slurm: ten of them, each in the middle of a run.

Start with `python -m benchmarks.outages --help`. The programs of the tasks write down their own
starts and ends; a checker that knows nothing of `euclid_dask` compares that with the journal.
"""
