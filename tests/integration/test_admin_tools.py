"""The tools of a version in the admin: ticked, set, refused where they cannot be given, never lost unseen."""

from typing import Any

import pytest
from django.test import Client

from chat.models import AssistantVersion
from chat.services import assistants
from core.models import User
from tests import factories
from tests.admin_pages import draft, page

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("built_in_models")]


@pytest.fixture(autouse=True)
def boss(client: Client) -> User:
    person = factories.superuser()
    client.force_login(person)
    return person


def saved(client: Client, version: AssistantVersion, names: list[str], set_to: str = "", **changes: Any) -> Any:
    values = {
        "instructions": "Teach.", "starters": "", "failure_message": "", "parameters": "{}", "retrieval": "auto",
        "passages": "8", "strategy": "summary", "strategy_parameters": "{}", "input_messages": "[]", "variables": "{}",
        "retrieval_parameters": "{}", "fallbacks-TOTAL_FORMS": "0", "fallbacks-INITIAL_FORMS": "0",
        "tools_0": names, "tools_1": set_to,
    }  # fmt: skip
    return client.post(page("chat_assistantversion_change", version.pk), {**values, **changes})


def errors(response: Any) -> dict[str, list[str]]:
    return {name: list(map(str, said)) for name, said in response.context["adminform"].form.errors.items()}


def test_tools_are_ticked_and_set(client: Client) -> None:
    version = draft()
    shown = client.get(page("chat_assistantversion_change", version.pk)).text
    assert 'value="current_time"' in shown
    assert "The present date, time and weekday in a time zone." in shown
    assert "checked" not in shown.split('name="tools_0"')[1].split(">")[0]
    response = saved(client, version, ["current_time"], '{"current_time": {"config": {"zone": "Asia/Tokyo"}}}')
    assert response.status_code == 302
    version.refresh_from_db()
    assert version.tools == [{"name": "current_time", "config": {"zone": "Asia/Tokyo"}}]
    shown = client.get(page("chat_assistantversion_change", version.pk)).text
    assert "Asia/Tokyo" in shown
    assert saved(client, version, []).status_code == 302
    version.refresh_from_db()
    assert version.tools == []


@pytest.mark.parametrize(
    ("names", "set_to", "sentence"),
    [
        (["current_time"], "{", "Enter a valid JSON."),
        (["current_time"], "[1]", "Give an object of tools"),
        (["current_time"], '{"current_time": 1}', "Give an object of tools"),
        ([], '{"current_time": {}}', "current_time: set, but not ticked."),
        (["no_such_tool"], "", "is not one of the available choices"),
        (["current_time"], '{"current_time": {"config": {"zon": "UTC"}}}', "current_time: config.zon"),
        (["current_time"], '{"current_time": {"policy": "ask"}}', "Approvals (ask) are not there yet."),
        (["current_time"], '{"current_time": {"policy": "perhaps"}}', "0.policy: This has to be 'auto'"),
        (["current_time"], '{"current_time": {"limit": 3}}', "0.limit: This name is not known."),
    ],
)
def test_what_cannot_be_is_said_at_the_field(client: Client, names: list[str], set_to: str, sentence: str) -> None:
    version = draft(tools=[{"name": "file_search"}])
    found = errors(saved(client, version, names, set_to))
    assert list(found) == ["tools"]
    assert any(sentence in said for said in found["tools"]), found
    version.refresh_from_db()
    assert version.tools == [{"name": "file_search"}]


def test_tools_have_to_fit_to_the_rest_of_the_version(client: Client) -> None:
    version = draft()
    off = errors(saved(client, version, ["file_search"], retrieval="off"))
    assert off == {"tools": ["file_search: the documents are never searched in this version."]}
    choice = '{"tool_choice": {"type": "function", "name": "file_search"}}'
    found = errors(saved(client, version, ["current_time"], parameters=choice))
    assert found == {"parameters": ["tool_choice: file_search is not among the tools."]}
    assert saved(client, version, ["current_time"], parameters=choice, retrieval="tool").status_code == 302


def test_a_tool_that_is_gone_stays_until_somebody_takes_it_out(client: Client) -> None:
    version = draft(tools=[{"name": "old_tool", "config": {"a": 1}}])
    assert "old_tool: not installed any more" in client.get(page("chat_assistantversion_change", version.pk)).text
    with pytest.raises(assistants.InvalidVersionError, match="old_tool is not installed"):
        assistants.publish(version=version, by=None)
    assert "not installed" in errors(saved(client, version, ["old_tool"]))["tools"][0]
    assert saved(client, version, []).status_code == 302
    assert assistants.publish(version=version, by=None).tools == []


def test_a_version_that_searches_itself_needs_the_search(settings: Any) -> None:
    settings.TOOLS = ["tools.builtin.clock.CURRENT_TIME"]
    with pytest.raises(assistants.InvalidVersionError, match="file_search, which the model would search with"):
        assistants.publish(version=draft(retrieval="tool"), by=None)
