"""What a round of kills needs: a person with an assistant, answers that can be foretold, and rows held at a border."""

import asyncio
import re
import threading
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction

from chat.models import Assistant, Conversation, Item, Response, Turn
from chat.rendering.turns import turn_html
from core.bridge import in_database
from core.models import Process, User
from tests import factories
from tests.chaos.browser import Browser
from tests.responses_server import ResponsesServer

_QUESTION = re.compile(r"(?P<point>[a-z ]+)\? \((?P<mark>\w+)\)")


def answer_to(question: str, words: int = 60) -> str:
    """What the upstream says to this question, however often it is asked."""
    body = " ".join(f"*word{number}*" if number % 7 == 0 else f"word{number}" for number in range(words))
    return f"# {question}\n\n{body}\n\n- one\n- two\n"


@dataclass(slots=True)
class Asked:
    """A message and what became of it."""

    point: str
    text: str
    conversation: uuid.UUID
    client_id: str
    turn: str = ""

    @property
    def answer(self) -> str:
        return answer_to(self.text)


@dataclass(slots=True)
class Stage:
    """`scripts` names, per point, how the first request for a question is answered; later ones are answered fast."""

    person: User
    assistant: Assistant
    upstream: ResponsesServer
    session: str
    scripts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)

    def script(self, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        text = str(body["input"][-1]["content"][-1]["text"])
        found = _QUESTION.fullmatch(text)
        assert found, text
        self.requests[text] += 1
        first = self.scripts.get(found["point"], {}) if self.requests[text] == 1 else {}
        return {"text": answer_to(text), "delay": 0.002, **first}

    async def ask(self, tab: Browser, point: str, conversation: uuid.UUID | None = None) -> Asked:
        """Send a message at once, without waiting for its acknowledgement."""
        text = f"{point}? ({uuid.uuid4().hex[:8]})"
        conversation = conversation or uuid.uuid4()
        return Asked(point, text, conversation, await tab.post(text, conversation, self.assistant.id))

    def deltas(self, asked: Asked) -> int:
        """Pieces of text that the upstream has sent for this question; -1 before it was asked."""
        entries = [entry for entry in self.upstream.requests if asked.text in str(entry.body)]
        return entries[-1].deltas if entries else -1

    def has_answered(self, asked: Asked) -> bool:
        return any(entry.finished for entry in self.upstream.requests if asked.text in str(entry.body))


def make_stage(upstream: ResponsesServer) -> Stage:
    person = factories.user()
    model = factories.chat_model(endpoint=factories.responses_endpoint(upstream.base_url), name="scripted")
    assistant = factories.assistant(owner=person, model=model, retrieval="off")
    stage = Stage(person, assistant, upstream, factories.session_of(person))
    upstream.compute(stage.script)
    return stage


def turn_row(turn: str) -> Turn:
    return Turn.objects.get(id=turn)


def owner_pid(turn: str) -> int | None:
    """The process that runs the turn now."""
    owner = Turn.objects.filter(id=turn, status=Turn.Status.IN_PROGRESS).values_list("owner", flat=True).first()
    return Process.objects.filter(id=owner).values_list("pid", flat=True).first() if owner else None


def where_it_is(asked: Asked) -> str:
    """The point that a message has come to, as its rows say."""
    turn = Turn.objects.filter(client_id=asked.client_id).first()
    if turn is None:
        return "not stored"
    if turn.status != Turn.Status.IN_PROGRESS:
        return "final" if turn.is_final else str(turn.status)
    last = turn.responses.order_by("step", "attempt").last()
    if last is None:
        return "claimed"
    return "answer not saved" if last.status == Response.Status.IN_PROGRESS else "answer saved, end not"


def waiting_for_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return int(cursor.fetchone()[0])


async def until(reached: Any, *arguments: Any, seconds: float = 20) -> None:
    """Ask the rows until this holds."""
    async with asyncio.timeout(seconds):
        while not await in_database(reached, *arguments):
            await asyncio.sleep(0.01)


@asynccontextmanager
async def held(turn: str, *, after_the_answer: bool) -> AsyncIterator[None]:
    """Hold a running turn back: before its answer is saved, or between the answer and the turn's end.

    Saving an answer locks the turn's row. A conversation that is locked without its key takes new items, but not the
    time of its last turn, which the turn's end writes.
    """
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            if after_the_answer:
                conversation = Turn.objects.get(id=turn).conversation_id
                Conversation.objects.select_for_update(no_key=True).get(id=conversation)
            else:
                Turn.objects.select_for_update().get(id=turn)
            locked.set()
            release.wait(60)

    holding = asyncio.create_task(in_database(hold))
    try:
        while not locked.is_set():
            assert not holding.done(), holding
            await asyncio.sleep(0.01)
        yield
    finally:
        release.set()
        await holding


async def assert_whole(tab: Browser, asked: Asked) -> None:
    """One turn, one message, one answer, the upstream's words, and the page shows what a reload would."""
    asked.turn = await tab.stored(asked.client_id)
    final = await tab.final(asked.turn)
    await in_database(_assert_stored, asked)
    assert final["status"] == "completed"
    assert final["html"] == await in_database(turn_html, uuid.UUID(asked.turn))
    live = [frame for frame in tab.frames if frame["type"] == "turn.final" and frame["turn"] == asked.turn]
    assert {frame["status"] for frame in live} == {"completed"}, "a turn was called final that was not"


def _assert_stored(asked: Asked) -> None:
    turn = Turn.objects.get(client_id=asked.client_id)
    assert (str(turn.id), turn.status, turn.owner) == (asked.turn, "completed", None)
    items = list(Item.objects.filter(turn=turn).order_by("position"))
    assert [item.role for item in items] == ["user", "assistant"], [item.text for item in items]
    assert [item.text for item in items] == [asked.text, asked.answer]
    assert not turn.responses.filter(status="in_progress").exists()
