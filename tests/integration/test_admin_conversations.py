"""What was said, in the admin: read only, found, and at the same cost however much it is."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat.models import BackgroundCall, Citation, Fact, Item, MemoryOff, Response, SentRequest, Summary, SummaryFailure
from chat.services import assistants
from core.models import User
from tests import factories
from tests.admin_pages import draft, page, staff
from tools.models import ToolCall

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("built_in_models")]


def talk(person: User | None = None) -> Any:
    """A turn with everything that can hang on it."""
    conversation = factories.conversation(person or factories.user())
    turn = factories.turn(conversation, text="Why is the sky blue?", answer="Scattering [1].")
    model = factories.chat_model(endpoint=factories.responses_endpoint("http://127.0.0.1:9/v1"))
    response = Response.objects.create(
        turn=turn, step=1, attempt=1, epoch=1, model=model, model_name="m", idempotency_key="i", status="completed",
        payload={"id": "resp_visible"},
    )  # fmt: skip
    SentRequest.objects.create(response=response, sha256="ab" * 32, manifest={"tokens": 7}, body=b"secret body")
    item = turn.items.get(position=1)
    Citation.objects.create(
        item=item, number=1, position=0, document_name="sky.pdf", start=0, end=3, quote="sky", support=1.0
    )
    call = ToolCall.objects.create(
        user=conversation.user, conversation=conversation.pk, turn=turn.pk, call_id="call_1", tool="clock",
        status="succeeded", finished_at=timezone.now(), idempotency_key=uuid.uuid4().hex,
    )  # fmt: skip
    background = BackgroundCall.objects.create(
        purpose="summary", user=conversation.user, assistant=conversation.assistant, conversation=conversation,
        model=model, model_name="cheap", status="failed", error_code="key_refused", finished_at=timezone.now(),
    )  # fmt: skip
    person, assistant = conversation.user, conversation.assistant
    fact = Fact.objects.create(user=person, assistant=assistant, item=turn.input_item, text="Likes the sky.")
    off = MemoryOff.objects.create(user=person, assistant=assistant)
    return {
        "chat_fact": fact, "chat_memoryoff": off,
        "chat_backgroundcall": background, "chat_conversation": conversation, "chat_turn": turn,
        "chat_response": response, "chat_item": item, "tools_toolcall": call,
    }  # fmt: skip


READ_ONLY = [
    "chat_backgroundcall", "chat_conversation", "chat_turn", "chat_response", "chat_item", "tools_toolcall",
    "chat_fact", "chat_memoryoff",
]  # fmt: skip


@pytest.mark.parametrize("name", READ_ONLY)
def test_what_was_said_is_only_looked_at(client: Client, boss: User, name: str) -> None:
    row = talk()[name]
    shown = client.get(page(f"{name}_change", row.pk))
    assert shown.status_code == 200
    assert 'name="_save"' not in shown.text
    assert "<textarea" not in shown.text
    assert client.get(page(f"{name}_add")).status_code == 403
    assert client.post(page(f"{name}_change", row.pk), {"title": "x"}).status_code == 403
    assert client.post(page(f"{name}_delete", row.pk), {"post": "yes"}).status_code == 403
    actions = client.get(page(f"{name}_changelist")).context["action_form"]
    assert actions is None or "delete_selected" not in dict(actions.fields["action"].choices)


def test_pages_show_what_one_looks_for(client: Client, boss: User) -> None:
    rows = talk()
    shown = client.get(page("chat_response_change", rows["chat_response"].pk)).text
    assert "resp_visible" in shown
    assert "&quot;tokens&quot;: 7" in shown
    assert "secret body" not in shown
    assert "sky.pdf" in client.get(page("chat_item_change", rows["chat_item"].pk)).text
    turn = client.get(page("chat_turn_change", rows["chat_turn"].pk)).text
    assert "Why is the sky blue?" in turn
    talk()
    link = f"{page('chat_turn_changelist')}?conversation__id__exact={rows['chat_conversation'].pk}"
    assert link in client.get(page("chat_conversation_change", rows["chat_conversation"].pk)).text
    assert client.get(link).context["cl"].result_count == 1


def test_a_conversation_shows_its_summaries_and_why_others_were_not_made(client: Client, boss: User) -> None:
    turn = talk()["chat_turn"]
    place = {"conversation": turn.conversation, "turn": turn}
    Summary.objects.create(**place, text="They spoke of the sky.", tokens=6)
    SummaryFailure.objects.create(**place, code="content_filtered", message="The model refused.")
    shown = client.get(page("chat_conversation_change", turn.conversation_id)).text
    assert "They spoke of the sky." in shown
    assert "The model refused." in shown
    assert page("chat_turn_change", turn.pk) in shown


@pytest.mark.parametrize("name", READ_ONLY)
def test_staff_read_only_their_own(client: Client, name: str) -> None:
    clerk = staff(
        "view_backgroundcall", "view_conversation", "view_turn", "view_response", "view_item", "view_toolcall",
        "view_fact", "view_memoryoff",
    )  # fmt: skip
    client.force_login(clerk)
    foreign, own = talk()[name], talk(clerk)[name]
    listed = client.get(page(f"{name}_changelist")).context["cl"].queryset
    assert list(listed) == [own] if name != "chat_item" else foreign not in listed
    assert client.get(page(f"{name}_change", foreign.pk)).status_code == 302
    assert client.get(page(f"{name}_change", own.pk)).status_code == 200


def _many_versions() -> None:
    factories.assistant(owner=factories.user())


def _many_talks() -> None:
    talk()


@pytest.mark.parametrize(
    ("name", "make"),
    [
        *((name, _many_talks) for name in READ_ONLY),
        ("chat_assistant", _many_versions),
        ("chat_assistantversion", _many_versions),
        ("core_user", _many_talks),
        ("core_endpoint", _many_talks),
        ("core_endpointmodel", _many_talks),
        ("retrieval_vectorstore", lambda: factories.store(owner=factories.user())),
        ("retrieval_document", lambda: factories.document(factories.store(), uploaded_by=factories.user())),
    ],
)
def test_a_list_costs_the_same_number_of_queries_however_long_it_is(
    client: Client, boss: User, name: str, make: Callable[[], Any]
) -> None:
    make()
    assert_cost_stays(client, page(f"{name}_changelist"), make)


@pytest.mark.parametrize("name", ["chat_turn", "chat_assistant"])
def test_a_page_with_many_rows_below_costs_the_same_number_of_queries(client: Client, boss: User, name: str) -> None:
    if name == "chat_turn":
        row: Any = talk()["chat_turn"]

        def add() -> None:
            Item.objects.create(
                conversation=row.conversation, turn=row, type="reasoning", payload={},
                position=row.items.count(),
            )  # fmt: skip
            Response.objects.create(
                turn=row, step=1 + row.responses.count(), attempt=1, epoch=1, model_name="m", idempotency_key="i"
            )
    else:
        row = draft().assistant

        def add() -> None:
            assistants.publish(version=assistants.draft_of(assistant=row), by=factories.user())

    add()
    assert_cost_stays(client, page(f"{name}_change", row.pk), add)


def assert_cost_stays(client: Client, address: str, add: Callable[[], Any]) -> None:
    """A page takes as many queries with more on it as with less."""
    client.get(address)
    with CaptureQueriesContext(connection) as few:
        client.get(address)
    for _ in range(4):
        add()
    with CaptureQueriesContext(connection) as many:
        assert client.get(address).status_code == 200
    assert len(many) == len(few), [query["sql"][:150] for query in many.captured_queries]


@pytest.mark.parametrize("name", READ_ONLY)
def test_lists_have_pages(client: Client, boss: User, name: str) -> None:
    assert client.get(page(f"{name}_changelist")).context["cl"].list_per_page == 50


def test_tool_calls_are_found_by_name_address_and_id(client: Client, boss: User) -> None:
    rows, other = talk(), talk()
    call = rows["tools_toolcall"]
    address = page("tools_toolcall_changelist")
    for term, found in [
        (str(call.pk), 1), (str(call.turn), 1), (str(call.conversation), 1), (str(uuid.uuid4()), 0),
        ("clock", 2), ("call_1", 2), (call.user.email, 1), ("nothing", 0),
    ]:  # fmt: skip
        assert client.get(address, {"q": term}).context["cl"].result_count == found, term
    User.objects.filter(pk=other["tools_toolcall"].user.pk).delete()
    assert client.get(address).status_code == 200, "the person is gone, the audit is not"
    assert client.get(page("tools_toolcall_change", other["tools_toolcall"].pk)).status_code == 200


def test_a_fact_leads_to_its_message_and_is_found_by_whose_it_is(client: Client, boss: User) -> None:
    fact, _ = talk()["chat_fact"], talk()
    other = Fact.objects.create(user=fact.user, assistant=fact.assistant, text="Likes the sea.", superseded_by=fact)
    shown = client.get(page("chat_fact_change", fact.pk)).text
    assert page("chat_item_change", fact.item.pk) in shown
    assert "Why is the sky blue?" in shown
    listed = page("chat_fact_changelist")
    for query, found in [
        ({}, 3), ({"q": fact.user.email}, 2), ({"state": "counts"}, 2), ({"state": "replaced"}, 1),
        ({"assistant__id__exact": fact.assistant_id}, 2), ({"state": "edited"}, 0),
        ({"state": "bare"}, 2), ({"state": "luck"}, 3), ({"conversation__isempty": 1}, 3),
    ]:  # fmt: skip
        assert client.get(listed, query).context["cl"].result_count == found, query
    assert "Likes the sky." in client.get(page("chat_fact_change", other.pk)).text


def test_a_turn_that_goes_on_leads_to_the_one_that_it_goes_on_with(client: Client, boss: User) -> None:
    first = factories.turn(factories.conversation(factories.user()), answer="Half")
    second = factories.turn(first.conversation, answer=" and half.", continues=first)
    address = f"/admin/chat/turn/{first.pk}/change/"
    assert address in client.get(f"/admin/chat/turn/{second.pk}/change/").content.decode()
    assert client.get(address).status_code == 200
