"""What was said long ago reaches a model by a summary, and not by a window; and only "full" sends ever more.

The whole path, turn by turn, with a small window in place of many turns: `benchmarks.context` holds 200.
"""

import re
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

import chat.tasks  # noqa: F401 - says who does the work, as in a worker
from chat.models import Conversation, Item, Response, SummaryFailure
from core import outbox
from core.bridge import in_database
from tests import factories
from tests.chat_client import running_turns, tab_of
from tests.responses_server import ResponsesServer
from tests.upstream.conversing import UNKNOWN
from tests.upstream.prose import prose, question

pytestmark = pytest.mark.django_db(transaction=True)

TURNS, WINDOW, PLANTED_TURN = 24, 6, 3
PLANTED = "boat Halcyon lies at berth 47 of the north pier"
PROBE = "At which berth of the north pier does my boat Halcyon lie?"


@dataclass(frozen=True, slots=True)
class Sent:
    """One turn: the bytes that were stored for its request, its tokens by the server's count, and its answer."""

    body: bytes
    tokens: int
    answer: str


@pytest.mark.parametrize(
    ("strategy", "knows"), [("full", True), ("window", False), ("summary", True), ("hybrid", True)]
)
async def test_what_was_said_long_ago(
    transactional_db: None, upstream: ResponsesServer, strategy: str, knows: bool
) -> None:
    upstream.converse()
    sent = await held(upstream, strategy)
    assert len(sent) == TURNS
    assert [PLANTED.encode() in turn.body for turn in sent[:WINDOW]] == [False, False, True, True, True, True]

    asked = sent[-1]
    assert PROBE.encode() in asked.body
    assert (PLANTED.encode() in asked.body) == knows
    assert (PLANTED in asked.answer, UNKNOWN in asked.answer) == (knows, not knows)

    as_fact = f"<fact date=[^>]*>Their {PLANTED}.</fact>".encode()
    assert bool(re.search(as_fact, asked.body.replace(b'\\"', b'"'))) == (strategy == "hybrid")

    # by then a window is full and summaries are made; a third later
    middle, late = (max(turn.tokens for turn in part) for part in (sent[8:16], sent[16:]))
    assert (late < 1.15 * middle) == (strategy != "full")
    assert not await in_database(SummaryFailure.objects.exists)


async def held(upstream: ResponsesServer, strategy: str) -> list[Sent]:
    """Hold the conversation; workers do between turns what these leave to them."""
    conversation = await in_database(begun, upstream, strategy)
    async with running_turns(), tab_of(conversation.user) as tab:
        for number in range(1, TURNS + 1):
            await tab.ask(message(number), conversation.id, client_id=uuid.uuid4())
            assert (await tab.until("turn.final"))["status"] == "completed"
            while await in_database(outbox.run_one):
                pass
    return await in_database(all_sent, conversation)


def begun(upstream: ResponsesServer, strategy: str) -> Conversation:
    person = factories.user()
    model = factories.chat_model(endpoint=factories.responses_endpoint(upstream.base_url), name="scripted")
    factories.embedding_model(is_default=True)
    version: dict[str, Any] = {"strategy": strategy, "strategy_parameters": {"turns": WINDOW}, "retrieval": "off"}
    version["remembers"] = strategy == "hybrid"
    return factories.conversation(person, factories.assistant(owner=person, model=model, **version))


def message(number: int) -> str:
    if number == PLANTED_TURN:
        return f"Please remember that my {PLANTED}. {question('planted')}"
    return PROBE if number == TURNS else f"{prose(f'person {number}', 2)} {question(f'person {number}')}"


def all_sent(conversation: Conversation) -> list[Sent]:
    responses = Response.objects.filter(turn__conversation=conversation).select_related("sent").order_by("turn__depth")
    answers = dict(Item.objects.filter(conversation=conversation, role="assistant").values_list("turn", "text"))
    return [
        Sent(response.sent.exact_body() or b"", response.input_tokens or 0, answers[response.turn_id])
        for response in responses
    ]
