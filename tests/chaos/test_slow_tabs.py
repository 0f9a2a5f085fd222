"""Tabs that stop reading while an answer of 10,000 pieces streams: what they cost, and what they show then."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from chat.models import Assistant, Item
from chat.rendering.markdown import render
from core.bridge import in_database
from tests import factories
from tests.chaos.browser import Browser, browser
from tests.chaos.webs import Web, web_processes
from tests.responses_server import ResponsesServer
from tests.serving import noise

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

# more than one, so that what each costs stands out from what the process does anyhow
SLOW = 4
EVENTS = 10_000
BYTES_PER_SLOW_TAB = 5_000_000


class NarrowWeb(Web):
    server = ("tests.serving",)


@dataclass(slots=True)
class Watched:
    """How a turn went: seconds of the stream, seconds from its end to the page's, and the memory meanwhile."""

    turn: str
    streamed: float
    lagged: float
    peak: int


class Room:
    """A web process, one tab that reads, and some that can be told not to."""

    def __init__(self, web: Web, assistant: Assistant, upstream: ResponsesServer) -> None:
        self.web = web
        self.assistant = assistant
        self.upstream = upstream
        self.conversation = uuid.uuid4()
        self.reading: Browser
        self.slow: list[Browser] = []

    async def ask(self, text: str) -> str:
        client_id = await self.reading.post(text, self.conversation, self.assistant.pk)
        return await self.reading.stored(client_id)

    async def warm_up(self) -> None:
        """The first answer of a process loads code and connections; then everybody watches the conversation."""
        self.upstream.script({"text": "Welcome."})
        turn = await self.ask("Hello?")
        await self.reading.final(turn)
        for tab in self.slow:
            await tab.watch(self.conversation, turn)
            await tab.final(turn)

    async def answer(self, text: str, *, pausing: bool) -> Watched:
        """Ask and wait for the end; with `pausing` the slow tabs read nothing before 10,000 pieces were sent."""
        self.upstream.script({"text": text, "delay": 0.0004})
        turn = await self.ask("Talk to me.")

        async def begin(tab: Browser) -> None:
            await tab.shows(turn, 1)
            if pausing:
                tab.pause()

        await asyncio.gather(*(begin(tab) for tab in self.slow))
        entry, peak = self.upstream.requests[-1], 0
        while entry.deltas < EVENTS:
            peak = max(peak, self.web.resident_bytes())
            await asyncio.sleep(0.05)
        for tab in self.slow:
            tab.resume()
        await self.reading.final(turn)
        ended = time.monotonic()
        assert entry.finished is not None
        assert entry.first_byte is not None
        return Watched(turn, entry.finished - entry.first_byte, ended - entry.finished, peak)


@asynccontextmanager
async def room(folder: Path, upstream: ResponsesServer) -> AsyncIterator[Room]:
    """Each has a process of its own: memory that an earlier answer left free would hide what a later one takes."""

    def prepare() -> tuple[str, Assistant]:
        person = factories.user()
        model = factories.chat_model(endpoint=factories.responses_endpoint(upstream.base_url), name="scripted")
        return factories.session_of(person), factories.assistant(owner=person, model=model, retrieval="off")

    session, assistant = await in_database(prepare)
    async with AsyncExitStack() as stack:
        (web,) = await stack.enter_async_context(web_processes(folder, 1, kind=NarrowWeb))
        made = Room(web, assistant, upstream)
        made.reading = await stack.enter_async_context(browser([web.port], session))
        made.slow = [await stack.enter_async_context(browser([web.port], session)) for _ in range(SLOW)]
        await made.warm_up()
        yield made


async def test_tabs_that_do_not_read_cost_little_slow_nobody_and_catch_up(
    transactional_db: None, upstream: ResponsesServer, tmp_path: Path
) -> None:
    text = noise(EVENTS + 2_000, length=200)
    async with room(tmp_path, upstream) as made:
        usual = await made.answer(text, pausing=False)
        usually_shown = len(made.reading.page.changes[usual.turn])
    async with room(tmp_path, upstream) as made:
        paused = await made.answer(text, pausing=True)
        stored = await in_database(lambda: Item.objects.get(turn=paused.turn, role="assistant").text)
        assert stored == text
        for tab in made.slow:
            final = await tab.final(paused.turn)
            kinds = [frame["type"] for frame in tab.frames if frame.get("turn") == paused.turn]
            assert kinds.count("turn.snapshot") > 1, "it fell behind, and was brought up to date"
            assert tab.page.text(paused.turn) == str(render(stored))
            assert final["html"] == made.reading.page.final[paused.turn]["html"]
        assert made.reading.page.text(paused.turn) == str(render(stored))
        shown = len(made.reading.page.changes[paused.turn])
    assert paused.peak - usual.peak < SLOW * BYTES_PER_SLOW_TAB, (usual, paused)
    assert paused.streamed < 1.5 * usual.streamed + 1, (usual, paused)
    assert paused.lagged < usual.lagged + 2, (usual, paused)
    assert shown > usually_shown / 2, "the one that reads is shown as much as usual"
