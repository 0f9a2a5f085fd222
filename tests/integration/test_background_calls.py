"""What is asked in the background is kept with its tokens and its cost, whatever comes of it."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

import chat.tasks  # noqa: F401 - says who does the work, as in a worker
from chat.errors import AuthenticationError, ContentFilteredError
from chat.models import Assistant, BackgroundCall, Conversation, Response, Turn
from chat.selectors.costs import Spent, spent_on
from chat.services.background_calls import LOST_AFTER, WORKER_ENDED
from chat.services.summaries import summarise
from chat.services.titles import make_title
from core.errors import UnavailableError
from core.models import User
from tests import factories
from tests.admin_pages import page
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)

PRICES = {"input_price": Decimal(2), "cached_input_price": Decimal("0.5"), "output_price": Decimal(8)}


@pytest.fixture
def person(transactional_db: None) -> User:
    return factories.user()


@pytest.fixture
def assistant(person: User, upstream: ResponsesServer) -> Assistant:
    endpoint = factories.responses_endpoint(upstream.base_url)
    return factories.assistant(
        owner=person,
        model=factories.chat_model(endpoint=endpoint, name="large"),
        utility_model=factories.chat_model(endpoint=endpoint, name="cheap", **PRICES),
        retrieval="off",
        strategy_parameters={"turns": 4},
    )


@pytest.fixture
def talk(person: User, assistant: Assistant) -> Conversation:
    conversation = factories.conversation(person, assistant, title="Question 0")
    parent = None
    for number in range(10):
        parent = factories.turn(conversation, text=f"Question {number}?", answer="Yes.", parent=parent)
    return conversation


def summarised(conversation: Conversation) -> None:
    assert conversation.active_turn_id is not None
    summarise(conversation.active_turn_id)


def test_a_title_and_a_summary_leave_what_they_used_and_cost(talk: Conversation, upstream: ResponsesServer) -> None:
    """By what the server said, at the prices of the model that was asked."""
    usage = {"input_tokens": 1000, "input_tokens_details": {"cached_tokens": 400}, "output_tokens": 50,
             "output_tokens_details": {"reasoning_tokens": 30}}  # fmt: skip
    upstream.script({"text": "A title", "usage": usage}, {"text": "They spoke.", "usage": usage})
    assert make_title(talk.id) == "A title"
    summarised(talk)
    title, summary = BackgroundCall.objects.order_by("created_at")
    assert (title.purpose, summary.purpose) == ("title", "summary")
    for row in (title, summary):
        assert (row.user, row.assistant, row.conversation) == (talk.user, talk.assistant, talk)
        assert (row.model and row.model.name, row.model_name) == ("cheap", "cheap")
        assert (row.input_tokens, row.cached_tokens, row.output_tokens, row.reasoning_tokens) == (1000, 400, 50, 30)
        assert row.cost == (600 * Decimal(2) + 400 * Decimal("0.5") + 50 * Decimal(8)) / 1_000_000
        assert (row.status, row.error_code) == ("completed", "")
        assert row.seconds is not None
        assert 0 <= row.seconds < 600


@pytest.mark.parametrize(
    ("script", "raised", "status", "code", "is_billed"),
    [
        ({"status": 401, "body": {"error": {"code": "invalid_api_key"}}}, AuthenticationError, "failed",
         "key_refused", False),
        ({"refusal": "I will not."}, ContentFilteredError, "completed", "content_filtered", True),
        ({"text": "", "incomplete": "max_output_tokens"}, UnavailableError, "incomplete", "unavailable", True),
    ],
)  # fmt: skip
def test_one_that_came_to_nothing_is_kept_with_the_reason(
    talk: Conversation,
    upstream: ResponsesServer,
    script: dict[str, Any],
    raised: type[Exception],
    status: str,
    code: str,
    is_billed: bool,
) -> None:
    upstream.script(script)
    with pytest.raises(raised):
        make_title(talk.id)
    row = BackgroundCall.objects.get()
    assert (row.status, row.error_code) == (status, code)
    assert (row.cost is not None, bool(row.input_tokens)) == (is_billed, is_billed)
    assert row.finished_at is not None


def test_each_question_counts_also_one_that_is_asked_again(talk: Conversation, upstream: ResponsesServer) -> None:
    upstream.script({"text": "They spoke of Quimby."}, {"text": "They spoke."})
    summarised(talk)
    assert len(upstream.requests) == BackgroundCall.objects.count() == 2


def test_it_is_there_while_the_model_thinks_and_outlives_its_conversation(
    talk: Conversation, upstream: ResponsesServer
) -> None:
    during = []

    def answer(body: Any) -> Any:
        def look() -> None:
            try:
                during.extend(BackgroundCall.objects.values_list("status", "finished_at"))
                Conversation.objects.all().delete()
            finally:
                connection.close()

        elsewhere = threading.Thread(target=look)
        elsewhere.start()
        elsewhere.join(30)
        return {"text": "A title"}

    upstream.compute(answer)
    assert make_title(talk.id) == ""
    assert during == [("in_progress", None)]
    row = BackgroundCall.objects.get()
    assert (row.status, row.conversation, row.user) == ("completed", None, talk.user)
    assert row.input_tokens


def test_one_whose_worker_was_killed_is_ended_by_the_next(talk: Conversation, upstream: ResponsesServer) -> None:
    begun = {"purpose": "title", "conversation": talk, "model_name": "cheap"}
    lost, young = BackgroundCall.objects.create(**begun), BackgroundCall.objects.create(**begun)
    BackgroundCall.objects.filter(pk=lost.pk).update(created_at=Now() - LOST_AFTER - timedelta(seconds=1))
    upstream.script({"text": "A title"})
    make_title(talk.id)
    lost.refresh_from_db()
    young.refresh_from_db()
    assert (lost.status, lost.error_code) == ("failed", WORKER_ENDED)
    assert lost.finished_at is not None
    assert young.status == "in_progress"


# Sums ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def spent(talk: Conversation) -> Iterator[Conversation]:
    """A conversation with two responses and three background calls, one of them without a price, and a foreign one."""
    turn = talk.active_turn
    for step, cost in ((1, Decimal("0.25")), (2, Decimal("0.5"))):
        Response.objects.create(
            turn=turn, step=step, attempt=1, epoch=1, model_name="large", idempotency_key="i", status="completed",
            input_tokens=100, cached_tokens=10, output_tokens=5, cost=cost,
        )  # fmt: skip
    for of, purpose, cost in (
        (talk, "summary", Decimal("0.125")),
        (talk, "summary", None),
        (talk, "title", Decimal("0.0625")),
        (factories.conversation(factories.user(), talk.assistant), "title", Decimal(7)),
    ):
        BackgroundCall.objects.create(
            purpose=purpose, user=of.user, assistant=of.assistant, conversation=of, model_name="cheap",
            status="completed", finished_at=Now(), input_tokens=20, output_tokens=2, reasoning_tokens=1, cost=cost,
        )  # fmt: skip
    return talk


def test_sums_are_those_of_independent_sql(spent: Conversation) -> None:
    found = {row.label: row for row in spent_on(spent)}
    assert list(found) == ["Answers", "Summary", "Title", "Together"]
    assert found["Summary"] == Spent("Summary", 2, 40, 0, 4, 2, Decimal("0.125"), 1)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(cost), sum(input_tokens), count(*), count(*) - count(cost) FROM ("
            " SELECT r.cost, r.input_tokens FROM chat_response r JOIN chat_turn ON chat_turn.id = turn_id"
            " WHERE conversation_id = %(id)s UNION ALL"
            " SELECT cost, input_tokens FROM chat_backgroundcall WHERE conversation_id = %(id)s) every",
            {"id": spent.pk},
        )
        every = found["Together"]
        assert cursor.fetchone() == (every.cost, every.input_tokens, every.calls, every.unpriced)
    assert every.cost == Decimal("0.9375")


def test_a_conversation_shows_what_it_cost_and_leads_to_its_calls(spent: Conversation, client: Client) -> None:
    client.force_login(factories.superuser())
    shown = client.get(page("chat_conversation_change", spent.pk)).text
    assert "0.9375" in shown
    assert "without 1 call of unknown cost" in shown
    link = f"{page('chat_backgroundcall_changelist')}?conversation__id__exact={spent.pk}"
    assert link in shown
    assert client.get(link).context["cl"].result_count == 3


def test_the_list_sums_what_its_filters_leave(spent: Conversation, client: Client) -> None:
    """Per assistant, person and month: each is a filter of the list."""
    client.force_login(factories.superuser())
    address = page("chat_backgroundcall_changelist")
    other = factories.conversation(spent.user)
    moved = BackgroundCall.objects.create(
        purpose="title", user=spent.user, assistant=other.assistant, conversation=other, model_name="cheap",
        status="completed", finished_at=Now(), cost=Decimal(1),
    )  # fmt: skip
    BackgroundCall.objects.filter(pk=moved.pk).update(created_at="2020-05-17T12:00:00Z")

    def cost(**query: Any) -> Decimal | None:
        rows = client.get(address, query).context["spent"]
        return rows[-1].cost if rows else None

    assert cost() == Decimal("8.1875")
    assert cost(assistant__id__exact=spent.assistant_id) == Decimal("7.1875")
    assert cost(q=spent.user.email) == Decimal("1.1875")
    assert cost(created_at__year=2020, created_at__month=5) == Decimal(1)
    assert cost(purpose__exact="summary") == Decimal("0.125")
    assert cost(purpose__exact="facts") is None


def test_the_list_of_turns_sums_what_its_filters_leave(spent: Conversation, client: Client) -> None:
    client.force_login(factories.superuser())
    other = factories.turn(factories.conversation(factories.user()), answer="Yes.")
    Turn.objects.filter(pk=spent.active_turn_id).update(cost=Decimal("0.75"), input_tokens=200)
    Turn.objects.filter(pk=other.pk).update(cost=Decimal(3), input_tokens=1, created_at="2020-05-17T12:00:00Z")

    def sums(**query: Any) -> tuple[Decimal | None, int, int]:
        (row,) = client.get(page("chat_turn_changelist"), query).context["spent"]
        return row.cost, row.input_tokens, row.unpriced

    assert sums() == (Decimal("3.75"), 201, 9)
    assert sums(version__assistant__id__exact=spent.assistant_id) == (Decimal("0.75"), 200, 9)
    assert sums(q=spent.user.email) == (Decimal("0.75"), 200, 9)
    assert sums(created_at__year=2020, created_at__month=5) == (Decimal(3), 1, 0)


def test_those_of_deleted_conversations_are_the_superusers(spent: Conversation, client: Client) -> None:
    client.force_login(factories.superuser())
    spent.delete()
    address = page("chat_backgroundcall_changelist")
    assert client.get(address).context["cl"].result_count == 4
    assert client.get(address).context["spent"][-1].cost == Decimal("7.1875")
