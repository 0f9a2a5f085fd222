"""Whether this process lives, and whether it can do its work: for load balancers, container engines, the supervisor."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import cast
from urllib.parse import urlsplit

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis import asyncio as aioredis
from redis.exceptions import RedisError

from core.bridge import in_database

logger = logging.getLogger(__name__)

# Seconds within which each server has to answer.
PATIENCE = 2.0
POSTGRESQL = "postgresql"


@never_cache
@require_safe
async def livez(_request: HttpRequest) -> JsonResponse:
    """Answer 200: the process takes requests and its event loop runs. Asks no server, since to start this process
    again would bring none back.
    """
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
async def healthz(_request: HttpRequest) -> JsonResponse:
    """Answer 200 where this process can serve people, else 503; `away` names the servers that do not answer within two
    seconds.

    Without PostgreSQL nothing can be done. Without a Redis pages work and turns are answered, so it is only told of:
    `status` is "degraded" then. The reasons go to the log only: anybody may ask this address.
    """
    servers = {POSTGRESQL: in_database(_ask_postgresql), **{name: _ping(url) for name, url in _redis_urls().items()}}
    answers = await asyncio.gather(*(_answers(name, asked) for name, asked in servers.items()))
    away = [name for name, answered in zip(servers, answers, strict=True) if not answered]
    if POSTGRESQL in away:
        return JsonResponse({"status": "unavailable", "away": away}, status=503)
    return JsonResponse({"status": "degraded" if away else "ok", "away": away})


def _redis_urls() -> dict[str, str]:
    """One name per Redis server: broker, log and channel layer are often the same one, told apart by nothing."""
    urls = {
        "redis": settings.REDIS_URL,
        "redis_broker": settings.CELERY_BROKER_URL.replace("redis+socket://", "unix://").partition("?")[0],
        "redis_log": settings.REDIS_LOG_URL,
        "redis_channels": settings.REDIS_CHANNEL_URL,
    }
    servers: dict[str, str] = {}
    return {name: url for name, url in urls.items() if servers.setdefault(_server(url), name) == name}


def _server(url: str) -> str:
    """The part of a Redis address that names the server and not the database in it."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else parts.netloc


def _ask_postgresql() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


async def _ping(url: str) -> None:
    client = aioredis.Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
    try:
        await cast("Awaitable[bool]", client.ping())
    finally:
        await client.aclose()


async def _answers(name: str, asked: Awaitable[None]) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            await asked
    except (Error, RedisError, OSError) as error:
        logger.warning("%s does not answer: %s", name, error or type(error).__name__)
        return False
    return True
