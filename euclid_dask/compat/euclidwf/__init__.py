"""The import names of pipeline scripts, kept by euclid_dask: everything here is defined there."""
