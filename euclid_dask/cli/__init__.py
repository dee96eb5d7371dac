"""The command line: click commands, exit codes, text and JSON output.

Rule: nothing here decides about a run; `euclid_dask.api` does, and `euclid_dask.report` words
what is told. Commands are imported when they are called, so that the command line starts fast.
"""


def main() -> None:
    """Be the command `euclid-dask`; end the process with its exit code."""
    from euclid_dask.cli.app import app  # noqa: PLC0415  fast start of `import euclid_dask.cli`

    app.main(prog_name="euclid-dask")
