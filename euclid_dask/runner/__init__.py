"""Carries runs out: journal first, then the planner's answers, then the executor.

Read `loop` for what happens in one turn, `journal` for what is written down, `recovery` for what
happens after a crash, `start` for how a run begins.
"""
