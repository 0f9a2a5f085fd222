"""A scripted model server over real HTTP, for tests and benchmarks: the Responses API, embeddings and models.

A pytest plugin; in a test:

    async def test_answer(upstream):
        upstream.script({"text": "Hello", "delay": 0.01})
        ...  # point the application at upstream.base_url
        assert upstream.requests[0].body["store"] is False

As a program, driven by `POST /_script` (see `tests.upstream.script`), `GET /_log` and `POST /_reset`:

    python -m tests.responses_server --port 0 --print-port

Without a script it computes the answer from the request: it quotes the passages that it was given
(`tests.upstream.answers`). It listens on 127.0.0.1 only.
"""

import argparse
import asyncio
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web

from tests.upstream.app import Upstream
from tests.upstream.caching import PrefixCache
from tests.upstream.conversing import conversing
from tests.upstream.journal import Entry
from tests.upstream.obliging import obliging_answer
from tests.upstream.script import Computed, Script
from tests.upstream.servers import KINDS
from tests.waiting import wait_until

HOST = "127.0.0.1"


async def serve(upstream: Upstream, port: int) -> tuple[web.AppRunner, int]:
    """Starts the server and returns its runner and the port it got. A handler is cancelled when its client leaves."""
    runner = web.AppRunner(upstream.application(), handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    return runner, int(runner.addresses[0][1])


class ResponsesServer:
    """The server in a thread with an event loop of its own. All methods may be called from any thread."""

    def __init__(self, *, api_key: str = "", dimensions: int = 256) -> None:
        self.upstream = Upstream(api_key=api_key, dimensions=dimensions)
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="responses-server", daemon=True)
        self._ready = threading.Event()

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self.port}/v1"

    @property
    def entries(self) -> list[Entry]:
        """All requests, in the order in which they came."""
        return list(self.upstream.journal.entries)

    @property
    def requests(self) -> list[Entry]:
        """The requests for a response."""
        return [entry for entry in self.entries if entry.path == "/v1/responses"]

    def script(self, *scripts: Script | Mapping[str, Any]) -> None:
        """What to do with the next requests, one script for each."""
        self.upstream.scripts.add(*scripts)

    def let_go(self, hold: str) -> None:
        """Let what scripts hold under this name go on."""
        self._loop.call_soon_threadsafe(self.upstream.let_go, hold)

    def await_requests(self, count: int) -> None:
        """Wait until so many requests have come, of whatever kind."""
        wait_until(lambda: len(self.entries) >= count)

    def compute(self, function: Computed) -> None:
        """Makes the script of each request from its body."""
        self.upstream.scripts.compute(function)

    def play(self, kind: str) -> None:
        """Be a server of this kind (`tests.upstream.servers`), with a model that does what it is asked."""
        self.upstream.kind = KINDS[kind]
        self.compute(obliging_answer)

    def converse(self) -> None:
        """Be a model for long conversations, which caches the beginnings of requests and counts real tokens."""
        self.upstream.cache = PrefixCache()
        self.compute(conversing)

    def reset(self) -> None:
        self.upstream.reset()

    def start(self) -> None:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the scripted upstream did not start")

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        runner, self.port = await serve(self.upstream, 0)
        self._ready.set()
        try:
            await self._stop.wait()
        finally:
            await runner.cleanup()


@pytest.fixture(scope="session")
def responses_server() -> Iterator[ResponsesServer]:
    """One server for the whole run; take `upstream` in a test."""
    server = ResponsesServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def upstream(responses_server: ResponsesServer) -> Iterator[ResponsesServer]:
    """The server without scripts and with an empty log."""
    responses_server.reset()
    yield responses_server
    responses_server.reset()


async def _serve_forever(arguments: argparse.Namespace) -> None:
    upstream = Upstream(
        api_key=arguments.key, dimensions=arguments.dimensions, models=tuple(arguments.models.split(","))
    )
    if arguments.like:
        upstream.kind = KINDS[arguments.like]
        upstream.scripts.compute(obliging_answer)
    if arguments.converse:
        upstream.cache = PrefixCache()
        upstream.scripts.compute(conversing)
    runner, port = await serve(upstream, arguments.port)
    if arguments.print_port:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description="A scripted model server on 127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--print-port", action="store_true", help="write the port as the first line")
    parser.add_argument("--key", default="", help="take only this key; without it any but sk-wrong")
    parser.add_argument("--dimensions", type=int, default=256, help="of embeddings that ask for none")
    parser.add_argument("--models", default="scripted", help="names for GET /v1/models, separated by commas")
    parser.add_argument("--like", choices=sorted(KINDS), help="hear, refuse and speak as this server does")
    parser.add_argument("--converse", action="store_true", help="answer long conversations, cache their beginnings")
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve_forever(parser.parse_args()))


if __name__ == "__main__":
    main()
