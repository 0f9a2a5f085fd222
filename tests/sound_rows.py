"""Rows that are sound, for tests to spoil: what each constraint and trigger lets through."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group
from django.db import models
from django.utils import timezone

from chat.models import (
    AssistantVersion,
    Attachment,
    BackgroundCall,
    Citation,
    Conversation,
    Fact,
    FactReading,
    FallbackModel,
    Item,
    MemoryOff,
    Response,
    SentRequest,
    Summary,
    SummaryFailure,
    Turn,
)
from core.models import AccessToken, Endpoint, EndpointModel, Grant, Invitation, SignInLink, User, Work
from retrieval.models import (
    Archive,
    ArchiveEntry,
    Chunk,
    Document,
    Picture,
    Quota,
    Reindexing,
    Revision,
    Upload,
    UploadPart,
)
from tests import factories
from tools.models import ToolCall

NOW = timezone.now
HEX = "ab" * 32


def change(row: models.Model, **values: Any) -> Callable[[], Any]:
    return lambda: type(row)._default_manager.filter(pk=row.pk).update(**values)


def twin(row: models.Model, **values: Any) -> Callable[[], Any]:
    """Insert the same row under a new key, with some values changed."""
    fields = {
        field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields if not field.primary_key
    }
    return lambda: type(row)._default_manager.create(**{**fields, **values})


def upload(**values: Any) -> Upload:
    owner = factories.user()
    fields = {"client_id": uuid.uuid4(), "name": "a.txt", "size": 10, "expires_at": NOW(), **values}
    return Upload.objects.create(owner=owner, store=factories.store(owner=owner), **fields)


def archive() -> Archive:
    owner = factories.user()
    fields = {"name": "a.zip", "sha256": HEX, "storage_name": "archives/x"}
    return Archive.objects.create(owner=owner, store=factories.store(owner=owner), **fields)


def archive_entry() -> ArchiveEntry:
    return ArchiveEntry.objects.create(archive=archive(), position=0, name="a.txt", size=5)


def upload_part() -> UploadPart:
    return UploadPart.objects.create(upload=upload(), start=0, size=5, sha256=HEX, storage_name="uploads/x")


def endpoint() -> Endpoint:
    return factories.responses_endpoint("http://127.0.0.1:9/v1")


def picture() -> Picture:
    sides = {"width": 60, "height": 40, "small_width": 60, "small_height": 40}
    return Picture.objects.create(file=factories.file(b"points"), mime_type="image/png", size=100, **sides)


def model(**values: Any) -> EndpointModel:
    return factories.chat_model(endpoint=endpoint(), **values)


def grant(subject: User | Group | None = None) -> Grant:
    return factories.grant(factories.store(), subject)


def invitation() -> Invitation:
    return Invitation.objects.create(target=factories.store(), email="ada@example.org")


def work(**values: Any) -> Work:
    return Work.objects.create(**{"kind": "k", "subject": uuid.uuid4(), **values})


def document(**values: Any) -> Document:
    return factories.document(factories.store(), **values)


def pending() -> Document:
    """A document that is to take the place of another one."""
    replaced = document()
    return factories.document(replaced.store, life=Document.Life.PENDING, replaces=replaced)


def quota() -> Quota:
    return Quota.objects.create(user=factories.user(), files=3)


def revision() -> Revision:
    made = document(state=Document.State.READY).revision
    assert made is not None
    return made


def chunk() -> Chunk:
    of = revision()
    return Chunk.objects.create(
        store=of.document.store, document=of.document, revision=of, position=0, start=0, end=4, tokens=1, text="This"
    )


def reindexing(**values: Any) -> Reindexing:
    store = factories.store()
    both = {"from_model": store.embedding_model, "to_model": factories.embedding_model()}
    return Reindexing.objects.create(**{"store": store, "kind": "model", **both, **values})


def rechunking() -> Reindexing:
    store = factories.store()
    both = {"from_model": store.embedding_model, "to_model": store.embedding_model}
    return Reindexing.objects.create(store=store, kind="chunking", chunk_tokens=64, chunk_overlap=8, **both)


def draft() -> AssistantVersion:
    return factories.assistant(published=False).versions.get()


def published() -> AssistantVersion:
    return factories.assistant().versions.get()


def fallback() -> FallbackModel:
    return FallbackModel.objects.create(version=draft(), model=model(), position=1)


def conversation() -> Conversation:
    return factories.conversation(factories.user())


def turn(**values: Any) -> Turn:
    return factories.turn(conversation(), **values)


def continued() -> Turn:
    """A turn that goes on with the answer of another."""
    first = turn(answer="Yes, and")
    return factories.turn(first.conversation, parent=first, answer="no.", continues=first)


def response() -> Response:
    return Response.objects.create(turn=turn(), step=1, attempt=1, epoch=1, model_name="m", idempotency_key="i")


def sent() -> SentRequest:
    return SentRequest.objects.create(response=response(), sha256=HEX)


def item() -> Item:
    made = turn().input_item
    assert made is not None
    return made


def call() -> Item:
    of = turn()
    return Item.objects.create(
        conversation=of.conversation, turn=of, position=5, type="function_call", call_id="c1", payload={}
    )


def attachment() -> Attachment:
    return Attachment.objects.create(item=item(), document=document(), name="a.txt", position=0)


def citation() -> Citation:
    return Citation.objects.create(
        item=item(), number=1, position=0, document_name="a.txt", start=0, end=4, quote="This", support=1.0
    )


def summary() -> Summary:
    of = turn(answer="Yes.")
    return Summary.objects.create(conversation=of.conversation, turn=of, text="They greeted.", tokens=3)


def summary_failure() -> SummaryFailure:
    of = turn()
    return SummaryFailure.objects.create(conversation=of.conversation, turn=of, code="refused", message="It refused.")


def background_call(**values: Any) -> BackgroundCall:
    of = conversation()
    fields = {"purpose": "title", "user": of.user, "assistant": of.assistant, "conversation": of, "model_name": "m"}
    return BackgroundCall.objects.create(**{**fields, **values})


def fact() -> Fact:
    of = conversation()
    return Fact.objects.create(user=of.user, assistant=of.assistant, text="Likes tea.")


def fact_reading() -> FactReading:
    return FactReading.objects.create(item=item())


def memory_off() -> MemoryOff:
    of = conversation()
    return MemoryOff.objects.create(user=of.user, assistant=of.assistant)


def tool_call(**values: Any) -> ToolCall:
    fields = {"conversation": uuid.uuid4(), "turn": uuid.uuid4(), "call_id": "c", "tool": "t", "status": "running"}
    return ToolCall.objects.create(**{**fields, "idempotency_key": uuid.uuid4().hex, **values})


def access_token(**values: Any) -> AccessToken:
    return AccessToken.objects.create(**{"user": factories.user(), "name": "t", "token_hash": HEX, **values})


def link() -> SignInLink:
    return SignInLink.objects.create(user=factories.user(), token_hash=HEX, expires_at=NOW() + timedelta(hours=1))
