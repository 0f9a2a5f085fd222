"""The HTTP clients of the adapter: one for each server and key, shared by all turns of an event loop."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias
from weakref import WeakKeyDictionary

import httpx2
import openai.resources.responses.responses  # noqa: F401 - the package loads it late, which would hold up the first turn
from openai import AsyncOpenAI, DefaultAioHttpClient

MAX_CONNECTIONS = 2000
"""Per client. Unlimited (`None`) falls back to 100 in the aiohttp transport, which costs seconds at 200 turns."""

KEEP_ALIVE_SECONDS = 30.0
_NO_KEY = "none"


@dataclass(slots=True)
class _Shared:
    client: AsyncOpenAI
    users: int = 0


_Clients: TypeAlias = "OrderedDict[tuple[str, str], _Shared]"


class ClientPool:
    """Keeps at most `size` idle clients for each event loop; those in use are never closed under their users.

    The certificates are read once, when the pool is made: it takes longer than a request.
    """

    def __init__(self, *, size: int = 32) -> None:
        self._size = size
        self._tls = httpx2.create_ssl_context()
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Clients] = WeakKeyDictionary()

    @asynccontextmanager
    async def client(self, base_url: str, api_key: str) -> AsyncIterator[AsyncOpenAI]:
        clients = self._loops.setdefault(asyncio.get_running_loop(), OrderedDict())
        key = (base_url, api_key)
        shared = clients.get(key)
        if shared is None:
            shared = clients[key] = _Shared(self._connect(base_url, api_key))
        clients.move_to_end(key)
        shared.users += 1
        try:
            await self._evict(clients)
            yield shared.client
        finally:
            shared.users -= 1

    async def aclose(self) -> None:
        """Closes all clients of the running loop."""
        clients = self._loops.pop(asyncio.get_running_loop(), OrderedDict())
        while clients:
            _, shared = clients.popitem()
            await shared.client.close()

    async def _evict(self, clients: _Clients) -> None:
        idle = [key for key, shared in clients.items() if shared.users == 0]
        surplus = [clients.pop(key) for key in idle[: max(0, len(clients) - self._size)]]
        for shared in surplus:
            await shared.client.close()

    def _connect(self, base_url: str, api_key: str) -> AsyncOpenAI:
        return AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or _NO_KEY,
            max_retries=0,
            http_client=DefaultAioHttpClient(
                verify=self._tls,
                follow_redirects=False,
                limits=httpx2.Limits(
                    max_connections=MAX_CONNECTIONS,
                    max_keepalive_connections=MAX_CONNECTIONS,
                    keepalive_expiry=KEEP_ALIVE_SECONDS,
                ),
            ),
        )
