"""`completion`: the script by which a shell completes our commands and options."""

import click
from click.shell_completion import get_completion_class

from euclid_dask.cli.exits import DONE

EPILOG = """\
\b
Install it:
  bash: euclid-dask completion bash >> ~/.bashrc
  zsh:  euclid-dask completion zsh  >> ~/.zshrc
  fish: euclid-dask completion fish > ~/.config/fish/completions/euclid-dask.fish
"""


@click.command("completion", epilog=EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print the completion script of a SHELL."""
    from euclid_dask.cli.app import app  # noqa: PLC0415  app imports this module

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(app, {}, "euclid-dask", "_EUCLID_DASK_COMPLETE").source())
    return DONE
