"""Pilots in batch systems: sites, job scripts, batch commands, the program on the pilot.

Rule: nothing here knows runs or why a task runs; tasks come in bundles, through `core.seams`.
"""
