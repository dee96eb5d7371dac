"""The command `euclid-dask`: its subcommands by name, each imported when it is called."""

import gc
import io
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple

import click

import euclid_dask
from euclid_dask.cli.exits import guarded
from euclid_dask.dataflow.names import did_you_mean


class Entry(NamedTuple):
    """Where a command is, and what `--help` says of it."""

    module: str
    help: str


COMMANDS: Final = {
    "check": Entry("check", "Check a pipeline script without running it."),
    "run": Entry("run", "Run a pipeline."),
    "submit": Entry("submit", "Submit a job that runs a pipeline at a site."),
    "resume": Entry("resume", "Go on with a run that ended early, or run what has changed."),
    "status": Entry("status", "Tell how a run stands, also while it goes on."),
    "explain": Entry("explain", "Tell why tasks do not run, or how they came to their ends."),
    "report": Entry("report", "Report on a run: text, or one HTML file."),
    "advise": Entry("advise", "Say what executables should ask for, from what they used."),
    "show": Entry("show", "Show one task: command, files, attempts, logs."),
    "rerun": Entry("rerun", "Run a task again, and what depends on it."),
    "shell": Entry("shell", "Open a shell in the environment of a task."),
    "clean": Entry("clean", "Remove what runs made in a workdir."),
    "graph": Entry("graph", "Draw a pipeline or a run: text, SVG, Mermaid."),
    "storage": Entry("storage", "Register and check the places that keep files."),
    "ingest": Entry("ingest", "Register files where they lie."),
    "register": Entry("register", "Register the outputs of a run where they lie."),
    "find": Entry("find", "List products by what they say."),
    "locate": Entry("locate", "Show where files are, and the URLs to reach them."),
    "get": Entry("get", "Bring files and products into a folder."),
    "put": Entry("put", "Copy files and products into a storage, and register them."),
    "replicate": Entry("replicate", "Copy files to a storage."),
    "rule": Entry("rule", "Say which files shall have how many copies where."),
    "move": Entry("move", "Carry out the copies and removals that are queued."),
    "transfers": Entry("transfers", "List the copies that are queued, or failed."),
    "why": Entry("why", "Tell why a file is where it is, and not elsewhere."),
    "rm": Entry("rm", "Remove files from storages, but not the last copy."),
    "fsck": Entry("fsck", "Compare storages with what the registry says of them."),
    "product": Entry("product", "Look at data products."),
    "archive": Entry("archive", "Find, retrieve and put products of the Euclid archive."),
    "profiles": Entry("profiles", "Look at what tasks used, or gather it anew."),
    "site": Entry("site", "Write, convert and look at site files."),
    "mock": Entry("mock", "Write stand-ins and input data to run a pipeline with."),
    "demo": Entry("demo", "Simulate a small VIS camera and run its pipeline."),
    "completion": Entry("completion", "Print the completion script of a shell."),
}

EPILOG: Final = """\
\b
Examples:
  euclid-dask check pipeline.py
  euclid-dask run pipeline.py --workdir w image=raw.fits
  euclid-dask status w
  euclid-dask resume w
  euclid-dask demo --size 512

Exit codes: 0 done, 1 failed, 2 refused (nothing was run), 130 interrupted, 70 a mistake of ours.
"""


class App(click.Group):
    """The group of all commands, and the outermost door for errors."""

    def main(self, args: Sequence[str] | None = None, *others: Any, **settings: Any) -> Any:
        """Run the command line; exit with its code."""
        words = list(sys.argv[1:] if args is None else args) or ["--help"]
        settings["standalone_mode"] = False
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        code = guarded(lambda: super(App, self).main(words, *others, **settings), words)
        gc.freeze()  # with Dask loaded, looking for garbage at the end takes a tenth of a second
        sys.exit(code)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        entry = COMMANDS[cmd_name]
        command = import_module(f"euclid_dask.cli.{entry.module}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the words ask for; say which was meant if there is none."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(
                f"there is no command '{args[0]}'; "
                + did_you_mean(args[0], COMMANDS, "the commands are"),
                ctx,
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.group(cls=App, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(euclid_dask.__version__, prog_name="euclid-dask")
def app() -> None:
    """Run pipelines of science executables as dataflow graphs on Dask.

    A pipeline is a Python script: executables with named input and output files, wired by a
    function. Tasks run as soon as their inputs exist; work that is done is not done again.
    """
