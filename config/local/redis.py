"""Redis in the data folder, reachable through a Unix socket only.

It keeps nothing on disk: it carries hints, "look for work" and the text of running turns, all of which come back from
PostgreSQL. A restart with an old snapshot would only bring back hints about work that is done.
"""

import signal
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import redis

from config.local.accounts import Account
from config.local.places import Places
from config.local.process import Program, Stage

_APPLICATION_DATABASE = 0
_BROKER_DATABASE = 1


@dataclass(frozen=True, kw_only=True)
class RedisServer:
    """One Redis: run its `program`, wait until it is `ready`. The socket's folder is closed to other users."""

    places: Places
    binary: Path
    account: Account
    memory: str = "256mb"
    databases: int = 16

    def url(self, database: int = _APPLICATION_DATABASE) -> str:
        """For redis-py and channels_redis."""
        return f"unix://{quote(str(self.places.redis_socket))}?db={database}"

    def broker_url(self, database: int = _BROKER_DATABASE) -> str:
        """The form that kombu knows for a Unix socket."""
        return f"redis+socket://{quote(str(self.places.redis_socket))}?virtual_host={database}"

    def program(self) -> Program:
        settings = {
            "port": "0",
            "unixsocket": str(self.places.redis_socket),
            "unixsocketperm": "700",
            "dir": str(self.places.redis),
            "save": "",
            "appendonly": "no",
            "databases": str(self.databases),
            "maxmemory": self.memory,
            # an evicted queue or log would be lost silently; a refused write is an error one can see
            "maxmemory-policy": "noeviction",
        }
        return Program(
            name="redis",
            command=[str(self.binary), *(part for name, value in settings.items() for part in (f"--{name}", value))],
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            directory=self.places.redis,
            account=self.account,
            stop=(Stage(signal.SIGTERM, 5),),
            shows=r"\b(Fatal|FATAL|OOM|PANIC)\b",
        )

    def ready(self) -> bool:
        """Whether it answers."""
        client = redis.Redis(unix_socket_path=str(self.places.redis_socket), socket_timeout=2)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()
