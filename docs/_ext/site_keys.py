"""The directive `site-keys`: every key of a table of site files, asked of the code.

```{site-keys} Template
```
"""

import sys
from collections.abc import Sequence
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from euclid_dask.pilots import site
from euclid_dask.pilots.tables import help_of


class SiteKeys(SphinxDirective):
    """A table of keys: name, what it holds, default, meaning."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        self.env.note_dependency(str(sys.modules[site.__name__].__file__))
        head, body = nodes.thead(), nodes.tbody()
        group = nodes.tgroup("", *(nodes.colspec(colwidth=w) for w in (2, 4, 2, 5)), cols=4)
        titles = ("key", "holds", "default", "meaning")
        head += _row([nodes.Text(title) for title in titles])
        for known in help_of(getattr(site, self.arguments[0])):
            default = nodes.Text("must be there")
            cells = [
                nodes.literal(text=known.name),
                nodes.Text(known.holds),
                default if known.default is None else nodes.literal(text=known.default),
                nodes.Text(known.meaning),
            ]
            body += _row(cells)
        group += [head, body]
        return [nodes.table("", group)]


def _row(cells: Sequence[nodes.Node]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("site-keys", SiteKeys)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
