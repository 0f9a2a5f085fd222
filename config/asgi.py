"""The ASGI entry point: pages over HTTP, the socket, and the turns of this process along its lifespan."""

import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

import django
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from channels.sessions import CookieMiddleware
from django.conf import settings
from django.core.asgi import get_asgi_application

from config.limits import BodyLimit

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from chat.routing import websocket_urlpatterns  # noqa: E402 - models can be imported only after setup
from chat.turns import process  # noqa: E402

logger = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def lifespan(_scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Start running turns before the first request and drain them after the last."""
    await receive()
    try:
        await process.start()
    except Exception as error:
        logger.exception("The web process could not start")
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await process.stop()
    await send({"type": "lifespan.shutdown.complete"})


application = ProtocolTypeRouter(
    {
        # an upload, and its form around it
        "http": BodyLimit(get_asgi_application(), settings.UPLOAD_MAX_BYTES + 1024 * 1024),
        "websocket": AllowedHostsOriginValidator(CookieMiddleware(URLRouter(websocket_urlpatterns))),
        "lifespan": lifespan,
    }
)
