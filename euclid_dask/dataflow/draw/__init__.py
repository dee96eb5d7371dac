"""Drawings of a flow: SVG for pages and notebooks, Mermaid for documents, text for terminals."""

from euclid_dask.dataflow.draw.mermaid import to_mermaid
from euclid_dask.dataflow.draw.svg import to_svg
from euclid_dask.dataflow.draw.text import to_text

__all__ = ["to_mermaid", "to_svg", "to_text"]
