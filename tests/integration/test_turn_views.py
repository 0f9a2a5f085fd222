"""What the page says about turns: how they ended, what helps, and which alternatives there are."""

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from chat.models import Conversation, Response, Turn
from chat.rendering.shapes import TurnView
from chat.rendering.turns import html_of, turn_views
from chat.selectors.shown import shown_turns
from core.models import User
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def person() -> User:
    return factories.user()


@pytest.fixture
def conversation(person: User) -> Conversation:
    return factories.conversation(person, factories.assistant(owner=person, failure_message="Call us: <555>."))


def view_of(turn: Turn) -> TurnView:
    (view,) = turn_views(shown_turns([turn.id]))
    return view


def ended(conversation: Conversation, status: str, *, said: str = "", incomplete: str = "", **fields: Any) -> Turn:
    """A turn that ended so, with its one response."""
    turn = factories.turn(conversation, answer=said or "-", **fields)
    if not said:
        turn.items.filter(role="assistant").delete()
    Turn.objects.filter(id=turn.id).update(status=status)
    Response.objects.create(
        turn=turn, step=0, attempt=0, epoch=1, model_name="m", idempotency_key="k", incomplete_reason=incomplete
    )
    return turn


def failed(conversation: Conversation, code: str, *, said: str = "", retryable: bool = False) -> Turn:
    reason = {"error_code": code, "error_message": "The reason.", "error_retryable": retryable}
    return ended(conversation, "failed", said=said, **reason)


class TestEndings:
    def test_where_no_model_had_a_word_the_assistant_says_its_own_and_the_reason_follows(
        self, conversation: Conversation
    ) -> None:
        turn = failed(conversation, "upstream_unavailable", retryable=True)
        html = html_of(*shown_turns([turn.id]))
        assert html.index("Call us: &lt;555&gt;.") < html.index("The reason.")
        view = view_of(turn)
        assert (view.can_continue, view.can_retry) == (False, True)

    @pytest.mark.parametrize(("code", "said"), [("input_too_long", ""), ("upstream_unavailable", "Half")])
    def test_what_a_person_can_mend_and_what_was_said_needs_no_other_words(
        self, conversation: Conversation, code: str, said: str
    ) -> None:
        view = view_of(failed(conversation, code, said=said))
        assert (view.failure_message, view.error_message) == ("", "The reason.")
        assert view.can_continue is bool(said)

    def test_another_try_is_offered_where_it_promises_something(self, conversation: Conversation) -> None:
        turn = failed(conversation, "key_refused")
        assert not view_of(turn).can_retry
        html = html_of(*shown_turns([turn.id]))
        assert "Try again" not in html
        assert "Answer again" in html

    @pytest.mark.parametrize(
        ("status", "said", "incomplete", "sentence", "goes_on"),
        [
            ("cancelled", "Half", "", "Stopped. What was said so far is kept.", True),
            ("cancelled", "", "", "Stopped before anything was said.", False),
            ("incomplete", "Half", "max_output_tokens", "The answer was cut short by the model's limit.", True),
            ("incomplete", "", "max_output_tokens", "The model reached its limit before it said anything.", False),
            ("incomplete", "Half", "content_filter", "The answer was ended by a content policy", False),
            ("completed", "", "", "The model ended without a word.", False),
            ("completed", "All", "", "", False),
        ],
    )
    def test_each_end_is_said_and_goes_on_where_it_can(
        self, conversation: Conversation, status: str, said: str, incomplete: str, sentence: str, goes_on: bool
    ) -> None:
        view = view_of(ended(conversation, status, said=said, incomplete=incomplete))
        assert view.error_message.startswith(sentence)
        assert bool(view.error_message) is bool(sentence)
        assert view.can_continue is goes_on

    def test_quotations_do_not_go_on(self, conversation: Conversation) -> None:
        turn = ended(conversation, "cancelled", said="Half")
        Response.objects.filter(turn=turn).update(model=factories.chat_model())
        assert not view_of(turn).can_continue


class TestAlternatives:
    def continued(self, turn: Turn, answer: str = " and half.") -> Turn:
        made = factories.turn(turn.conversation, answer=answer, parent=turn.parent, continues=turn)
        Turn.objects.filter(id=made.id).update(input_item=turn.input_item)
        return made

    def test_a_part_is_no_alternative_unless_the_conversation_went_on_from_it(self, conversation: Conversation) -> None:
        part = ended(conversation, "incomplete", said="Half")
        whole = self.continued(part)
        view = view_of(whole)
        assert (view.answer_text, view.answers.count, view.messages.count) == ("Half and half.", 1, 1)
        # whoever follows a link to the part finds the way to the whole
        assert (view_of(part).answers.index, view_of(part).answers.next) == (1, whole.id)
        below = factories.turn(conversation, text="Further?", answer="On.", parent=part)
        assert (view_of(whole).answers.index, view_of(whole).answers.previous) == (2, part.id)
        Turn.objects.filter(id=below.id).update(status="cancelled", withdrawn_at=below.created_at)
        assert view_of(whole).answers.count == 1

    def test_sums_are_those_of_the_whole_answer(self, conversation: Conversation) -> None:
        part = ended(conversation, "incomplete", said="Half", output_tokens=5, input_tokens=None)
        whole = self.continued(part)
        Turn.objects.filter(id=whole.id).update(output_tokens=7)
        view = view_of(whole)
        assert (view.output_tokens, view.input_tokens) == (12, None)

    def test_a_withdrawn_message_is_no_alternative(self, conversation: Conversation) -> None:
        first = factories.turn(conversation, text="One?", answer="1")
        second = factories.turn(conversation, text="Two?")
        assert view_of(first).messages.count == 2
        Turn.objects.filter(id=second.id).update(
            status="cancelled", finished_at=second.created_at, withdrawn_at=second.created_at
        )
        assert view_of(first).messages.count == 1

    def test_alternatives_of_one_conversation_are_none_of_another(
        self, person: User, conversation: Conversation
    ) -> None:
        first = factories.turn(conversation, answer="1")
        other = factories.turn(factories.conversation(person, conversation.assistant), answer="2")
        views = {view.id: view for view in turn_views(shown_turns([first.id, other.id]))}
        assert [views[turn.id].messages.count for turn in (first, other)] == [1, 1]

    def test_looking_at_many_turns_costs_no_more_queries_than_at_one(self, conversation: Conversation) -> None:
        def one() -> Turn:
            parent = factories.turn(conversation, answer="0")
            return self.continued(ended(conversation, "incomplete", said=f"{uuid.uuid4()}", parent=parent))

        turns = [one() for _ in range(5)]
        with CaptureQueriesContext(connection) as few:
            turn_views(shown_turns([turns[0].id]))
        with CaptureQueriesContext(connection) as many:
            turn_views(shown_turns([turn.id for turn in turns]))
        assert len(many) == len(few) < 10
