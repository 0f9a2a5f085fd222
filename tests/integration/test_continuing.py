"""An answer that stopped before its end goes on: over the socket, in rows, for the model and on the page."""

import asyncio
import re
import uuid
from typing import Any

import pytest
from django.test import Client

from chat.context.continuing import INSTRUCTION
from chat.models import Assistant, Conversation, Item, Turn
from chat.rendering.markdown import render
from chat.rendering.pages import branch
from chat.rendering.shapes import TurnView
from chat.selectors.branches import past_turns
from core.bridge import in_database
from core.models import User
from tests import factories
from tests.chat_client import Tab, running_turns, tab_of
from tests.responses_server import ResponsesServer
from tests.waiting import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)


def shown(conversation: uuid.UUID) -> list[TurnView]:
    """What a reload shows."""
    row = Conversation.objects.get(id=conversation)
    return branch(row, leaf=row.active_turn_id).turns


async def final(tab: Tab, turn: str) -> dict[str, Any]:
    return tab.page.final.get(turn) or await tab.until("turn.final", where=lambda frame: frame["turn"] == turn)


async def begin(tab: Tab, assistant: Assistant, text: str = "List them.") -> tuple[uuid.UUID, str]:
    """Ask, and wait until the answer has ended."""
    conversation = uuid.uuid4()
    created = await tab.ask(text, conversation, assistant=assistant.id)
    await final(tab, created["turn"])
    return conversation, created["turn"]


async def go_on(tab: Tab, turn: str) -> str:
    """Ask for the rest; returns the turn that it is written in."""
    client_id = str(uuid.uuid4())
    await tab.send(type="turn.continue", turn=turn, client_id=client_id)
    created = await tab.until("turn.created", where=lambda frame: frame["client_id"] == client_id)
    return str(created["turn"])


def roles(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Role and text of the messages that the model got."""
    return [(item["role"], "".join(part["text"] for part in item["content"])) for item in body["input"]]


async def test_a_cut_answer_goes_on_in_the_middle_of_a_word_and_is_one_answer(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    whole = "- the lighthouse\n- the pier\n\n```python\nlamp = 1\nhorn = 2\n```\n\nThat is all."
    cut = whole.index("house")
    upstream.script(
        {"text": whole[:cut], "incomplete": "max_output_tokens"},
        {"text": whole[cut:], "delay": 0.03},
        {"text": "You are welcome."},
    )
    async with tab_of(person) as tab:
        conversation, first = await begin(tab, assistant)
        assert "data-continue" in tab.page.final[first]["html"]
        rest = await go_on(tab, first)
        ended = await final(tab, rest)
        assert ended["status"] == "completed"
        assert str(render(whole)) in ended["html"]
        assert "".join(tab.page.blocks[rest]) == str(render(whole))
        await tab.ask("Thanks.", conversation)
        await tab.until("turn.final", where=lambda frame: frame["turn"] not in {first, rest})
    asked, going_on, later = (request.body for request in upstream.requests)
    assert roles(going_on) == [*roles(asked), ("assistant", whole[:cut]), ("user", INSTRUCTION)]
    # later the model sees one answer, and nothing of how it came about
    assert roles(later) == [("user", "List them."), ("assistant", whole), ("user", "Thanks.")]
    views = await in_database(shown, conversation)
    assert [view.user_text for view in views] == ["List them.", "Thanks."]
    assert views[0].answer_text == whole
    assert (views[0].answers.count, views[0].messages.count) == (1, 1)
    messages = await in_database(lambda: list(Item.objects.filter(role="user").values_list("text", flat=True)))
    assert sorted(messages) == ["List them.", "Thanks."]
    statuses = await in_database(lambda: dict(Turn.objects.values_list("continues", "status")))
    assert statuses[uuid.UUID(first)] == "completed"
    assert (await in_database(lambda: Turn.objects.get(id=first))).status == "incomplete"


async def test_a_stopped_and_a_broken_answer_go_on_and_a_continuation_goes_on_again(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    upstream.script(
        {"deltas": ["one ", "two ", "three "], "fault": "drop", "after": 2},
        {"deltas": ["three ", *["four "] * 10_000], "delay": 0.02},
        {"text": "five."},
    )
    async with tab_of(person) as tab:
        conversation, first = await begin(tab, assistant)
        assert tab.page.final[first]["status"] == "failed"
        second = await go_on(tab, first)
        while "four" not in "".join(tab.page.blocks.get(second, [])):
            await tab.growing(second)
        await tab.send(type="turn.stop", turn=second)
        assert (await final(tab, second))["status"] == "cancelled"
        third = await go_on(tab, second)
        assert (await final(tab, third))["status"] == "completed"
    texts = await in_database(lambda: {str(item.turn_id): item.text for item in Item.objects.filter(role="assistant")})
    (view,) = await in_database(shown, conversation)
    assert view.answer_text == texts[first] + texts[second] + texts[third]
    assert view.answer_text.startswith("one two three four")
    assert view.answer_text.endswith("four five.")
    # the pieces of one answer are no alternatives of each other
    assert view.answers.count == 1
    last = upstream.requests[2].body
    assert roles(last) == [
        ("user", "List them."), ("assistant", texts[first] + texts[second]), ("user", INSTRUCTION)
    ]  # fmt: skip
    assert view.output_tokens is not None


async def test_two_tabs_that_both_ask_get_the_same_continuation(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    upstream.script({"text": "Half", "incomplete": "max_output_tokens"}, {"text": " and half.", "delay": 0.05})
    async with tab_of(person) as one, tab_of(person) as other:
        conversation, first = await begin(one, assistant)
        await other.send(type="subscribe", topic=f"conversation:{conversation}")
        await other.until("subscribed")
        for tab in (one, other):
            await tab.send(type="turn.continue", turn=first, client_id=uuid.uuid4())
        created = [await tab.until("turn.created", where=lambda frame: frame["turn"] != first) for tab in (one, other)]
        (rest,) = {frame["turn"] for frame in created}
        assert [(await final(tab, rest))["html"].count("Half and half.") for tab in (one, other)] == [2, 2]
        assert one.page.blocks[rest] == other.page.blocks[rest]
    assert len(upstream.requests) == 2


async def test_answering_a_continued_message_again_is_a_whole_answer(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    upstream.script({"text": "Half", "incomplete": "max_output_tokens"}, {"text": " two."}, {"text": "Whole."})
    async with tab_of(person) as tab:
        conversation, first = await begin(tab, assistant)
        rest = await go_on(tab, first)
        await final(tab, rest)
        await tab.send(type="turn.retry", turn=rest, client_id=uuid.uuid4())
        again = await tab.until("turn.created", where=lambda frame: frame["turn"] not in {first, rest})
        await final(tab, again["turn"])
    (view,) = await in_database(shown, conversation)
    assert view.answer_text == "Whole."
    assert (view.answers.index, view.answers.count, str(view.answers.previous)) == (2, 2, rest)
    assert roles(upstream.requests[2].body) == [("user", "List them.")]


async def test_what_cannot_go_on_is_refused_and_not_offered(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    upstream.script(
        {"text": "All of it."},
        {"status": 401, "body": {"error": {"message": "no"}}},
        {"text": "Not this", "incomplete": "content_filter"},
        {"text": "word " * 20_000, "delay": 0.02},
    )
    outsider = await in_database(factories.user)
    async with tab_of(person) as tab, tab_of(outsider) as foreign:
        for _ in range(3):
            _, turn = await begin(tab, assistant)
            assert "data-continue" not in tab.page.final[turn]["html"]
            await tab.send(type="turn.continue", turn=turn, client_id=uuid.uuid4())
            assert (await tab.until("error"))["code"] == "conflict"
        running = await tab.ask("Talk.", uuid.uuid4(), assistant=assistant.id)
        await tab.growing()
        await tab.send(type="turn.continue", turn=running["turn"], client_id=uuid.uuid4())
        assert (await tab.until("error"))["code"] == "conflict"
        await tab.send(type="turn.stop", turn=running["turn"])
        await final(tab, running["turn"])
        await foreign.send(type="turn.continue", turn=running["turn"], client_id=uuid.uuid4())
        assert (await foreign.until("error"))["code"] == "not_found"


async def test_a_continuation_that_was_left_behind_keeps_its_beginning(
    person: User, assistant: Assistant, upstream: ResponsesServer
) -> None:
    def left_behind() -> tuple[uuid.UUID, uuid.UUID]:
        conversation = factories.conversation(person, assistant)
        first = factories.turn(conversation, text="List them.", answer="One, t")
        Turn.objects.filter(id=first.id).update(status="incomplete")
        taken = factories.turn(conversation, status="in_progress", owner=uuid.uuid4(), epoch=2, continues=first)
        Turn.objects.filter(id=taken.id).update(input_item=first.input_item)
        return taken.id, conversation.id

    upstream.script({"text": "wo."})
    turn, conversation = await in_database(left_behind)
    async with running_turns(), asyncio.timeout(PATIENCE):
        while not (await in_database(lambda: Turn.objects.get(id=turn))).is_final:
            await asyncio.sleep(0.05)
    assert roles(upstream.requests[0].body) == [("user", "List them."), ("assistant", "One, t"), ("user", INSTRUCTION)]
    (view,) = await in_database(shown, conversation)
    assert view.answer_text == "One, two."
    (past,) = await in_database(past_turns, [turn])
    assert (past.user_text, past.answer_text, len(past.items)) == ("List them.", "One, two.", 2)


@pytest.fixture
def searching(person: User, upstream: ResponsesServer) -> Assistant:
    endpoint = factories.responses_endpoint(upstream.base_url)
    store = factories.store(owner=person, model=factories.embedding_model(endpoint=endpoint))
    factories.indexed_document(store, text="The pier is closed on Mondays.")
    return factories.assistant(owner=person, model=factories.chat_model(endpoint=endpoint), stores=[store])


async def test_a_continuation_cites_by_the_numbers_of_its_beginning(
    person: User, searching: Assistant, upstream: ResponsesServer
) -> None:
    upstream.script(
        {"text": "Closed on Mondays [1]:\n\n```\nx = days", "incomplete": "max_output_tokens"},
        {"text": "[7]\n```\n\nThe pier is [1][7]."},
    )
    async with running_turns(), tab_of(person) as tab:
        conversation, first = await begin(tab, searching, "When is the pier closed?")
        rest = await go_on(tab, first)
        ended = await final(tab, rest)
    assert ended["html"].count('class="citation"') == 2
    (view,) = await in_database(shown, conversation)
    # in code it is no marker, also where the code began before the break
    assert view.answer_text == "Closed on Mondays [1]:\n\n```\nx = days[7]\n```\n\nThe pier is [1]."
    assert [citation.number for citation in view.citations] == [1]
    asked = [request.body for request in upstream.requests if request.path.endswith("/responses")]
    assert asked[0]["input"][0] == asked[1]["input"][0]


async def test_a_marker_that_the_break_goes_through_cites(
    person: User, searching: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    upstream.script({"text": "Closed on Mondays [1", "incomplete": "max_output_tokens"}, {"text": "], it says."})
    async with tab_of(person) as tab:
        conversation, first = await begin(tab, searching, "When is the pier closed?")
        assert 'class="citation"' not in tab.page.final[first]["html"]
        ended = await final(tab, await go_on(tab, first))
    (view,) = await in_database(shown, conversation)
    assert view.answer_text == "Closed on Mondays [1], it says."
    (citation,) = view.citations
    assert citation.quote == "The pier is closed on Mondays."
    assert ended["html"].count(f'class="citation" href="{citation.url}"') == 1


async def test_while_an_answer_goes_on_the_chips_of_its_beginning_open_what_is_stored(
    person: User, searching: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    upstream.script(
        {"text": "Closed on Mondays [1].", "incomplete": "max_output_tokens"},
        {"deltas": [" And", *[" so on"] * 20_000], "delay": 0.05},
    )
    client = Client()
    await in_database(client.force_login, person)
    async with tab_of(person) as tab:
        _, first = await begin(tab, searching, "When is the pier closed?")
        rest = await go_on(tab, first)
        await tab.growing(rest)
        (address,) = re.findall(r'class="citation" href="([^"]+)"', "".join(tab.page.blocks[rest]))
        assert (await in_database(client.get, address)).status_code == 200
        await tab.send(type="turn.stop", turn=rest)
        ended = await final(tab, rest)
    assert f'href="{address}"' in ended["html"]
