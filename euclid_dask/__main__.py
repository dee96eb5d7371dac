"""`python -m euclid_dask`: the command line."""

from euclid_dask.cli import main

if __name__ == "__main__":
    main()
