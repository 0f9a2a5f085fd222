"""Assistants, versions and what was said, in the admin."""

import html
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from chat.models import Assistant, AssistantVersion, Citation, FallbackModel, Item, Response, SentRequest
from chat.services import assistants
from core import endpoints
from core.models import User
from core.models.grants import Role
from retrieval.models import VectorStore
from tests import factories
from tools.models import ToolCall

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _default_model(settings: Any) -> None:
    settings.CHAT_BASE_URL = settings.EMBEDDING_BASE_URL = "off"
    endpoints.sync_environment_endpoints()


@pytest.fixture
def boss(client: Client) -> User:
    person = factories.superuser()
    client.force_login(person)
    return person


def staff(*permissions: str) -> User:
    person = factories.user(is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return person


def page(name: str, *arguments: Any) -> str:
    return reverse(f"admin:{name}", args=arguments)


def said(response: Any) -> str:
    return " ".join(map(str, response.context["messages"]))


def squeezed(text: str) -> str:
    return "".join(text.split())


def draft(**values: Any) -> AssistantVersion:
    version = assistants.draft_of(assistant=assistants.create_assistant(name="Tutor"))
    for name, value in values.items():
        setattr(version, name, value)
    version.save()
    return version


def version_form(**changes: Any) -> dict[str, Any]:
    return {
        "instructions": "Teach.",
        "starters": "Why?\n\n  How?  \n",
        "failure_message": "",
        "parameters": "{}",
        "retrieval": "auto",
        "passages": "8",
        "strategy": "summary",
        "strategy_parameters": "{}",
        "input_messages": "[]",
        "variables": "{}",
        "tools": "[]",
        "retrieval_parameters": "{}",
        "fallbacks-TOTAL_FORMS": "0",
        "fallbacks-INITIAL_FORMS": "0",
        **changes,
    }


# Assistants -----------------------------------------------------------------------------------------------------------


def test_from_a_name_to_a_published_version_as_a_person_clicks_it(client: Client, boss: User) -> None:
    response = client.post(page("chat_assistant_add"), {"name": "Tutor", "description": "Helps.", "position": "10"})
    made = Assistant.objects.get()
    version = made.versions.get()
    assert made.owner == boss
    assert response.headers["Location"] == page("chat_assistantversion_change", version.pk)
    store = factories.store(owner=boss)
    response = client.post(
        page("chat_assistantversion_change", version.pk),
        version_form(parameters='{"temperature": 0.3}', stores=[str(store.pk)], _publish="Save and publish…"),
    )
    assert response.headers["Location"] == page("chat_assistantversion_publish", version.pk)
    asked = client.get(response.headers["Location"])
    assert "Publish version 1 of Tutor?" in asked.text
    version.refresh_from_db()
    assert version.published_at is None, "looking at the question does nothing"
    response = client.post(page("chat_assistantversion_publish", version.pk), follow=True)
    assert "Version 1 of Tutor is published." in said(response)
    version.refresh_from_db()
    assert version.published_by == boss
    assert (version.starters, version.parameters) == (["Why?", "How?"], {"temperature": 0.3})
    assert list(version.stores.all()) == [store]
    assert Assistant.objects.usable().get().published_version == version


def test_the_assistants_page_leads_to_each_version_and_to_the_draft(client: Client, boss: User) -> None:
    first = assistants.publish(version=draft(), by=boss)
    shown = client.get(page("chat_assistant_change", first.assistant_id)).text
    assert page("chat_assistantversion_change", first.pk) in shown
    assert "Published, in use" in shown
    response = client.get(page("chat_assistant_draft", first.assistant_id))
    assert response.headers["Location"] == page("chat_assistant_change", first.assistant_id)
    assert first.assistant.versions.count() == 1, "only a click makes a draft"
    for _ in range(2):
        response = client.post(page("chat_assistant_draft", first.assistant_id))
        made = first.assistant.versions.get(number=2)
        assert response.headers["Location"] == page("chat_assistantversion_change", made.pk)


def test_archiving_and_restoring(client: Client, boss: User) -> None:
    version = assistants.publish(version=draft(), by=boss)
    for action, usable in (("archive", False), ("restore", True)):
        client.post(
            page("chat_assistant_changelist"), {"action": action, "_selected_action": [str(version.assistant_id)]}
        )
        assert Assistant.objects.usable().exists() is usable


def test_an_assistant_with_conversations_is_not_deleted_and_one_without_is(client: Client, boss: User) -> None:
    used = factories.conversation(factories.user()).assistant
    unused = factories.assistant()
    assert client.post(page("chat_assistant_delete", used.pk), {"post": "yes"}).status_code == 403
    assert client.post(page("chat_assistant_delete", unused.pk), {"post": "yes"}).status_code == 302
    assert list(Assistant.objects.all()) == [used]


# Drafts ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("parameters", '{"temperature": 3}', "temperature: This has to be less than or equal to 2."),
        ("parameters", '{"temprature": 1}', "temprature: This name is not known."),
        ("parameters", "{temperature: 1}", "Enter a valid JSON."),
        ("parameters", "[]", "This has to be an object."),
        ("starters", "\n".join("abcdefghi"), "List should have at most 8 items"),
        ("starters", "x" * 301, "0: String should have at most 300 characters."),
        ("input_messages", '[{"role": "user", "content": "{{who}}"}]', "{{who}} is not among the variables."),
        ("passages", "51", "less than or equal to 50"),
        ("strategy_parameters", '{"turns": 0}', "turns: This has to be greater than or equal to 1."),
        ("strategy", "luck", "Select a valid choice."),
    ],
)
def test_a_mistake_is_said_at_its_field_and_nothing_is_saved(
    client: Client, boss: User, field: str, value: str, sentence: str
) -> None:
    version = draft(instructions="before")
    response = client.post(page("chat_assistantversion_change", version.pk), version_form(**{field: value}))
    errors = response.context["adminform"].form.errors
    assert list(errors) == [field]
    assert any(sentence in str(error) for error in errors[field])
    assert squeezed(value)[:20] in squeezed(html.unescape(response.text)) or field == "strategy", (
        "it stays to be mended"
    )
    version.refresh_from_db()
    assert version.instructions == "before"


def test_json_is_shown_as_lines_and_empty_json_is_empty(client: Client, boss: User) -> None:
    version = draft(parameters={"reasoning": {"effort": "low"}}, starters=["Why?", "How?"])
    shown = client.get(page("chat_assistantversion_change", version.pk)).text
    assert "{\n  &quot;reasoning&quot;: {\n    &quot;effort&quot;: &quot;low&quot;\n  }\n}" in shown
    assert "Why?\nHow?" in shown
    changes = {"parameters": "", "tools": "", "starters": ""}
    client.post(page("chat_assistantversion_change", version.pk), version_form(**changes))
    version.refresh_from_db()
    assert (version.parameters, version.tools, version.starters) == ({}, [], [])


def test_fallbacks_beside_the_model(client: Client, boss: User) -> None:
    version = draft()
    model = factories.chat_model(endpoint=factories.responses_endpoint("http://127.0.0.1:9/v1"))
    row = {"fallbacks-TOTAL_FORMS": "1", "fallbacks-0-position": "1", "fallbacks-0-model": str(model.pk)}
    client.post(page("chat_assistantversion_change", version.pk), version_form(**row))
    assert FallbackModel.objects.get(version=version).model == model
    embedder = {**row, "fallbacks-0-model": str(factories.embedding_model().pk)}
    response = client.post(page("chat_assistantversion_change", version.pk), version_form(**embedder))
    assert response.status_code == 200


def test_a_draft_that_cannot_work_says_why_instead_of_asking(client: Client, boss: User) -> None:
    version = draft(parameters={"max_output_tokens": 10**6})
    asked = client.get(page("chat_assistantversion_publish", version.pk)).text
    assert "It cannot be published yet" in asked
    assert "1000000 are wanted" in asked
    assert "<form method" not in asked.partition('id="content-main"')[2]
    response = client.post(page("chat_assistantversion_publish", version.pk), follow=True)
    assert "1000000 are wanted" in said(response)
    version.refresh_from_db()
    assert version.published_at is None


def test_a_draft_can_be_thrown_away(client: Client, boss: User) -> None:
    version = draft()
    assert client.post(page("chat_assistantversion_delete", version.pk), {"post": "yes"}).status_code == 302
    assert not AssistantVersion.objects.exists()


def test_what_was_published_meanwhile_is_not_overwritten(client: Client, boss: User) -> None:
    """Two administrators have the draft open; one publishes, then the other saves."""
    version = draft(instructions="before")
    assistants.publish(version=version, by=boss)
    response = client.post(page("chat_assistantversion_change", version.pk), version_form())
    assert response.status_code == 403
    version.refresh_from_db()
    assert version.instructions == "before"


# Published versions ---------------------------------------------------------------------------------------------------


def test_a_published_version_is_read_only_and_leads_to_a_new_draft(client: Client, boss: User) -> None:
    version = assistants.publish(version=draft(instructions="one", starters=["Why?"]), by=boss)
    shown = client.get(page("chat_assistantversion_change", version.pk)).text
    for button in (
        'name="_save"',
        'name="_continue"',
        'name="_publish"',
        'name="_addanother"',
        "<textarea",
        "deletelink",
    ):
        assert button not in shown
    assert "one" in shown
    assert "Why?" in shown
    assert client.post(page("chat_assistantversion_delete", version.pk), {"post": "yes"}).status_code == 403
    asked = client.get(page("chat_assistantversion_draft", version.pk)).text
    assert "Make a new draft from version 1 of Tutor?" in asked
    assert version.assistant.versions.count() == 1
    response = client.post(page("chat_assistantversion_draft", version.pk), follow=True)
    assert "a copy of version 1" in said(response)
    copy = version.assistant.versions.get(number=2)
    assert copy.instructions == "one"
    response = client.post(page("chat_assistantversion_draft", version.pk), follow=True)
    assert "Version 2 is a draft already" in said(response)


# Rights ---------------------------------------------------------------------------------------------------------------

EDITING = ("view_assistant", "change_assistant", "view_assistantversion", "change_assistantversion")


def test_staff_edit_and_publish_what_they_are_editor_of(client: Client) -> None:
    clerk = staff(*EDITING)
    client.force_login(clerk)
    version = draft()
    addresses = [
        (client.get, page("chat_assistantversion_change", version.pk)),
        (client.get, page("chat_assistantversion_publish", version.pk)),
        (client.post, page("chat_assistantversion_publish", version.pk)),
        (client.post, page("chat_assistantversion_draft", version.pk)),
    ]
    for role in (None, Role.READER):
        if role:
            factories.grant(version.assistant, clerk, role)
        for method, address in addresses:
            assert method(address).status_code in {302, 403}
        version.refresh_from_db()
        assert version.published_at is None
        assert version.assistant.versions.count() == 1
    version.assistant.grants.all().delete()
    factories.grant(version.assistant, clerk, Role.EDITOR)
    assert client.get(addresses[0][1]).status_code == 200
    client.post(addresses[2][1])
    version.refresh_from_db()
    assert version.published_by == clerk


def test_without_the_frameworks_permission_a_grant_publishes_nothing(client: Client) -> None:
    clerk = staff("view_assistantversion")
    client.force_login(clerk)
    version = draft()
    factories.grant(version.assistant, clerk, Role.OWNER)
    assert client.post(page("chat_assistantversion_publish", version.pk)).status_code == 403
    version.refresh_from_db()
    assert version.published_at is None


def test_nobody_attaches_a_store_that_is_not_theirs_to_decide_about(client: Client) -> None:
    """Else its passages would be shown to everybody who may use the assistant."""
    clerk = staff(*EDITING)
    client.force_login(clerk)
    version = draft()
    factories.grant(version.assistant, clerk, Role.EDITOR)
    foreign, read, own = factories.store(), factories.store(), factories.store(owner=clerk)
    there = factories.store()
    version.stores.add(there)
    factories.grant(read, clerk, Role.READER)
    for store, saved in ((foreign, False), (read, False), (own, True)):
        form = version_form(stores=[str(there.pk), str(store.pk)])
        client.post(page("chat_assistantversion_change", version.pk), form)
        assert version.stores.filter(pk=store.pk).exists() is saved


def test_a_conversations_files_are_nobody_elses_source(client: Client, boss: User) -> None:
    version = draft()
    private = factories.store(owner=boss, kind=VectorStore.Kind.CONVERSATION)
    client.post(page("chat_assistantversion_change", version.pk), version_form(stores=[str(private.pk)]))
    assert not version.stores.exists()
    version.stores.add(private)
    with pytest.raises(assistants.InvalidVersionError, match="nobody else's source"):
        assistants.publish(version=version, by=boss)
    offered = client.get(
        page("autocomplete"),
        {"app_label": "chat", "model_name": "assistantversion", "field_name": "stores", "term": ""},
    )
    assert str(private.pk) not in offered.text


# What was said --------------------------------------------------------------------------------------------------------


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
    return {
        "chat_conversation": conversation, "chat_turn": turn, "chat_response": response, "chat_item": item,
        "tools_toolcall": call,
    }  # fmt: skip


READ_ONLY = ["chat_conversation", "chat_turn", "chat_response", "chat_item", "tools_toolcall"]


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


@pytest.mark.parametrize("name", READ_ONLY)
def test_staff_read_only_their_own(client: Client, name: str) -> None:
    clerk = staff("view_conversation", "view_turn", "view_response", "view_item", "view_toolcall")
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
    address = page(f"{name}_changelist")
    make()
    client.get(address)
    with CaptureQueriesContext(connection) as few:
        client.get(address)
    for _ in range(4):
        make()
    with CaptureQueriesContext(connection) as many:
        assert client.get(address).status_code == 200
    assert len(many) == len(few), [query["sql"][:150] for query in many.captured_queries]


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
    address = page(f"{name}_change", row.pk)
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
