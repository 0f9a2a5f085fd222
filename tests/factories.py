"""Makes rows for tests: plain functions, each with sensible values and keyword overrides.

The cast of every permission test: `owner` has the thing, `teammate` was granted a role, `outsider` has nothing.
"""

import hashlib
import itertools
import uuid
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import models
from django.test import Client
from django.utils import timezone

from chat.models import Assistant, AssistantVersion, Conversation, Fact, Item, Turn
from core import outbox
from core.endpoints import HASHING_DIMENSIONS
from core.models import Endpoint, EndpointModel, Grant, User, Work
from core.models.grants import Role
from retrieval import ingestion
from retrieval.models import Document, File, Revision, VectorStore

_numbers = itertools.count(1)


def user(email: str = "", **fields: Any) -> User:
    """A person without a password (`client.force_login`)."""
    return User.objects.create_user(email or f"person{next(_numbers)}@example.org", **fields)


def superuser(**fields: Any) -> User:
    return User.objects.create_superuser(f"admin{next(_numbers)}@example.org", **fields)


def session_of(person: User) -> str:
    """Sign the person in and return the session's key."""
    client = Client()
    client.force_login(person)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


@dataclass(frozen=True, slots=True)
class Cast:
    owner: User
    teammate: User
    outsider: User
    team: Group


def cast() -> Cast:
    """Three people; owner and teammate share a group."""
    team = Group.objects.create(name=f"team {next(_numbers)}")
    people = Cast(
        owner=user(first_name="Olga"),
        teammate=user(first_name="Tim"),
        outsider=user(first_name="Otto"),
        team=team,
    )
    people.owner.groups.add(team)
    people.teammate.groups.add(team)
    return people


def grant(target: models.Model, subject: User | Group | None, role: Role = Role.READER) -> Grant:
    """A role for a user, a group, or (None) everyone."""
    return Grant.objects.create(
        target=target,
        user=subject if isinstance(subject, User) else None,
        group=subject if isinstance(subject, Group) else None,
        everyone=subject is None,
        role=role,
    )


def _built_in(provider: Endpoint.Provider) -> Endpoint:
    built_in = {"provider": provider, "source": Endpoint.Source.BUILT_IN}
    return Endpoint.objects.get_or_create(**built_in, defaults={"name": f"Built in: {provider.label}"})[0]


def embedding_model(*, endpoint: Endpoint | None = None, **fields: Any) -> EndpointModel:
    """A model of the built-in hashing embedder, or of the endpoint given (whose vectors' length is not known yet)."""
    if endpoint is None:
        fields = {"dimensions": HASHING_DIMENSIONS, **fields}
    return _model(endpoint or _built_in(Endpoint.Provider.HASHING), EndpointModel.Purpose.EMBEDDING, fields)


def chat_model(*, endpoint: Endpoint | None = None, **fields: Any) -> EndpointModel:
    """A model of the built-in extractive provider, or of the endpoint given."""
    return _model(endpoint or _built_in(Endpoint.Provider.EXTRACTIVE), EndpointModel.Purpose.CHAT, fields)


def _model(endpoint: Endpoint, purpose: EndpointModel.Purpose, fields: dict[str, Any]) -> EndpointModel:
    values = {"name": f"{purpose.value}-{next(_numbers)}", **fields}
    return EndpointModel.objects.create(endpoint=endpoint, purpose=purpose, **values)


def responses_endpoint(base_url: str, **fields: Any) -> Endpoint:
    """An endpoint that speaks the Responses API at `base_url`."""
    values = {"name": f"server {next(_numbers)}", "api_key": "test-key", **fields}
    return Endpoint.objects.create(provider=Endpoint.Provider.OPENAI, base_url=base_url, **values)


def store(*, owner: User | None = None, model: EndpointModel | None = None, **fields: Any) -> VectorStore:
    values = {"name": f"Store {next(_numbers)}", **fields}
    return VectorStore.objects.create(owner=owner, embedding_model=model or embedding_model(), **values)


def file(content: bytes, *, owner: User | None = None, mime_type: str = "text/plain") -> File:
    """A file whose bytes are in storage; the one that the owner has with this content already, if there is one."""
    sha256 = hashlib.sha256(content).hexdigest()
    known = File.objects.filter(owner=owner, sha256=sha256).first()
    if known is not None:
        return known
    name = default_storage.save(uuid.uuid4().hex, ContentFile(content))
    return File.objects.create(owner=owner, sha256=sha256, size=len(content), mime_type=mime_type, storage_name=name)


def document(in_store: VectorStore, *, text: str = "", name: str = "", **fields: Any) -> Document:
    """A document with its file. With state "ready" it has a revision of `text` too, but no chunks."""
    number = next(_numbers)
    text = text or f"This is the text of document {number}."
    content = text.encode()
    values = {"uploaded_by": in_store.owner, **fields}
    state = values.pop("state", Document.State.QUEUED)
    defaults = {"error_code": "corrupt_file", "error_message": "This file is damaged.", "error_retryable": False}
    failure = {field: values.pop(field, default) for field, default in defaults.items()}
    made = Document.objects.create(
        store=in_store,
        file=file(content, owner=in_store.owner),
        sha256=hashlib.sha256(content).hexdigest(),
        name=name or f"document-{number}.txt",
        **values,
    )
    if state == Document.State.READY:
        made.revision = Revision.objects.create(document=made, text=text, extractor="test")
        made.ready_at = timezone.now()
    if state == Document.State.FAILED:
        for field, value in failure.items():
            setattr(made, field, value)
    made.state = state
    made.save()
    return made


def indexed_document(in_store: VectorStore, *, text: str, name: str = "", language: str = "") -> Document:
    """A document of `text` that went through ingestion (but for reading the file) and can be searched."""
    made = document(in_store, text=text, name=name, language=language)
    Revision.objects.create(document=made, text=text, extractor="test")
    ingestion.ingest([claim(ingestion.INGEST, made.pk)])
    made.refresh_from_db()
    return made


def claim(kind: str, subject: uuid.UUID, **arguments: Any) -> outbox.Claim:
    """A claim on new work, as a worker has it while it does the work."""
    lease = timezone.now() + outbox.LEASE
    work = Work.objects.create(
        kind=kind,
        subject=subject,
        arguments=arguments,
        state=Work.State.RUNNING,
        lease_until=lease,
        attempts=1,
        fence=1,
    )
    return outbox.Claim(work.id, kind, subject, arguments, work.attempts, work.fence)


def assistant(
    *, owner: User | None = None, stores: list[VectorStore] | None = None, published: bool = True, **version: Any
) -> Assistant:
    """An assistant with one version, published unless told otherwise; `version` holds fields of the version."""
    made = Assistant.objects.create(name=version.pop("name", f"Assistant {next(_numbers)}"), owner=owner)
    first = AssistantVersion.objects.create(assistant=made, number=1, **{"instructions": "Be brief.", **version})
    first.stores.set(stores or [])
    if published:
        first.published_at, first.published_by = timezone.now(), owner
        first.save()
        made.published_version = first
        made.save()
    return made


def conversation(person: User, with_assistant: Assistant | None = None, **fields: Any) -> Conversation:
    values = {"title": f"Conversation {next(_numbers)}", **fields}
    return Conversation.objects.create(user=person, assistant=with_assistant or assistant(), **values)


def turn(
    in_conversation: Conversation, *, text: str = "Hello?", answer: str = "", parent: Turn | None = None, **fields: Any
) -> Turn:
    """A turn with its message. With `answer` it is completed and has the answer's item too."""
    values: dict[str, Any] = {"client_id": uuid.uuid4(), "version": in_conversation.assistant.published_version}
    if answer:
        values |= {"status": Turn.Status.COMPLETED, "finished_at": timezone.now()}
    made = Turn.objects.create(
        conversation=in_conversation, parent=parent, depth=parent.depth + 1 if parent else 0, **{**values, **fields}
    )
    made.input_item = _message(made, 0, Item.Role.USER, text, "input_text")
    made.save()
    if answer:
        _message(made, 1, Item.Role.ASSISTANT, answer, "output_text")
    in_conversation.active_turn = made
    in_conversation.save()
    return made


def _message(of_turn: Turn, position: int, role: Item.Role, text: str, part: str) -> Item:
    return Item.objects.create(
        conversation_id=of_turn.conversation_id,
        turn=of_turn,
        position=position,
        type="message",
        role=role,
        status="completed",
        text=text,
        payload={"type": "message", "role": role.value, "content": [{"type": part, "text": text}]},
    )


def fact(of: User, by: Assistant, text: str = "", **fields: Any) -> Fact:
    """A fact that the assistant keeps of the person, in every conversation unless told otherwise."""
    return Fact.objects.create(user=of, assistant=by, text=text or f"Likes the number {next(_numbers)}.", **fields)
