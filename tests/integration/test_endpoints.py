"""The environment's servers as rows: made, moved, switched off, and never against an administrator's choice."""

import threading
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from pytest_django import Settings

from core import endpoints
from core.models import Endpoint, EndpointModel

CHAT, EMBEDDING = EndpointModel.Purpose.CHAT, EndpointModel.Purpose.EMBEDDING
ENVIRONMENT = Endpoint.Source.ENVIRONMENT


@pytest.fixture(autouse=True)
def nothing_configured(settings: Settings) -> None:
    for name in ("CHAT_BASE_URL", "CHAT_API_KEY", "EMBEDDING_BASE_URL", "EMBEDDING_API_KEY"):
        setattr(settings, name, "")
    settings.CHAT_MODEL = "gpt-5-mini"
    settings.EMBEDDING_MODEL = "text-embedding-3-small"
    settings.CHAT_CONTEXT_WINDOW = 128_000


def configure(settings: Settings, **values: Any) -> endpoints.Synced:
    for name, value in values.items():
        setattr(settings, name, value)
    return endpoints.sync_environment_endpoints()


def from_environment() -> list[Endpoint]:
    return list(Endpoint.objects.filter(source=ENVIRONMENT).order_by("base_url"))


def administrators_model(name: str = "house-model", *, endpoint: Endpoint | None = None, **more: Any) -> EndpointModel:
    endpoint = endpoint or Endpoint.objects.create(name="house", base_url="http://127.0.0.1:9/v1", api_key="k")
    return EndpointModel.objects.create(endpoint=endpoint, name=name, **{"purpose": CHAT, **more})


@pytest.mark.django_db
def test_with_nothing_configured_the_built_in_models_serve_and_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    synced = endpoints.sync_environment_endpoints()
    assert (synced.chat.name, synced.chat.endpoint.provider) == ("extractive", "extractive")
    assert (synced.embedding.name, synced.embedding.dimensions) == ("hashing-512", 512)
    assert endpoints.default_model(CHAT) == synced.chat
    assert endpoints.default_model(EMBEDDING) == synced.embedding
    assert len(synced.notes) == 2
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == list(synced.notes)
    assert from_environment() == []


@pytest.mark.django_db
def test_a_key_alone_means_openai_for_both_purposes_in_one_endpoint(settings: Settings) -> None:
    synced = configure(settings, CHAT_API_KEY="sk-1", EMBEDDING_API_KEY="sk-1")
    [endpoint] = from_environment()
    assert endpoint.base_url == "https://api.openai.com/v1"
    assert endpoint.api_key == "sk-1"
    assert synced.chat.endpoint == synced.embedding.endpoint == endpoint
    assert (synced.chat.name, synced.embedding.name) == ("gpt-5-mini", "text-embedding-3-small")
    assert synced.notes == ()
    assert EndpointModel.objects.filter(endpoint__source="built_in").count() == 2


@pytest.mark.django_db
def test_an_address_alone_is_enough(settings: Settings) -> None:
    synced = configure(settings, CHAT_BASE_URL="http://localhost:11434/v1/")
    assert synced.chat.endpoint.base_url == "http://localhost:11434/v1"
    assert synced.chat.endpoint.api_key == ""
    assert endpoints.is_built_in(synced.embedding)
    assert [note for note in synced.notes if "embeddings" in note] == list(synced.notes)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("other", "rows"),
    [
        ({"EMBEDDING_BASE_URL": "http://b.test/v1", "EMBEDDING_API_KEY": "k"}, 2),
        ({"EMBEDDING_BASE_URL": "http://a.test/v1", "EMBEDDING_API_KEY": "other"}, 2),
        ({"EMBEDDING_BASE_URL": "http://a.test/v1/", "EMBEDDING_API_KEY": "k"}, 1),
    ],
)
def test_one_endpoint_only_where_address_and_key_are_the_same(
    settings: Settings, other: dict[str, str], rows: int
) -> None:
    configure(settings, CHAT_BASE_URL="http://a.test/v1", CHAT_API_KEY="k", **other)
    assert len(from_environment()) == rows


@pytest.mark.django_db
@pytest.mark.parametrize("word", ["off", "none", "OFF", " None "])
def test_a_word_switches_embeddings_off_though_there_is_a_key(settings: Settings, word: str) -> None:
    synced = configure(settings, CHAT_API_KEY="k", EMBEDDING_API_KEY="k", EMBEDDING_BASE_URL=word)
    assert synced.chat.name == "gpt-5-mini"
    assert synced.embedding.name == "hashing-512"


@pytest.mark.django_db
def test_embeddings_switched_off_later_leave_the_model_readable_but_off(settings: Settings) -> None:
    before = configure(settings, CHAT_API_KEY="k", EMBEDDING_API_KEY="k").embedding
    configure(settings, EMBEDDING_BASE_URL="off")
    before.refresh_from_db()
    assert (before.enabled, before.is_default, before.endpoint.enabled) == (False, False, True)
    again = configure(settings, EMBEDDING_BASE_URL="").embedding
    assert (again, again.enabled, again.is_default) == (before, True, True)


@pytest.mark.django_db
def test_doing_it_again_changes_nothing(settings: Settings) -> None:
    configure(settings, CHAT_API_KEY="k", EMBEDDING_API_KEY="k")

    def rows() -> list[Any]:
        volatile = {"updated_at"}
        fields = [f.attname for f in EndpointModel._meta.concrete_fields if f.name not in volatile]
        return [*EndpointModel.objects.order_by("id").values_list(*fields), *Endpoint.objects.order_by("id").values()]

    before = rows()
    endpoints.sync_environment_endpoints()
    assert rows() == before


@pytest.mark.django_db
def test_a_server_that_moves_keeps_its_models(settings: Settings) -> None:
    before = configure(settings, CHAT_BASE_URL="http://old.test/v1", EMBEDDING_BASE_URL="http://old.test/v1")
    after = configure(settings, CHAT_BASE_URL="http://new.test/v1", EMBEDDING_BASE_URL="http://new.test/v1")
    assert (after.chat.pk, after.embedding.pk) == (before.chat.pk, before.embedding.pk)
    assert [endpoint.base_url for endpoint in from_environment()] == ["http://new.test/v1"]


@pytest.mark.django_db
def test_only_one_purpose_moves(settings: Settings) -> None:
    configure(settings, CHAT_BASE_URL="http://one.test/v1", EMBEDDING_BASE_URL="http://one.test/v1")
    after = configure(settings, CHAT_BASE_URL="http://two.test/v1")
    assert after.chat.endpoint.base_url == "http://two.test/v1"
    assert after.embedding.endpoint.base_url == "http://one.test/v1"
    assert EndpointModel.objects.filter(endpoint__source=ENVIRONMENT).count() == 2


@pytest.mark.django_db
def test_a_new_key_stays_in_the_row_and_reaches_it_encrypted(settings: Settings) -> None:
    before = configure(settings, CHAT_API_KEY="first").chat
    after = configure(settings, CHAT_API_KEY="second").chat
    assert after.endpoint_id == before.endpoint_id
    assert Endpoint.objects.get(pk=after.endpoint_id).api_key == "second"
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT api_key FROM core_endpoint WHERE id = %s", [after.endpoint_id])
        [stored] = cursor.fetchone()
    assert "second" not in stored


@pytest.mark.django_db
def test_another_model_on_the_same_server_becomes_the_default_and_the_old_one_stays(settings: Settings) -> None:
    old = configure(settings, CHAT_API_KEY="k").chat
    new = configure(settings, CHAT_MODEL="gpt-5").chat
    old.refresh_from_db()
    assert (new.name, new.is_default) == ("gpt-5", True)
    assert (old.enabled, old.is_default) == (True, False)
    assert old.endpoint == new.endpoint


@pytest.mark.django_db
def test_a_server_that_left_the_environment_is_switched_off_without_its_key(settings: Settings) -> None:
    old = configure(settings, CHAT_BASE_URL="http://old.test/v1", CHAT_API_KEY="k").chat
    new = configure(settings, CHAT_BASE_URL="http://new.test/v1", CHAT_MODEL="other").chat
    endpoint = Endpoint.objects.get(pk=old.endpoint_id)
    assert (endpoint.enabled, endpoint.api_key) == (False, "")
    assert EndpointModel.objects.filter(pk=old.pk, is_default=False).exists()
    gone = configure(settings, CHAT_BASE_URL="", CHAT_API_KEY="")
    assert endpoints.is_built_in(gone.chat)
    assert not Endpoint.objects.get(pk=new.endpoint_id).enabled


@pytest.mark.django_db
def test_an_administrators_default_is_left_alone(settings: Settings) -> None:
    endpoints.sync_environment_endpoints()
    EndpointModel.objects.update(is_default=False)
    own = administrators_model(is_default=True)
    assert configure(settings, CHAT_API_KEY="k").chat == own
    assert endpoints.default_model(CHAT) == own


@pytest.mark.django_db
def test_a_model_an_administrator_added_to_the_environments_server_is_theirs(settings: Settings) -> None:
    first = configure(settings, CHAT_API_KEY="k").chat
    EndpointModel.objects.filter(pk=first.pk).update(is_default=False)
    own = administrators_model("bigger", endpoint=first.endpoint, is_default=True)
    assert configure(settings, CHAT_MODEL="gpt-5").chat == own
    # its server leaves: it cannot be meant any more, and that is no silent choice
    synced = configure(settings, CHAT_API_KEY="")
    own.refresh_from_db()
    assert (own.enabled, own.is_default, own.endpoint.enabled) == (True, False, False)
    assert endpoints.is_built_in(synced.chat)
    assert synced.notes


@pytest.mark.django_db
def test_the_environment_names_a_model_an_administrator_has_added_there(settings: Settings) -> None:
    first = configure(settings, CHAT_API_KEY="k").chat
    own = administrators_model("bigger", endpoint=first.endpoint)
    assert configure(settings, CHAT_MODEL="bigger").chat == own
    assert EndpointModel.objects.filter(name="bigger").count() == 1


@pytest.mark.django_db
def test_a_default_that_is_switched_off_is_an_error_and_a_note_never_a_silent_change(settings: Settings) -> None:
    endpoints.sync_environment_endpoints()
    EndpointModel.objects.filter(purpose=CHAT).update(is_default=False)
    own = administrators_model(is_default=True)
    Endpoint.objects.filter(pk=own.endpoint_id).update(enabled=False)
    synced = configure(settings, CHAT_API_KEY="k")
    assert any("house-model" in note and "switched off" in note for note in synced.notes)
    with pytest.raises(endpoints.NoModelError, match="switched off") as caught:
        endpoints.default_model(CHAT)
    assert not caught.value.retryable
    assert caught.value.status == 503


@pytest.mark.django_db
def test_without_any_default_there_is_an_error_of_its_own() -> None:
    with pytest.raises(endpoints.NoModelError, match="No default embedding model"):
        endpoints.default_model(EMBEDDING)


@pytest.mark.django_db
@pytest.mark.parametrize(("window", "reserved"), [(8_192, 2_048), (128_000, 16_000), (2_048, 512)])
def test_the_window_leaves_room_for_what_is_asked(settings: Settings, window: int, reserved: int) -> None:
    chat = configure(settings, CHAT_API_KEY="k", CHAT_CONTEXT_WINDOW=window).chat
    assert (chat.context_window, chat.max_output_tokens) == (window, reserved)
    wider = configure(settings, CHAT_CONTEXT_WINDOW=64_000).chat
    assert wider.max_output_tokens == 16_000


@pytest.mark.django_db
def test_what_an_administrator_reserved_stays_while_it_fits(settings: Settings) -> None:
    chat = configure(settings, CHAT_API_KEY="k").chat
    EndpointModel.objects.filter(pk=chat.pk).update(max_output_tokens=60_000, input_price="0.25")
    chat = configure(settings).chat
    assert (chat.max_output_tokens, str(chat.input_price)) == (60_000, "0.250000")
    assert configure(settings, CHAT_CONTEXT_WINDOW=32_000).chat.max_output_tokens == 8_000


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"CHAT_BASE_URL": "localhost:11434"}, "CHAT_BASE_URL"),
        ({"EMBEDDING_BASE_URL": "ftp://models.test"}, "EMBEDDING_BASE_URL"),
        ({"CHAT_BASE_URL": "https://"}, "CHAT_BASE_URL"),
        ({"CHAT_API_KEY": "k", "CHAT_MODEL": " "}, "CHAT_MODEL"),
        ({"CHAT_API_KEY": "k", "CHAT_CONTEXT_WINDOW": 100}, "CHAT_CONTEXT_WINDOW"),
    ],
)
def test_a_wrong_setting_is_named_and_changes_nothing(settings: Settings, values: dict[str, Any], name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=name):
        configure(settings, **values)
    assert not Endpoint.objects.filter(source=ENVIRONMENT).exists()


@pytest.mark.django_db
def test_a_taken_name_does_not_stop_the_start(settings: Settings) -> None:
    for name in ("Quoted passages", "Lexical hashing", "api.openai.com (environment)"):
        Endpoint.objects.create(name=name, base_url="http://127.0.0.1:9/v1")
    configure(settings, CHAT_API_KEY="k")
    assert Endpoint.objects.filter(name="Quoted passages (2)").exists()
    assert from_environment()[0].name == "api.openai.com (environment) (2)"


@pytest.mark.django_db(transaction=True)
def test_many_processes_at_once_make_each_row_once(settings: Settings) -> None:
    settings.CHAT_API_KEY = settings.EMBEDDING_API_KEY = "k"
    barrier = threading.Barrier(6)
    failures: list[BaseException] = []

    def start() -> None:
        try:
            barrier.wait(timeout=60)
            endpoints.sync_environment_endpoints()
        except BaseException as error:  # noqa: BLE001  (whatever it is, the test has to see it)
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
    assert Endpoint.objects.count() == 3
    assert EndpointModel.objects.count() == 4
    assert EndpointModel.objects.filter(is_default=True).count() == 2
