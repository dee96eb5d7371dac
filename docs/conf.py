"""Sphinx configuration: `sphinx-build -W -q docs docs/_build`. Needs no network."""

import sys
from pathlib import Path

import euclid_dask

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "euclid_dask"
author = "the euclid_dask developers"
copyright = author
version = release = euclid_dask.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "command_line",
    "site_keys",
    "states",
]
exclude_patterns = ["_build", "_ext"]
html_theme = "furo"
html_title = f"euclid_dask {release}"
html_show_sourcelink = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
default_role = "literal"  # docstrings write `code` with single backticks
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 88
nitpicky = False
