"""Servers that the settings name instead of the embedded ones: do they answer, and can they be used?

Answers within seconds, with one sentence that never holds a password.
"""

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import psycopg
import redis

from config.local.errors import Unreachable

_PATIENCE = 5
_PGVECTOR_MINIMUM = (0, 8)
_REDIS_NAMES = ("REDIS_URL", "REDIS_LOG_URL", "REDIS_CHANNEL_URL", "CELERY_BROKER_URL")


def check_database(name: str, url: str) -> None:
    """Raises `Unreachable` where the server that setting `name` gives is away, refuses us, or has no pgvector ≥ 0.8."""
    where = _where(url)
    try:
        with psycopg.connect(_libpq(url), connect_timeout=_PATIENCE) as connection:
            row = connection.execute(
                "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
            ).fetchone()
    except psycopg.Error as error:
        raise Unreachable(f"PostgreSQL at {where} ({name}) cannot be used: {_short(error)}") from error
    version = row[0] if row else ""
    if not version or tuple(int(part) for part in version.split(".")[:2]) < _PGVECTOR_MINIMUM:
        found = f"pgvector {version}" if version else "no pgvector"
        raise Unreachable(f"PostgreSQL at {where} ({name}) has {found}; Parley needs pgvector 0.8 or later.")


def check_redis(environment: Mapping[str, str]) -> None:
    """Raises `Unreachable` where one of the Redis servers that the settings give is away or refuses us."""
    for name in _REDIS_NAMES:
        url = environment.get(name, "")
        if url.startswith(("redis://", "rediss://", "unix://")):
            _check_one_redis(name, url)


def _check_one_redis(name: str, url: str) -> None:
    try:
        client = redis.Redis.from_url(url, socket_connect_timeout=_PATIENCE, socket_timeout=_PATIENCE, retry=None)
        try:
            client.ping()
        finally:
            client.close()
    except (redis.RedisError, ValueError, OSError) as error:
        raise Unreachable(f"Redis at {_where(url)} ({name}) cannot be used: {_short(error)}") from error


def _libpq(url: str) -> str:
    """libpq knows two of the schemes that settings may use."""
    return "postgresql://" + url.partition("://")[2]


def _where(url: str) -> str:
    """Host, port and path without user, password and options."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2] or parse_qs(parts.query).get("host", [""])[0]
    return f"{host}{parts.path}"


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".") + "."
