"""Sockets over the real server: what is too large, pages that are foreign, tabs that do not read."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from channels.sessions import CookieMiddleware
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chat.consumers import ChatConsumer
from chat.consumers.connection import Timing
from chat.models import Assistant, Turn
from chat.rendering.frames import screens
from core.bridge import in_database
from core.models import User
from tests import factories
from tests.chaos.browser import narrow_socket
from tests.chat_client import running_turns, tab_of
from tests.responses_server import ResponsesServer
from tests.serving import Served, Wire, noise, served, wire
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.django_db(transaction=True)

KIB, MIB = 1024, 1024 * 1024


@pytest.fixture
def session(person: User) -> str:
    return factories.session_of(person)


@pytest.fixture
async def site() -> AsyncIterator[Served]:
    async with running_turns(), served() as running:
        yield running


def message(size: int) -> str:
    """A message that would be stored if it were not for the size of its frame in bytes."""
    frame = {"type": "turn.create", "conversation": str(uuid.uuid4()), "client_id": str(uuid.uuid4()), "text": ""}
    empty = len(json.dumps({**frame, "ref": "large"}))
    return json.dumps({**frame, "ref": "large", "text": "x" * (size - empty)})


async def closed(tab: Wire) -> int | None:
    """Read until the server has closed the socket; return the code that it gave."""
    with suppress(ConnectionClosed):
        while True:
            await tab.receive()
    return tab.connection.close_code


# Too large, no text -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [256 * KIB + 1, 300 * KIB, MIB, 15 * MIB], ids=["256 KiB + 1", "300 KiB", "1 MiB", "15 MiB"]
)
async def test_an_oversized_frame_is_refused_and_the_socket_stays(site: Served, session: str, size: int) -> None:
    async with wire(site.port, session) as tab:
        await tab.connection.send(message(size))
        error = await tab.receive()
        assert (error["type"], error["code"]) == ("error", "invalid_input")
        assert "too large" in error["message"]
        assert error["ref"] == ("large" if size <= MIB else None)
        await tab.send(type="ping", ref="still here")
        assert (await tab.receive()) == {"type": "pong", "ref": "still here"}
    assert await in_database(Turn.objects.count) == 0


async def test_a_frame_in_many_pieces_is_one_frame(site: Served, session: str) -> None:
    async with wire(site.port, session) as tab:
        text = message(300 * KIB)
        await tab.connection.send(text[start : start + 1000] for start in range(0, len(text), 1000))
        assert (await tab.receive())["ref"] == "large"
        await tab.send(type="ping", ref="still here")
        assert (await tab.receive())["type"] == "pong"


@pytest.mark.parametrize(("sent", "code"), [("x" * 20 * MIB, 1009), (b"\xff\xfe", 1007)], ids=["20 MiB", "no UTF-8"])
async def test_what_the_server_itself_refuses_closes_that_socket_only(
    site: Served, session: str, sent: str | bytes, code: int
) -> None:
    async with wire(site.port, session) as other, wire(site.port, session) as tab:
        await tab.connection.send(sent, text=True)
        assert await closed(tab) == code
        await other.send(type="ping", ref="still here")
        assert (await other.receive())["type"] == "pong"
        async with wire(site.port, session) as again:
            await again.send(type="ping", ref="back")
            assert (await again.receive())["type"] == "pong"


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", None])
async def test_a_foreign_page_gets_no_socket(site: Served, session: str, origin: str | None) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with wire(site.port, session, origin=origin):
            pass
    assert caught.value.response.status_code == 403


# Tabs that do not read --------------------------------------------------------------------------------------------


async def reading_nothing(tab: Wire, person: User, assistant: Assistant, upstream: ResponsesServer) -> None:
    """Let the tab watch an answer that is larger than anything on the way would hold; return while it streams."""
    upstream.script({"text": noise(6_000, length=300), "delay": 0.0005})
    conversation = uuid.uuid4()
    async with tab_of(person) as asking:
        await asking.ask("Go on.", conversation, assistant=assistant.pk)
        await tab.send(type="subscribe", topic=f"conversation:{conversation}")
        await tab.growing()


async def gone(site: Served) -> None:
    """Wait until the application has done with every socket."""
    await until(lambda: not site.open_sockets)


async def test_a_tab_that_never_reads_again_leaves_nothing_behind(
    person: User, session: str, assistant: Assistant, upstream: ResponsesServer, caplog: pytest.LogCaptureFixture
) -> None:
    impatient = CookieMiddleware(ChatConsumer.as_asgi(timing=Timing(recheck=0.1, stuck=0.5, farewell=0.3)))
    async with running_turns(), served(impatient, narrow=True) as site:  # noqa: SIM117 - the second needs the first
        async with wire(site.port, session, sock=narrow_socket(site.port), max_queue=1) as tab:
            await reading_nothing(tab, person, assistant, upstream)
            before = asyncio.all_tasks()
            await site.held_up(0.2)
            assert site.open_sockets == 1
            await gone(site)
            left = {task.get_name() for task in asyncio.all_tasks() - before}
            assert not left, left
            ours = [task for task in asyncio.all_tasks() if "chat/consumers" in str(task.get_coro())]
            assert not ours, ours
            assert not screens._screens, "nobody watches the turn any more"
            tab.connection.transport.abort()
            async with asyncio.timeout(PATIENCE):
                while (await in_database(Turn.objects.get)).status != "completed":
                    await asyncio.sleep(0.1)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_tab_that_reads_again_too_late_is_told_why_it_is_closed(
    person: User, session: str, assistant: Assistant, upstream: ResponsesServer
) -> None:
    impatient = CookieMiddleware(ChatConsumer.as_asgi(timing=Timing(recheck=0.1, stuck=0.5, farewell=20)))
    async with running_turns(), served(impatient, narrow=True) as site:
        async with wire(site.port, session, sock=narrow_socket(site.port), max_queue=1) as tab:
            await reading_nothing(tab, person, assistant, upstream)
            await site.held_up(1.5)
            assert await closed(tab) == 4408
        await gone(site)
