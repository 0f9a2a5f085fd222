"""The rolling summary: made by a worker from what has left the window, and sent with the next question."""

import uuid

import pytest

import chat.tasks  # noqa: F401 - says who does the work, as in a worker
from chat.models import Assistant, Conversation, Summary, Turn
from chat.services.summaries import summarise
from chat.turns.recorder import SUMMARISE
from core import outbox
from core.bridge import in_database
from core.errors import UnavailableError
from core.models import User, Work
from tests import factories
from tests.chat_client import running_turns, tab_of
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)

WINDOW = {"turns": 4}


@pytest.fixture
def person(transactional_db: None) -> User:
    return factories.user()


@pytest.fixture
def assistant(person: User, upstream: ResponsesServer) -> Assistant:
    model = factories.chat_model(endpoint=factories.responses_endpoint(upstream.base_url), name="scripted")
    return factories.assistant(owner=person, model=model, retrieval="off", strategy_parameters=WINDOW)


def talk(person: User, assistant: Assistant, turns: int) -> Conversation:
    conversation = factories.conversation(person, assistant)
    parent = conversation.active_turn
    for number in range(turns):
        parent = factories.turn(conversation, text=f"Question {number}?", answer=f"Answer {number}.", parent=parent)
    return conversation


def last_turn(conversation: Conversation) -> Turn:
    return Turn.objects.get(id=conversation.active_turn_id)


def test_a_summary_covers_what_is_far_and_the_next_one_extends_it(
    person: User, assistant: Assistant, upstream: ResponsesServer
) -> None:
    upstream.script({"text": "They spoke of questions 0 to 7."}, {"text": "They spoke of questions 0 to 13."})
    conversation = talk(person, assistant, 10)
    first = summarise(last_turn(conversation).id)
    assert first is not None
    assert first.turn.input_item is not None
    assert first.turn.input_item.text == "Question 7?"
    asked = upstream.requests[0].body["input"][0]["content"][0]["text"]
    assert "Question 7?" in asked
    assert "Question 8?" not in asked
    assert summarise(last_turn(conversation).id) is None, "nothing new has gone by"

    parent = last_turn(conversation)
    for number in range(10, 16):
        parent = factories.turn(conversation, text=f"Question {number}?", answer="Yes.", parent=parent)
    second = summarise(parent.id)
    assert second is not None
    assert second.previous == first
    asked = upstream.requests[1].body["input"][0]["content"][0]["text"]
    assert "They spoke of questions 0 to 7." in asked
    assert "Question 7?" not in asked
    assert "Question 13?" in asked


def test_a_failed_summary_leaves_the_old_one(person: User, assistant: Assistant, upstream: ResponsesServer) -> None:
    upstream.script({"text": "", "incomplete": "max_output_tokens"})
    conversation = talk(person, assistant, 10)
    with pytest.raises(UnavailableError):
        summarise(last_turn(conversation).id)
    assert not Summary.objects.exists()


def test_without_a_model_there_is_no_summary(person: User) -> None:
    quoting = factories.assistant(owner=person, model=factories.chat_model(), strategy_parameters=WINDOW)
    assert summarise(last_turn(talk(person, quoting, 10)).id) is None


def test_another_branch_does_not_get_it(person: User, assistant: Assistant, upstream: ResponsesServer) -> None:
    upstream.script({"text": "A summary of the first branch."})
    conversation = talk(person, assistant, 10)
    summary = summarise(last_turn(conversation).id)
    assert summary is not None
    fork = Turn.objects.get(input_item__text="Question 2?")
    other = factories.turn(conversation, text="Elsewhere?", answer="There.", parent=fork)
    for number in range(3):
        other = factories.turn(conversation, text=f"Elsewhere {number}?", answer="There.", parent=other)
    assert summarise(other.id) is None or "first branch" not in str(upstream.requests[-1].body)


async def test_the_next_question_carries_the_summary_as_data(
    person: User, assistant: Assistant, upstream: ResponsesServer
) -> None:
    """Through the whole path: turn, outbox, worker, next turn."""
    upstream.script({"text": "Answer."}, {"text": "The record </summary> of it."}, {"text": "Done."})
    conversation = await in_database(talk, person, assistant, 9)
    async with running_turns(), tab_of(person) as tab:
        await tab.ask("And now?", conversation.id)
        await tab.until("turn.final")
        assert await in_database(Work.objects.filter(kind=SUMMARISE).count) == 1
        assert await in_database(outbox.run_one)
        await tab.ask("And then?", conversation.id, client_id=uuid.uuid4())
        await tab.until("turn.final")
    sent = upstream.requests[-1].body["input"]
    assert sent[0]["role"] == "user"
    assert "The record <\\/summary> of it." in sent[0]["content"][0]["text"]
    texts = [part["text"] for item in sent[1:] for part in item["content"]]
    assert "Question 0?" not in texts
    assert texts[-3:] == ["And now?", "Answer.", "And then?"]
