"""What is told about runs: progress, terminal text, the HTML page, notebook displays.

Rule: this room reads runs, their records and views of them; it changes nothing and starts nothing.
"""
