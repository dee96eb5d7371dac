"""Dask's dashboard: ours, loaded when somebody looks at it, as Bokeh is slow; and others'."""

import asyncio
from http import HTTPStatus
from importlib import import_module
from typing import Final

from distributed import Scheduler
from distributed.http.utils import get_handlers
from tornado import web
from tornado.httpclient import AsyncHTTPClient, HTTPError

_PATIENCE_S: Final = 5.0
_PARTS: Final = tuple(
    f"distributed.http.{part}" for part in ("scheduler.info", "scheduler.json", "health", "statics")
)
"""What the dashboard's pages link to, styles and images among them."""


def serve_when_asked(scheduler: Scheduler) -> None:
    """Have the scheduler's HTTP server load the dashboard at its first request for a page."""
    application = scheduler.http_application
    loading = asyncio.Lock()

    class Load(web.RequestHandler):
        """Loads the dashboard, then sends the visitor to the same place again."""

        async def get(self) -> None:
            """Answer the first request for a page."""
            async with loading:
                if lazy in application.applications:
                    module = await asyncio.to_thread(
                        import_module, "distributed.dashboard.scheduler"
                    )
                    routes = get_handlers(scheduler, list(_PARTS))
                    application.applications.remove(lazy)
                    application.add_application(web.Application(routes))
                    module.connect(application, scheduler.http_server, scheduler, prefix="/")
            self.redirect(str(self.request.uri))

    lazy = web.Application([(r"/.*", Load)])
    application.add_application(lazy)


async def find(url: str) -> str:
    """Return where a scheduler says that its dashboard is, if there is one; else ""."""
    try:
        await AsyncHTTPClient().fetch(
            url, method="HEAD", connect_timeout=_PATIENCE_S, request_timeout=_PATIENCE_S
        )
    except HTTPError as error:
        return url if error.code == HTTPStatus.METHOD_NOT_ALLOWED else ""
    except OSError:
        return ""
    return url
