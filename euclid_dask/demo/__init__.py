"""A small, real pipeline: simulate a VIS-like camera, reduce its frames, check the result."""
