"""Connections to the Redis that keeps the log of running turns. Emptying it loses nothing that a user made."""

from django.conf import settings
from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

# Seconds that one command may take; blocking reads add their own wait to it.
COMMAND_TIMEOUT = 5.0


def log_client(*, connections: int = 16) -> "aioredis.Redis":
    """Return a client for the log, for the running event loop only. Close it with `aclose()`."""
    client: aioredis.Redis = aioredis.Redis.from_url(
        settings.REDIS_LOG_URL,
        max_connections=connections,
        socket_timeout=COMMAND_TIMEOUT,
        socket_connect_timeout=2.0,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
        health_check_interval=30,
    )
    return client


def key(*parts: object) -> str:
    """Return a key under this installation's prefix."""
    return ":".join([settings.REDIS_PREFIX, *map(str, parts)])
