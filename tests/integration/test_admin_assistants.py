"""Assistants and their versions in the admin."""

import html
from typing import Any

import pytest
from django.test import Client

from chat.models import Assistant, AssistantVersion, FallbackModel
from chat.services import assistants
from core.models import User
from core.models.grants import Role
from retrieval.models import VectorStore
from tests import factories
from tests.admin_pages import draft, page, staff

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("built_in_models")]


def said(response: Any) -> str:
    return " ".join(map(str, response.context["messages"]))


def squeezed(text: str) -> str:
    return "".join(text.split())


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
        ("strategy_parameters", '{"facts": 0}', "facts: This has to be greater than or equal to 1."),
        ("strategy_parameters", '{"floor": 1.5}', "floor: This has to be less than or equal to 1."),
        ("strategy", "luck", "Select a valid choice."),
        ("remembers", "on", "Facts are sent only under the strategy"),
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
