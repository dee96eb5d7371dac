"""The graph of a pipeline: build it from a flow, check it, select parts of it, draw it.

This room knows no files of a run and not who runs it. It imports networkx only where a graph is
really built, so that loading a script stays fast.
"""
