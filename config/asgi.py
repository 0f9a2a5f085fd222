"""The ASGI entry point: pages over HTTP, the socket, and the turns of this process along its lifespan."""

import gc
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import django
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.sessions import CookieMiddleware
from django.conf import settings
from django.core.asgi import get_asgi_application

from config.limits import BodyLimit
from config.origins import SameOrigin

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from chat.routing import websocket_urlpatterns  # noqa: E402 - models can be imported only after setup
from chat.turns import process  # noqa: E402

# Seconds; Python's own is ten times as long.
SWITCH_INTERVAL = 0.0005

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def _spare_the_collector() -> None:
    """Leave what was loaded by now out of the search for cyclic garbage.

    A full search through it takes a third of a second, in which every stream of the process stands still; and what a
    turn leaves behind in cycles is found among the young objects, which are looked through less often than by default.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


async def lifespan(_scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Start running turns before the first request and drain them after the last."""
    await receive()
    # what it raises ends the process: every command of ours says `--lifespan on`
    await process.start()
    _spare_the_collector()
    # a thread that comes back from the database waits for the interpreter no longer than that
    sys.setswitchinterval(SWITCH_INTERVAL)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await process.stop()
    await send({"type": "lifespan.shutdown.complete"})


application = ProtocolTypeRouter(
    {
        # an upload, and its form around it
        "http": BodyLimit(get_asgi_application(), settings.UPLOAD_MAX_BYTES + 1024 * 1024),
        "websocket": SameOrigin(CookieMiddleware(URLRouter(websocket_urlpatterns))),
        "lifespan": lifespan,
    }
)
