"""`python -m euclid_dask`: the command line."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the current folder: its files are not the modules that we import
    from euclid_dask.cli import main

    main()
