"""Dask's dashboard, loaded when somebody looks at it, since Bokeh is slow to import."""

import asyncio
from importlib import import_module

from distributed import Scheduler
from tornado import web


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
                    application.applications.remove(lazy)
                    module.connect(application, scheduler.http_server, scheduler, prefix="/")
            self.redirect(str(self.request.uri))

    lazy = web.Application([(r"/.*", Load)])
    application.add_application(lazy)
