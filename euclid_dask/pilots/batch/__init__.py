"""Batch systems behind one seam: pure command lines and parsers, and what runs them."""
