"""People, rights, model servers and background work in the admin: who may do what, and what is never shown."""

import uuid
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from core import endpoints
from core.accounts.links import find_link
from core.models import Endpoint, EndpointModel, Grant, User, Work
from core.models.grants import Role
from tests import factories
from tests.admin_pages import page, staff

pytestmark = pytest.mark.django_db


def act(client: Client, model: str, action: str, *rows: Any) -> Any:
    chosen = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    return client.post(page(f"{model}_changelist"), chosen, follow=True)


def said(response: Any) -> str:
    return " ".join(map(str, response.context["messages"]))


# The whole ----------------------------------------------------------------------------------------------------------


def test_every_page_of_the_index_opens_without_inline_code(client: Client, boss: User) -> None:
    for model, model_admin in admin.site._registry.items():
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        addresses = [page(f"{name}_changelist")]
        request = type("Request", (), {"user": boss, "GET": {}})()
        if model_admin.has_add_permission(request):  # type: ignore[arg-type]
            addresses.append(page(f"{name}_add"))
        for address in addresses:
            response = client.get(address)
            assert response.status_code == 200, address
            assert "<style" not in response.text
            assert " style=" not in response.text
            assert "unsafe-inline" not in response.headers["Content-Security-Policy"]


def test_noise_is_not_listed(client: Client, boss: User) -> None:
    text = client.get(page("index")).text
    for word in ("Email address", "Accounts", "Sign in link", "Milestone"):
        assert word not in text


@pytest.mark.parametrize("person", ["nobody", "user"])
def test_others_stay_outside(client: Client, person: str) -> None:
    if person == "user":
        client.force_login(factories.user())
    response = client.get(page("core_user_changelist"))
    assert response.status_code == 302
    assert "login" in response.headers["Location"]


# People -------------------------------------------------------------------------------------------------------------


def test_a_person_is_added_by_address_and_comes_in_by_a_link(client: Client, boss: User) -> None:
    client.post(page("core_user_add"), {"email": "New@Example.org", "first_name": "N", "last_name": ""})
    person = User.objects.get(email="new@example.org")
    assert not person.has_usable_password()
    response = act(client, "core_user", "sign_in_links", person)
    link = next(word for word in said(response).split() if "/sign-in/" in word)
    assert find_link(link.rstrip("/").rpartition("/")[2]).user == person  # type: ignore[union-attr]
    assert "/sign-in/" not in client.get(page("core_user_changelist")).text, "it is shown once"


def test_an_address_that_is_taken_is_said(client: Client, boss: User) -> None:
    factories.user("ada@example.org")
    response = client.post(page("core_user_add"), {"email": "ADA@example.org"})
    assert response.status_code == 200
    assert "This address is taken." in response.text


def user_form(person: User, **changes: Any) -> dict[str, Any]:
    form = {"email": person.email, "first_name": person.first_name, "last_name": person.last_name, "is_active": "on"}
    return {**form, **changes}


def test_a_former_address_ends_with_the_change(client: Client, boss: User) -> None:
    """allauth keeps its own list, by which the former address would still sign in."""
    person = factories.user("old@example.org", password="difference-engine")
    EmailAddress.objects.create(user=person, email="old@example.org", primary=True, verified=True)
    client.post(page("core_user_change", person.pk), user_form(person, email="new@example.org"))
    person.refresh_from_db()
    assert person.email == "new@example.org"
    login = {"login": "old@example.org", "password": "difference-engine"}
    other = Client()
    other.post("/account/login/", login)
    assert "_auth_user_id" not in other.session
    other.post("/account/login/", {**login, "login": "new@example.org"})
    assert "_auth_user_id" in other.session


def test_switching_a_person_off(client: Client, boss: User) -> None:
    person = factories.user()
    form = user_form(person)
    del form["is_active"]
    client.post(page("core_user_change", person.pk), form)
    person.refresh_from_db()
    assert not person.is_active
    assert "no link can be made" in said(act(client, "core_user", "sign_in_links", person))


def test_links_for_many_at_once_are_refused(client: Client, boss: User) -> None:
    people = [factories.user() for _ in range(6)]
    assert "5 people at most" in said(act(client, "core_user", "sign_in_links", *people))


def test_who_is_no_superuser_cannot_become_one(client: Client, boss: User) -> None:
    clerk, person = staff("change_user", "view_user", "delete_user"), factories.user()
    team = Group.objects.create(name="team")
    client.force_login(clerk)
    rights = {"is_superuser": "on", "is_staff": "on", "groups": [str(team.pk)]}
    assert client.post(page("core_user_change", person.pk), user_form(person, **rights)).status_code == 302
    person.refresh_from_db()
    assert (person.is_superuser, person.is_staff, person.groups.count()) == (False, False, 0)
    assert client.post(page("core_user_change", clerk.pk), user_form(clerk, **rights)).status_code == 403
    assert client.post(page("core_user_change", boss.pk), user_form(boss, email="mine@example.org")).status_code == 403
    assert client.post(page("auth_user_password_change", boss.pk), {"password1": "x"}).status_code == 403
    assert "no link can be made" in said(act(client, "core_user", "sign_in_links", boss))
    assert client.post(page("core_user_delete", boss.pk), {"post": "yes"}).status_code == 403
    assert "signs in once" in said(act(client, "core_user", "sign_in_links", person)), "the control"


# Endpoints ----------------------------------------------------------------------------------------------------------


def endpoint_form(**changes: Any) -> dict[str, Any]:
    return {
        "name": "House",
        "base_url": "http://127.0.0.1:9/v1",
        "enabled": "on",
        "new_api_key": "",
        "headers": "{}",
        "capabilities": "{}",
        "connect_timeout": "5",
        "read_timeout": "120",
        "served_models-TOTAL_FORMS": "0",
        "served_models-INITIAL_FORMS": "0",
        **changes,
    }


def test_a_key_is_written_kept_replaced_and_removed_and_never_shown(client: Client, boss: User) -> None:
    client.post(page("core_endpoint_add"), endpoint_form(new_api_key="sk-secret-1"))
    endpoint = Endpoint.objects.get()
    assert endpoint.api_key == "sk-secret-1"
    address = page("core_endpoint_change", endpoint.pk)
    for changes, key in [
        ({"name": "House 2"}, "sk-secret-1"),
        ({"new_api_key": "sk-secret-2"}, "sk-secret-2"),
        ({"remove_api_key": "on"}, ""),
    ]:
        shown = client.get(address).text
        assert "sk-secret" not in shown
        assert ("A key is stored" in shown) is bool(Endpoint.objects.get().api_key)
        assert client.post(address, endpoint_form(**changes)).status_code == 302
        assert Endpoint.objects.get().api_key == key
    refused = client.post(address, endpoint_form(new_api_key="sk-secret-3", base_url="nonsense"))
    assert refused.status_code == 200
    assert "sk-secret-3" not in refused.text


def test_an_endpoint_with_a_model(client: Client, boss: User) -> None:
    row = {"name": "qwen3", "purpose": "chat", "enabled": "on", "context_window": "8000", "max_output_tokens": "1000"}
    models = {f"served_models-0-{name}": value for name, value in row.items()}
    client.post(page("core_endpoint_add"), endpoint_form(**models, **{"served_models-TOTAL_FORMS": "1"}))
    model = EndpointModel.objects.get()
    assert (model.name, model.endpoint.name, model.endpoint.source, model.is_default) == (
        "qwen3",
        "House",
        "admin",
        False,
    )
    spoiled = {**models, "served_models-0-max_output_tokens": "8000", "served_models-TOTAL_FORMS": "1"}
    response = client.post(page("core_endpoint_add"), endpoint_form(name="Other", **spoiled))
    assert "Nothing of the window of 8000 tokens is left" in response.text


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("headers", '{"X": 1}', "Give an object of names and texts."),
        ("headers", "{", "Enter a valid JSON."),
        ("capabilities", '{"store": "no"}', "Give an object of names, each true or false."),
        ("capabilities", "[]", ""),
        ("base_url", "", "Give the server&#x27;s address."),
        ("read_timeout", "0", "greater than or equal to 1"),
    ],
)
def test_what_an_endpoint_cannot_be_is_said(client: Client, boss: User, field: str, value: str, sentence: str) -> None:
    response = client.post(page("core_endpoint_add"), endpoint_form(**{field: value}))
    if sentence:
        assert response.status_code == 200
        assert sentence in response.text
        assert not Endpoint.objects.exists()
    else:
        assert Endpoint.objects.get().capabilities == {}


def test_the_environments_endpoint_is_changed_in_the_environment(client: Client, boss: User, settings: Any) -> None:
    settings.CHAT_BASE_URL, settings.CHAT_API_KEY, settings.CHAT_MODEL = "http://env.test/v1", "sk-env", "env-model"
    settings.EMBEDDING_BASE_URL = "off"
    endpoints.sync_environment_endpoints()
    endpoint = Endpoint.objects.get(source="environment")
    address = page("core_endpoint_change", endpoint.pk)
    shown = client.get(address).text
    assert "sk-env" not in shown
    assert "new_api_key" not in shown
    form = endpoint_form(base_url="http://evil.test/v1", new_api_key="sk-x", name="Renamed")
    del form["enabled"]
    assert client.post(address, form).status_code == 302
    endpoint.refresh_from_db()
    assert (endpoint.name, endpoint.base_url, endpoint.api_key, endpoint.enabled) == (
        "Renamed",
        "http://env.test/v1",
        "sk-env",
        True,
    )
    model = EndpointModel.objects.get(name="env-model")
    change = {"name": "x", "max_output_tokens": "9000", "input_price": "0.5", "context_window": "9999"}
    assert client.post(page("core_endpointmodel_change", model.pk), change).status_code == 302
    model.refresh_from_db()
    assert (model.name, model.enabled, model.context_window) == ("env-model", True, 128_000)
    assert (model.max_output_tokens, str(model.input_price)) == (9000, "0.500000")


def test_what_is_built_in_is_only_looked_at(client: Client, boss: User, settings: Any) -> None:
    settings.CHAT_BASE_URL = settings.EMBEDDING_BASE_URL = "off"
    endpoints.sync_environment_endpoints()
    built_in = Endpoint.objects.get(provider="extractive")
    shown = client.get(page("core_endpoint_change", built_in.pk)).text
    assert 'name="_save"' not in shown
    assert client.post(page("core_endpoint_change", built_in.pk), endpoint_form()).status_code == 403
    assert client.post(page("core_endpoint_delete", built_in.pk), {"post": "yes"}).status_code == 403
    added = {"endpoint": built_in.pk, "name": "x", "purpose": "chat", "context_window": "9", "max_output_tokens": "1"}
    assert "serves its own model only" in client.post(page("core_endpointmodel_add"), added).text


def test_the_default_is_switched_and_cannot_be_switched_off(client: Client, boss: User) -> None:
    first = factories.chat_model(endpoint=factories.responses_endpoint("http://127.0.0.1:9/v1"), is_default=True)
    second = factories.chat_model(endpoint=factories.responses_endpoint("http://127.0.0.1:8/v1"))
    off = factories.chat_model(endpoint=factories.responses_endpoint("http://127.0.0.1:7/v1"), enabled=False)
    embedder = factories.embedding_model()
    form = endpoint_form(name="x", base_url=first.endpoint.base_url)
    del form["enabled"]
    response = client.post(page("core_endpoint_change", first.endpoint_id), form)
    assert "make another model the default first" in response.text
    row = {"context_window": "128000", "max_output_tokens": "16000", "name": first.name}
    response = client.post(page("core_endpointmodel_change", first.pk), row)
    assert "make another model the default first" in response.text
    assert "one model for each purpose" in said(act(client, "core_endpointmodel", "make_default", first, second))
    assert "switched off" in said(act(client, "core_endpointmodel", "make_default", off))
    act(client, "core_endpointmodel", "make_default", second, embedder)
    assert set(EndpointModel.objects.filter(is_default=True)) == {second, embedder}
    assert endpoints.default_model("chat") == second


def test_a_model_that_something_refers_to_is_not_deleted(client: Client, boss: User) -> None:
    used, free = factories.store().embedding_model, factories.embedding_model()
    assert client.post(page("core_endpointmodel_delete", used.pk), {"post": "yes"}).status_code == 403
    assert client.post(page("core_endpointmodel_delete", free.pk), {"post": "yes"}).status_code == 403, "built in"
    served = factories.chat_model(endpoint=factories.responses_endpoint("http://127.0.0.1:9/v1"))
    assert client.post(page("core_endpoint_delete", served.endpoint_id), {"post": "yes"}).status_code == 403
    assert client.post(page("core_endpointmodel_delete", served.pk), {"post": "yes"}).status_code == 302
    assert client.post(page("core_endpoint_delete", served.endpoint_id), {"post": "yes"}).status_code == 302


# Grants -------------------------------------------------------------------------------------------------------------


def grant_forms(*rows: dict[str, Any], prefix: str = "core-grant-content_type-object_id") -> dict[str, Any]:
    form = {f"{prefix}-TOTAL_FORMS": str(len(rows)), f"{prefix}-INITIAL_FORMS": "0"}
    for number, row in enumerate(rows):
        form |= {f"{prefix}-{number}-{name}": value for name, value in row.items()}
    return form


def store_form(**changes: Any) -> dict[str, Any]:
    return {"name": "Store", "kind": "library", "chunk_tokens": "240", "chunk_overlap": "28", **changes}


def test_grants_are_given_on_the_page_of_their_object(client: Client, boss: User) -> None:
    store, person = factories.store(dense_share=0.5), factories.user()
    team = Group.objects.create(name="team")
    rows = [
        {"user": str(person.pk), "role": "editor"},
        {"group": str(team.pk), "role": "reader"},
        {"everyone": "on", "role": "reader"},
    ]
    form = store_form(dense_share="0.5", embedding_model=str(store.embedding_model_id), **grant_forms(*rows))
    response = client.post(page("retrieval_vectorstore_change", store.pk), form)
    assert response.status_code == 302, response.context["errors"]
    granted = set(Grant.objects.values_list("user", "group", "everyone", "role", "created_by"))
    assert granted == {
        (person.pk, None, False, "editor", boss.pk),
        (None, team.pk, False, "reader", boss.pk),
        (None, None, True, "reader", boss.pk),
    }


@pytest.mark.parametrize("row", [{"role": "editor"}, {"user": "person", "everyone": "on", "role": "reader"}])
def test_a_grant_has_exactly_one_subject(client: Client, boss: User, row: dict[str, str]) -> None:
    store, person = factories.store(), factories.user()
    row = {name: str(person.pk) if value == "person" else value for name, value in row.items()}
    form = store_form(
        dense_share="0.5", embedding_model=str(store.embedding_model_id), **grant_forms({**row, "role": "editor"})
    )
    response = client.post(page("retrieval_vectorstore_change", store.pk), form)
    assert "exactly one of them" in response.text
    assert not Grant.objects.exists()


def test_staff_see_and_change_what_was_granted_to_them(client: Client) -> None:
    clerk = staff(
        "view_vectorstore", "change_vectorstore", "delete_vectorstore", "add_grant", "change_grant", "view_grant"
    )
    client.force_login(clerk)
    hidden, read, edited, owned = (factories.store(name=name) for name in ("Hidden", "Read", "Edited", "Owned"))
    for store, role in ((read, Role.READER), (edited, Role.EDITOR), (owned, Role.OWNER)):
        factories.grant(store, clerk, role)
    listed = client.get(page("retrieval_vectorstore_changelist")).text
    assert [name in listed for name in ("Hidden", "Read", "Edited", "Owned")] == [False, True, True, True]
    assert client.get(page("retrieval_vectorstore_change", hidden.pk)).status_code == 302
    form = store_form(dense_share="0.5", **grant_forms({"everyone": "on", "role": "reader"}))
    for store, status, grants in ((read, 403, 0), (edited, 302, 0), (owned, 302, 1)):
        form["embedding_model"] = str(store.embedding_model_id)
        assert client.post(page("retrieval_vectorstore_change", store.pk), form).status_code == status
        assert Grant.objects.filter(object_id=store.pk, everyone=True).count() == grants


# Background work ------------------------------------------------------------------------------------------------------


def test_failed_work_is_tried_again_by_who_may(client: Client, boss: User) -> None:
    failed = Work.objects.create(kind="k", subject=uuid.uuid4(), state="failed", error="It broke.")
    waiting = Work.objects.create(kind="k", subject=uuid.uuid4())
    assert "It broke." in client.get(page("core_work_changelist")).text
    answer = said(act(client, "core_work", "retry", failed, waiting))
    assert "1 tried again." in answer
    assert "1 not failed" in answer
    assert set(Work.objects.values_list("state", flat=True)) == {"waiting"}
    again = Work.objects.create(kind="k", subject=uuid.uuid4(), state="failed")
    client.force_login(staff("view_work"))
    act(client, "core_work", "retry", again)
    again.refresh_from_db()
    assert again.state == "failed"


@pytest.mark.parametrize("model", ["core_work", "core_process"])
def test_rows_of_processes_are_only_looked_at(client: Client, boss: User, model: str) -> None:
    assert client.get(page(f"{model}_add")).status_code == 403
    work = Work.objects.create(kind="k", subject=uuid.uuid4())
    if model == "core_work":
        assert 'name="_save"' not in client.get(page("core_work_change", work.pk)).text
        assert client.post(page("core_work_change", work.pk), {"kind": "x"}).status_code == 403
        assert client.post(page("core_work_delete", work.pk), {"post": "yes"}).status_code == 403


def test_a_models_page_says_how_its_server_counts(client: Client, boss: User) -> None:
    model = factories.chat_model(endpoint=factories.responses_endpoint("https://models.example/v1"))
    address = page("core_endpointmodel_change", model.pk)
    assert "has not counted more tokens" in client.get(address).text
    EndpointModel.objects.filter(pk=model.pk).update(token_ratio=1.42, token_ratio_at=timezone.now())
    assert "counts up to 1.42 tokens" in client.get(address).text
