"""Tools for rounds: each asks a workshop that the test runs, and which counts what was really done.

A web process has them where `TOOLS` names them. `stamp` must never be done twice, `look` may.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp
from aiohttp import web

from tools.base import Context, Limits, Shape, Tool

TOOLS = "tests.chaos.tools.STAMP,tests.chaos.tools.LOOK"


class Place(Shape):
    """The configuration: where the workshop is."""

    url: str


class Wanted(Shape):
    mark: str


class Done(Shape):
    said: str


async def _do(wanted: Wanted, context: Context) -> Done:
    assert isinstance(context.config, Place)
    sent = {"mark": wanted.mark, "key": context.idempotency_key}
    async with aiohttp.ClientSession() as session, session.post(context.config.url, json=sent) as answer:
        return Done(said=await answer.text())


_tool = partial(Tool, arguments=Wanted, result=Done, run=_do, config=Place, limits=Limits(seconds=120))
STAMP = _tool(name="stamp", description="Stamp a mark, once.")
LOOK = _tool(name="look", description="Look at a mark.", repeatable=True)


@dataclass(slots=True)
class Run:
    """One time that a tool did its work. `finished` is when its result had been sent."""

    key: str
    finished: float | None = None


@dataclass(slots=True)
class Workshop:
    """Counts runs by mark; a run of a mark in `held` does not answer before it is released."""

    url: str = ""
    runs: defaultdict[str, list[Run]] = field(default_factory=lambda: defaultdict(list))
    held: dict[str, asyncio.Event] = field(default_factory=dict)

    def entries(self) -> list[dict[str, Any]]:
        """The tools as an assistant's version attaches them."""
        return [{"name": tool.name, "config": {"url": self.url}} for tool in (STAMP, LOOK)]

    def hold(self, mark: str) -> None:
        self.held[mark] = asyncio.Event()

    def release(self, mark: str) -> None:
        self.held[mark].set()

    def release_all(self) -> None:
        for event in self.held.values():
            event.set()

    def is_running(self, mark: str) -> bool:
        return any(run.finished is None for run in self.runs[mark])

    async def handle(self, request: web.Request) -> web.StreamResponse:
        wanted = await request.json()
        mark, run = wanted["mark"], Run(wanted["key"])
        self.runs[mark].append(run)
        if mark in self.held:
            await self.held[mark].wait()
        answer = web.Response(text=f"done: {mark}")
        await answer.prepare(request)
        await answer.write_eof()
        run.finished = time.monotonic()
        return answer


@asynccontextmanager
async def workshop() -> AsyncIterator[Workshop]:
    """A workshop on a free port of this machine."""
    made = Workshop()
    application = web.Application()
    application.add_routes([web.post("/", made.handle)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield made
    finally:
        made.release_all()
        await runner.cleanup()
