"""Stand-ins for the science programs of a pipeline, and input data for it.

With them any pipeline runs whole on a laptop: each stand-in checks its inputs, uses the resources
it is told to, fails as often as it is told to, and writes outputs of the declared formats that
name the digests of all inputs.

`standin` is the program itself, `wiring` finds which files have to be lists, `plan` is the file
`mock.toml` that says how each executable behaves, `build` writes it all.
"""

from euclid_dask.mock.build import MockReport, build_mock
from euclid_dask.mock.plan import MockSettings

__all__ = ["MockReport", "MockSettings", "build_mock"]
