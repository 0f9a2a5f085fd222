"""What probing finds, on the endpoint: written by the command or a worker, shown in the admin, overruled by people."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

import chat.tasks  # noqa: F401 - says who does the work, as a worker's start does
from chat.selectors.targets import choice_of
from core import outbox, probing
from core.errors import ConflictError
from core.models import Endpoint, EndpointModel, User, Work
from tests import factories
from tests.admin_pages import page, staff
from tests.integration.test_admin_core import act, endpoint_form, said
from tests.responses_server import ResponsesServer

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "sk-proj-0123456789abcdefghij"


@pytest.fixture
def endpoint(upstream: ResponsesServer) -> Endpoint:
    row = factories.responses_endpoint(upstream.base_url, api_key=KEY)
    factories.chat_model(endpoint=row, name="scripted")
    return row


def command(upstream: ResponsesServer, *words: str) -> str:
    printed = io.StringIO()
    call_command("probe_endpoint", "--base-url", upstream.base_url, "--model", "scripted", *words, stdout=printed)
    return printed.getvalue()


def probed(endpoint: Endpoint, owner: User) -> Endpoint:
    probing.request_probe(endpoint=endpoint, owner=owner)
    while outbox.run_one():
        pass
    return Endpoint.objects.get(pk=endpoint.pk)


def test_the_command_writes_the_record_of_the_address(upstream: ResponsesServer, endpoint: Endpoint) -> None:
    upstream.play("vllm")
    assert f"Stored with the endpoint {endpoint.name}." in command(upstream)
    endpoint.refresh_from_db()
    assert endpoint.record["background"] is False
    assert endpoint.findings["background"]["said"].startswith("This engine keeps no responses")
    assert endpoint.capabilities_probed_at is not None
    model = endpoint.served_models.select_related("endpoint").get()
    capabilities = choice_of(model).target.capabilities
    assert (capabilities.has("metadata"), capabilities.allows("store")) == (True, False)


def test_the_command_makes_an_endpoint_when_asked_to(
    upstream: ResponsesServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("API_KEY", KEY)
    upstream.play("openai")
    assert "nothing is stored" in command(upstream, "--json", str(tmp_path / "record.json"))
    assert not Endpoint.objects.filter(base_url=upstream.base_url).exists()
    assert json.loads((tmp_path / "record.json").read_text())["usable"] is True
    printed = command(upstream, "--save", "House")
    made = Endpoint.objects.get(name="House")
    assert (made.base_url, made.api_key, made.record["starting_after"]) == (upstream.base_url, KEY, True)
    assert EndpointModel.objects.get(endpoint=made).name == "scripted"
    assert KEY not in printed


def test_the_command_fails_where_the_least_does_not_hold(upstream: ResponsesServer, endpoint: Endpoint) -> None:
    upstream.script({"status": 404, "body": {"error": {"message": "no such path"}}, "always": True})
    with pytest.raises(CommandError, match="no streamed text"):
        command(upstream)
    endpoint.refresh_from_db()
    assert endpoint.findings["streaming"]["said"] == "no such path"
    assert "tools" not in endpoint.record


def test_a_name_that_is_taken_is_refused(upstream: ResponsesServer) -> None:
    upstream.play("openai")
    factories.responses_endpoint("http://127.0.0.1:9/v1", name="House")
    with pytest.raises(CommandError, match="called House already"):
        command(upstream, "--save", "House")


def test_a_worker_asks_and_stores(upstream: ResponsesServer, endpoint: Endpoint) -> None:
    upstream.play("ollama")
    found = probed(endpoint, factories.user())
    assert found.record["tool_choice"] is False
    assert "include" not in found.record, "what stayed open is not in the record"
    assert not Work.objects.exists()


def test_what_a_person_set_wins_and_an_open_question_keeps_its_answer(
    upstream: ResponsesServer, endpoint: Endpoint
) -> None:
    person = factories.user()
    upstream.play("openai")
    first = probed(endpoint, person)
    Endpoint.objects.filter(pk=endpoint.pk).update(capabilities={"store": False, "resume": True})
    upstream.play("vllm")
    second = probed(endpoint, person)
    assert (second.record["store"], second.record["resume"]) == (False, True)
    assert second.findings["tools"]["since"] == first.findings["tools"]["since"]
    assert second.findings["background"]["since"] == second.findings["background"]["at"]
    assert second.findings["background"]["outcome"] != first.findings["background"]["outcome"]
    upstream.reset()
    upstream.script({"status": 503, "always": True})
    third = probed(endpoint, person)
    assert third.findings == second.findings, "a server that is away says nothing new"
    assert third.capabilities_probed_at > second.capabilities_probed_at  # type: ignore[operator]


def test_only_servers_with_a_chat_model_can_be_asked() -> None:
    person = factories.user()
    without = factories.responses_endpoint("http://127.0.0.1:9/v1")
    off = factories.responses_endpoint("http://127.0.0.1:9/v1", enabled=False)
    for row in (without, off, factories.chat_model().endpoint):
        with pytest.raises(ConflictError):
            probing.request_probe(endpoint=row, owner=person)
    assert not Work.objects.exists()


def change(client: Client, endpoint: Endpoint, **choices: Any) -> None:
    models = endpoint.served_models.all()
    inline: dict[str, Any] = {"served_models-TOTAL_FORMS": len(models), "served_models-INITIAL_FORMS": len(models)}
    for at, model in enumerate(models):
        row = {"id": model.pk, "name": model.name, "purpose": model.purpose, "enabled": "on"}
        row |= {"endpoint": endpoint.pk, "context_window": 8000, "max_output_tokens": 1000}
        inline |= {f"served_models-{at}-{name}": value for name, value in row.items()}
    form = endpoint_form(name=endpoint.name, base_url=endpoint.base_url, **inline)
    response = client.post(page("core_endpoint_change", endpoint.pk), {**form, **choices})
    assert response.status_code == 302, response.context["errors"]


def test_the_admin_asks_in_the_background_and_shows_what_was_said(
    client: Client, boss: User, upstream: ResponsesServer, endpoint: Endpoint
) -> None:
    upstream.play("vllm")
    address = page("core_endpoint_change", endpoint.pk)
    assert "Nothing was found out yet." in client.get(address).text
    assert "is being asked" in said(act(client, "core_endpoint", "probe", endpoint))
    assert upstream.requests == [], "nothing is asked within the request"
    assert "A probe is running" in client.get(address).text
    while outbox.run_one():
        pass
    shown = client.get(address).text
    assert "Refused since" in shown
    assert "This engine keeps no responses and so runs none in the background." in shown
    assert "streaming: Works since" in shown
    assert "As found: does not work" in shown
    assert "Last asked" in shown
    assert KEY not in shown


def test_each_capability_is_set_in_the_admin(client: Client, boss: User, endpoint: Endpoint) -> None:
    change(client, endpoint, can_store="not", can_resume="works", capabilities='{"top_k": true}')
    endpoint.refresh_from_db()
    assert endpoint.capabilities == {"store": False, "resume": True, "top_k": True}
    shown = client.get(page("core_endpoint_change", endpoint.pk)).context["adminform"].form
    assert (shown["can_store"].initial, shown["can_tools"].initial) == ("not", "")
    assert shown["capabilities"].initial == {"top_k": True}
    change(client, endpoint, can_store="")
    endpoint.refresh_from_db()
    assert endpoint.capabilities == {}


def test_who_may_only_look_cannot_probe(client: Client, endpoint: Endpoint) -> None:
    client.force_login(staff("view_endpoint"))
    assert client.get(page("core_endpoint_change", endpoint.pk)).status_code == 200
    act(client, "core_endpoint", "probe", endpoint)
    assert not Work.objects.exists()
    client.force_login(factories.user())
    assert client.get(reverse("admin:core_endpoint_changelist")).status_code == 302
