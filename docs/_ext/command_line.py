"""The directive `command-line`: the help of every command, asked of click when the docs are built.

```{command-line} euclid_dask.cli.app:app
```
"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

WIDTH: Final = 84


class CommandLine(SphinxDirective):
    """A section for each command of a click group, with its help as `--help` prints it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        module, _, name = self.arguments[0].partition(":")
        group = getattr(import_module(module), name)
        self.env.note_dependency(str(import_module(module).__file__))
        return [self._section(path, text) for path, text in helps(group, "euclid-dask")]

    def _section(self, path: str, text: str) -> nodes.section:
        title = path if path == "euclid-dask" else path.removeprefix("euclid-dask ")
        section = nodes.section(ids=[nodes.make_id(path)], names=[path])
        section += nodes.title(text=title)
        section += nodes.literal_block(text, text, language="text")
        self.state.document.note_explicit_target(section, section)
        return section


def helps(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the words and the help of a command, then those of its subcommands."""
    widths = {"max_content_width": WIDTH, "terminal_width": WIDTH}
    settings = {**command.context_settings, **widths}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for word in command.list_commands(context):
            child = command.get_command(context, word)
            if child is not None and not child.hidden:
                yield from helps(child, word, context)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
