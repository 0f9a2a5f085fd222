"""Which servers generate and embed: the ones from the environment, the built-in ones, and which model is the default.

Rows from the environment follow the settings at every start. A model of theirs is known by purpose and name (its id is
made from them), so that a server that moves keeps its models and whatever refers to them; an address that is no longer
named is switched off, never deleted while models hang on it. Rows that an administrator made are never touched.
"""

import logging
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction

from core.errors import ConflictError, UnavailableError
from core.models import Endpoint, EndpointModel

logger = logging.getLogger(__name__)

Purpose = EndpointModel.Purpose
Source = Endpoint.Source

OPENAI_URL = "https://api.openai.com/v1"
EXTRACTIVE_MODEL = "extractive"
HASHING_DIMENSIONS = 512
HASHING_MODEL = f"hashing-{HASHING_DIMENSIONS}"
MIN_CONTEXT_WINDOW = 2048
MAX_RESERVED = 16_000

_OFF = frozenset({"off", "none"})
_IDS = uuid.UUID("6f4f2c0e-5f0b-4c55-9a0b-8d0b2a3c9d11")
_LOCK = 0x7061726C6579  # any number that nobody else locks


class NoModelError(UnavailableError):
    """There is no usable default model for a purpose; an administrator has to choose one."""

    code = "no_model"
    retryable = False


@dataclass(frozen=True, slots=True)
class Server:
    """A server that the environment names, with the model it serves for each purpose."""

    base_url: str
    api_key: str
    models: tuple[tuple[str, str], ...]

    @property
    def purposes(self) -> frozenset[str]:
        return frozenset(purpose for purpose, _name in self.models)


@dataclass(frozen=True, slots=True)
class Synced:
    """What is the default after `sync_environment_endpoints`, and sentences for whoever started it."""

    chat: EndpointModel
    embedding: EndpointModel
    notes: tuple[str, ...]


def default_model(purpose: str) -> EndpointModel:
    """Return the site's model for `purpose` with its endpoint. Raises `NoModelError` where none can be used.

    A default that was switched off is never replaced silently.
    """
    model = EndpointModel.objects.select_related("endpoint").filter(purpose=purpose, is_default=True).first()
    if model is None:
        raise NoModelError(f"No default {purpose} model is chosen. An administrator has to choose one.")
    if not (model.enabled and model.endpoint.enabled):
        raise NoModelError(f"The default {purpose} model {model} is switched off. An administrator has to see to it.")
    return model


@transaction.atomic
def make_default(*, model: EndpointModel) -> None:
    """Make `model` the site's default for its purpose. Raises `ConflictError` for one that is switched off."""
    _take_turn()
    model = EndpointModel.objects.select_related("endpoint").get(pk=model.pk)
    if not (model.enabled and model.endpoint.enabled):
        raise ConflictError(f"{model} is switched off.")
    EndpointModel.objects.filter(purpose=model.purpose, is_default=True).exclude(pk=model.pk).update(is_default=False)
    EndpointModel.objects.filter(pk=model.pk).update(is_default=True)


def is_from_environment(model: EndpointModel) -> bool:
    """Whether the environment decides about this row (an administrator may add models to the same endpoint)."""
    return model.pk == _environment_id(model.purpose, model.name)


def is_built_in(model: EndpointModel) -> bool:
    return model.endpoint.source == Source.BUILT_IN


def environment_servers() -> tuple[Server, ...]:
    """Return the servers that the settings name: none, one or two. Raises `ImproperlyConfigured`."""
    chat = _address("CHAT")
    embedding = _address("EMBEDDING")
    wanted: dict[tuple[str, str], list[tuple[str, str]]] = {}
    if chat is not None:
        wanted.setdefault(chat, []).append((Purpose.CHAT.value, _model_name("CHAT")))
    if embedding is not None:
        wanted.setdefault(embedding, []).append((Purpose.EMBEDDING.value, _model_name("EMBEDDING")))
    return tuple(Server(url, key, tuple(models)) for (url, key), models in wanted.items())


@transaction.atomic
def sync_environment_endpoints() -> Synced:
    """Make the rows say what the environment says, and choose the defaults. Idempotent.

    Two processes at once take turns. Raises `ImproperlyConfigured` for an address that is none.
    """
    servers = environment_servers()
    _take_turn()
    built_in = {
        Purpose.CHAT.value: _built_in(Endpoint.Provider.EXTRACTIVE, "Quoted passages"),
        Purpose.EMBEDDING.value: _built_in(Endpoint.Provider.HASHING, "Lexical hashing"),
    }
    from_environment = _write_servers(servers)
    chosen = {}
    for purpose, fallback in built_in.items():
        chosen[purpose] = _choose_default(purpose, from_environment.get(purpose, fallback))
    notes = tuple(note for purpose, model in chosen.items() for note in _notes(purpose, model))
    for note in notes:
        logger.warning(note)
    return Synced(chosen[Purpose.CHAT.value], chosen[Purpose.EMBEDDING.value], notes)


def _take_turn() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _environment_id(purpose: str, name: str) -> uuid.UUID:
    return uuid.uuid5(_IDS, f"environment:{purpose}:{name}")


def _address(prefix: str) -> tuple[str, str] | None:
    """Base address and key of one purpose, or None where none is configured or it is switched off by a word."""
    url: str = getattr(settings, f"{prefix}_BASE_URL").strip().rstrip("/")
    key: str = getattr(settings, f"{prefix}_API_KEY").strip()
    if url.lower() in _OFF or not (url or key):
        return None
    url = url or OPENAI_URL
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ImproperlyConfigured(f"{prefix}_BASE_URL has to be an http or https address; it is {url!r}.")
    return url, key


def _model_name(prefix: str) -> str:
    name: str = getattr(settings, f"{prefix}_MODEL").strip()
    if not name:
        raise ImproperlyConfigured(f"{prefix}_MODEL is empty: name a model that the server serves.")
    return name


def _built_in(provider: Endpoint.Provider, name: str) -> EndpointModel:
    endpoint = Endpoint.objects.filter(source=Source.BUILT_IN, provider=provider).order_by("created_at").first()
    if endpoint is None:
        endpoint = Endpoint.objects.create(source=Source.BUILT_IN, provider=provider, name=_free_name(name))
    elif not endpoint.enabled:
        endpoint.enabled = True
        endpoint.save(update_fields=["enabled", "updated_at"])
    if provider == Endpoint.Provider.HASHING:
        fixed = {"enabled": True, "dimensions": HASHING_DIMENSIONS}
        purpose, model_name = Purpose.EMBEDDING, HASHING_MODEL
    else:
        fixed = {"enabled": True}
        purpose, model_name = Purpose.CHAT, EXTRACTIVE_MODEL
    model, _made = EndpointModel.objects.update_or_create(
        endpoint=endpoint, purpose=purpose, name=model_name, defaults=fixed
    )
    return model


def _free_name(wanted: str) -> str:
    """A name no endpoint has yet: names are unique, and an administrator may have taken this one."""
    wanted, name, count = wanted[:90], wanted[:90], 1
    while Endpoint.objects.filter(name=name).exists():
        count += 1
        name = f"{wanted} ({count})"
    return name


def _write_servers(servers: tuple[Server, ...]) -> dict[str, EndpointModel]:
    """Write the environment's endpoints and models; return the wanted model of each purpose that is configured."""
    free = list(Endpoint.objects.filter(source=Source.ENVIRONMENT).order_by("created_at", "id"))
    models: dict[str, EndpointModel] = {}
    # an unchanged server first, so that one with a new key does not take its row
    unchanged = {(row.base_url, row.api_key) for row in free}
    for server in sorted(servers, key=lambda server: (server.base_url, server.api_key) not in unchanged):
        row = _row_of(server, free)
        if row in free:
            free.remove(row)
        for purpose, name in server.models:
            models[purpose] = _write_model(row, purpose, name)
        _mark_unserved(row, server.purposes)
    for row in free:
        _retire(row)
    return models


def _row_of(server: Server, free: Iterable[Endpoint]) -> Endpoint:
    same = [row for row in free if row.base_url == server.base_url]
    if not same:
        host = urlsplit(server.base_url).netloc.rpartition("@")[2]
        return Endpoint.objects.create(
            source=Source.ENVIRONMENT,
            name=_free_name(f"{host} (environment)"),
            base_url=server.base_url,
            api_key=server.api_key,
        )
    row = max(same, key=lambda row: (row.api_key == server.api_key, row.enabled))
    if not row.enabled or row.api_key != server.api_key:
        row.enabled, row.api_key = True, server.api_key
        row.save(update_fields=["enabled", "api_key", "updated_at"])
    return row


def _write_model(endpoint: Endpoint, purpose: str, name: str) -> EndpointModel:
    model = (
        EndpointModel.objects.filter(endpoint=endpoint, purpose=purpose, name=name).first()
        or EndpointModel.objects.filter(pk=_environment_id(purpose, name)).first()
        or EndpointModel(pk=_environment_id(purpose, name), purpose=purpose, name=name)
    )
    model.endpoint, model.enabled = endpoint, True
    if purpose == Purpose.CHAT:
        _fit_window(model, settings.CHAT_CONTEXT_WINDOW)
    if model._state.adding:
        model.save()
    else:  # its prices are the administrator's, its dimensions are learnt
        model.save(update_fields=["endpoint", "enabled", "context_window", "max_output_tokens", "updated_at"])
    return model


def _fit_window(model: EndpointModel, window: int) -> None:
    """Give the model its window; what is reserved for the answer follows unless an administrator chose it."""
    if window < MIN_CONTEXT_WINDOW:
        raise ImproperlyConfigured(f"CHAT_CONTEXT_WINDOW has to be at least {MIN_CONTEXT_WINDOW}; it is {window}.")
    if model.max_output_tokens >= window or model.max_output_tokens == _reserved(model.context_window):
        model.max_output_tokens = _reserved(window)
    model.context_window = window


def _reserved(window: int) -> int:
    """Tokens for the answer: a small window keeps most of its room for what is asked."""
    return min(MAX_RESERVED, window // 4)


def _mark_unserved(endpoint: Endpoint, purposes: frozenset[str]) -> None:
    """Switch the environment's own models off for purposes this endpoint is no longer asked for, and back on."""
    for model in endpoint.served_models.all():
        enabled = model.purpose in purposes
        if is_from_environment(model) and model.enabled != enabled:
            model.enabled = enabled
            model.save(update_fields=["enabled", "updated_at"])


def _retire(endpoint: Endpoint) -> None:
    if not endpoint.served_models.exists():
        endpoint.delete()
    elif endpoint.enabled or endpoint.api_key:
        # a key that was taken out of the environment must not live on here
        endpoint.enabled, endpoint.api_key = False, ""
        endpoint.save(update_fields=["enabled", "api_key", "updated_at"])


def _choose_default(purpose: str, wanted: EndpointModel) -> EndpointModel:
    present = EndpointModel.objects.select_related("endpoint").filter(purpose=purpose, is_default=True).first()
    if present is not None and (present.pk == wanted.pk or _is_administrators(present)):
        return present
    if present is not None:
        logger.info("The default %s model is now %s; it was %s.", purpose, wanted, present)
        EndpointModel.objects.filter(pk=present.pk).update(is_default=False)
    wanted.is_default = True
    wanted.save(update_fields=["is_default", "updated_at"])
    return wanted


def _is_administrators(model: EndpointModel) -> bool:
    """Whether a person chose it and it can still be meant: not one whose server left the environment."""
    retired = model.endpoint.source == Source.ENVIRONMENT and not model.endpoint.enabled
    return not (retired or is_built_in(model) or is_from_environment(model))


def _notes(purpose: str, model: EndpointModel) -> Iterable[str]:
    if not (model.enabled and model.endpoint.enabled):
        yield f"The default {purpose} model {model} is switched off; choose another in the admin."
    elif is_built_in(model) and purpose == Purpose.CHAT:
        yield "No chat server is configured: answers quote the best passages (set CHAT_BASE_URL or CHAT_API_KEY)."
    elif is_built_in(model):
        yield "No embeddings server is configured: search is by words (set EMBEDDING_BASE_URL or EMBEDDING_API_KEY)."
