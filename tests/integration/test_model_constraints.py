"""The database itself refuses what must not be, whoever writes: every constraint and every trigger of every model."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, connection, models, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from chat.models import (
    Assistant,
    AssistantVersion,
    Attachment,
    Citation,
    Conversation,
    Fact,
    FallbackModel,
    Item,
    Response,
    SentRequest,
    Summary,
    Turn,
)
from core.models import Endpoint, EndpointModel, Grant, Milestone, SignInLink, User, Work
from core.models.grants import Role
from retrieval.models import (
    Chunk,
    ChunkEmbedding,
    Document,
    File,
    Revision,
    StoreLanguage,
    TermFrequency,
    VectorStore,
)
from tests import factories
from tools.models import ToolCall

pytestmark = pytest.mark.django_db

NOW = timezone.now
HEX = "ab" * 32
ROOMS = ("core", "retrieval", "tools", "chat")


def refuses(name: str, action: Callable[[], Any]) -> None:
    """Assert that the database refuses `action` because of the constraint `name` and nothing else."""
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        action()
    cause: Any = caught.value.__cause__
    assert cause.diag.constraint_name == name


def change(row: models.Model, **values: Any) -> Callable[[], Any]:
    return lambda: type(row)._default_manager.filter(pk=row.pk).update(**values)


def twin(row: models.Model, **values: Any) -> Callable[[], Any]:
    """Insert the same row under a new key, with some values changed."""
    fields = {
        field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields if not field.primary_key
    }
    return lambda: type(row)._default_manager.create(**{**fields, **values})


# Rows that are sound, for the cases to spoil ------------------------------------------------------------------------


def endpoint() -> Endpoint:
    return factories.responses_endpoint("http://127.0.0.1:9/v1")


def model(**values: Any) -> EndpointModel:
    return factories.chat_model(endpoint=endpoint(), **values)


def grant(subject: User | Group | None = None) -> Grant:
    return factories.grant(factories.store(), subject)


def work(**values: Any) -> Work:
    return Work.objects.create(**{"kind": "k", "subject": uuid.uuid4(), **values})


def document(**values: Any) -> Document:
    return factories.document(factories.store(), **values)


def revision() -> Revision:
    made = document(state=Document.State.READY).revision
    assert made is not None
    return made


def chunk() -> Chunk:
    of = revision()
    return Chunk.objects.create(
        store=of.document.store, document=of.document, revision=of, position=0, start=0, end=4, tokens=1, text="This"
    )


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


def fact() -> Fact:
    of = conversation()
    return Fact.objects.create(user=of.user, assistant=of.assistant, text="Likes tea.")


def tool_call(**values: Any) -> ToolCall:
    fields = {"conversation": uuid.uuid4(), "turn": uuid.uuid4(), "call_id": "c", "tool": "t", "status": "running"}
    return ToolCall.objects.create(**{**fields, "idempotency_key": uuid.uuid4().hex, **values})


def link() -> SignInLink:
    return SignInLink.objects.create(user=factories.user(), token_hash=HEX, expires_at=NOW() + timedelta(hours=1))


# One case or more per constraint: what makes a sound row, and what is then refused ------------------------------------

Case = tuple[Callable[[], Any], Callable[[Any], Callable[[], Any]]]

CASES: dict[str, list[Case]] = {
    "user_email_unique": [(lambda: factories.user("A@b.example"), lambda row: lambda: factories.user("a@B.EXAMPLE"))],
    "endpoint_openai_has_url": [(endpoint, lambda row: change(row, base_url=""))],
    "endpoint_provider_known": [(endpoint, lambda row: change(row, provider="magic"))],
    "endpoint_source_known": [(endpoint, lambda row: change(row, source="nowhere"))],
    "endpoint_timeouts_positive": [
        (endpoint, lambda row: change(row, connect_timeout=0)),
        (endpoint, lambda row: change(row, read_timeout=-1)),
    ],
    "endpoint_model_once": [(model, lambda row: twin(row))],
    "endpoint_model_one_default": [(lambda: model(is_default=True), lambda row: twin(row, name="other"))],
    "endpoint_model_room_for_input": [
        (model, lambda row: change(row, context_window=row.max_output_tokens)),
        (model, lambda row: change(row, max_output_tokens=row.context_window + 1)),
    ],
    "endpoint_model_dimensions": [
        (model, lambda row: change(row, dimensions=0)),
        (model, lambda row: change(row, dimensions=4001)),
    ],
    "endpoint_model_purpose_known": [(model, lambda row: change(row, purpose="poetry"))],
    "grant_one_subject": [
        (grant, lambda row: change(row, everyone=False)),
        (grant, lambda row: change(row, user=factories.user())),
        (lambda: grant(factories.user()), lambda row: change(row, group=Group.objects.create(name="g"))),
        (lambda: grant(Group.objects.create(name="g")), lambda row: change(row, everyone=True)),
    ],
    "grant_role_known": [(grant, lambda row: change(row, role="king"))],
    "grant_user_once": [(lambda: grant(factories.user()), lambda row: twin(row, role=Role.EDITOR))],
    "grant_group_once": [(lambda: grant(Group.objects.create(name="g")), lambda row: twin(row, role=Role.EDITOR))],
    "grant_everyone_once": [(grant, lambda row: twin(row, role=Role.EDITOR))],
    "work_waits_once": [(work, lambda row: twin(row))],
    "work_state_known": [(work, lambda row: change(row, state="dreaming"))],
    "work_lease_while_running": [
        (work, lambda row: change(row, state="running")),
        (work, lambda row: change(row, lease_until=NOW())),
        (lambda: work(state="running", lease_until=NOW()), lambda row: change(row, state="failed")),
    ],
    "store_chunking_sound": [
        (factories.store, lambda row: change(row, chunk_overlap=row.chunk_tokens)),
        (factories.store, lambda row: change(row, chunk_tokens=31, chunk_overlap=0)),
    ],
    "store_dense_share": [
        (factories.store, lambda row: change(row, dense_share=1.01)),
        (factories.store, lambda row: change(row, dense_share=-0.01)),
    ],
    "store_kind_known": [(factories.store, lambda row: change(row, kind="heap"))],
    "file_once_per_owner": [
        (lambda: factories.file(b"x", owner=factories.user()), lambda row: twin(row, storage_name="other")),
        (lambda: factories.file(b"x"), lambda row: twin(row, storage_name="other")),
    ],
    "file_sha256_hex": [(lambda: factories.file(b"x"), lambda row: change(row, sha256="AB" * 32))],
    "file_not_empty": [(lambda: factories.file(b"x"), lambda row: change(row, size=0))],
    "document_once_per_store": [(document, lambda row: twin(row, name="other.txt"))],
    "document_failed_has_reason": [
        (document, lambda row: change(row, state="failed")),
        (document, lambda row: change(row, state="failed", error_code="x")),
        (document, lambda row: change(row, error_code="x")),
    ],
    "document_ready_has_revision": [(document, lambda row: change(row, state="ready"))],
    "document_state_known": [(document, lambda row: change(row, state="lost"))],
    "document_life_known": [(document, lambda row: change(row, life="undead"))],
    "chunk_position": [(chunk, lambda row: twin(row))],
    "chunk_span": [(chunk, lambda row: change(row, end=row.start))],
    "chunk_embedding_once": [
        (
            lambda: ChunkEmbedding.objects.create(
                chunk=(of := chunk()), store=of.store, model=factories.embedding_model(), embedding=[0.5, 0.5]
            ),
            lambda row: twin(row),
        )
    ],
    "store_language_once": [
        (lambda: StoreLanguage.objects.create(store=factories.store(), language="de", chunks=1), lambda row: twin(row))
    ],
    "term_frequency_once": [
        (lambda: TermFrequency.objects.create(store=factories.store(), term=7, chunks=1), lambda row: twin(row))
    ],
    "assistant_version_number": [(published, lambda row: twin(row))],
    "assistant_version_one_draft": [(draft, lambda row: twin(row, number=2))],
    "assistant_version_strategy": [(draft, lambda row: change(row, strategy="luck"))],
    "assistant_version_retrieval": [(draft, lambda row: change(row, retrieval="maybe"))],
    "assistant_version_passages": [
        (draft, lambda row: change(row, passages=0)),
        (draft, lambda row: change(row, passages=51)),
    ],
    "fallback_position": [(fallback, lambda row: twin(row, model_id=model().pk))],
    "fallback_once": [(fallback, lambda row: twin(row, position=2))],
    "conversation_title_source_known": [(conversation, lambda row: change(row, title_source="dream"))],
    "turn_once_per_client_id": [(lambda: turn(answer="Yes."), lambda row: twin(row))],
    "turn_one_running": [
        (
            lambda: turn(status="in_progress", owner=uuid.uuid4()),
            lambda row: twin(row, client_id=uuid.uuid4(), status="requires_action", owner=None),
        )
    ],
    "turn_status_known": [(turn, lambda row: change(row, status="bored"))],
    "turn_owned_while_in_progress": [
        (turn, lambda row: change(row, status="in_progress")),
        (turn, lambda row: change(row, owner=uuid.uuid4())),
    ],
    "turn_final_has_end": [
        (turn, lambda row: change(row, status="completed")),
        (turn, lambda row: change(row, finished_at=NOW())),
    ],
    "turn_failed_has_reason": [
        (turn, lambda row: change(row, status="failed", finished_at=NOW(), error_code="x")),
        (turn, lambda row: change(row, status="failed", finished_at=NOW(), error_message="x")),
    ],
    "turn_depth": [
        (turn, lambda row: change(row, depth=1)),
        (turn, lambda row: twin(row, client_id=uuid.uuid4(), parent_id=row.pk, depth=0)),
    ],
    "response_attempt": [(response, lambda row: twin(row))],
    "response_status_known": [(response, lambda row: change(row, status="bored"))],
    "sent_request_sha256": [(sent, lambda row: change(row, sha256="xyz"))],
    "item_position": [(item, lambda row: twin(row))],
    "item_call_once": [(call, lambda row: twin(row, position=6))],
    "item_message_has_role": [(item, lambda row: change(row, role=""))],
    "item_role_known": [(item, lambda row: change(row, role="oracle"))],
    "attachment_position": [(attachment, lambda row: twin(row, document_id=None))],
    "attachment_once": [(attachment, lambda row: twin(row, position=1))],
    "citation_number": [(citation, lambda row: twin(row))],
    "citation_span": [(citation, lambda row: change(row, end=0))],
    "citation_quoted": [(citation, lambda row: change(row, quote=""))],
    "citation_support": [
        (citation, lambda row: change(row, support=1.1)),
        (citation, lambda row: change(row, support=-0.1)),
    ],
    "summary_one_per_turn": [(summary, lambda row: twin(row))],
    "summary_not_empty": [(summary, lambda row: change(row, text=""))],
    "fact_not_empty": [(fact, lambda row: change(row, text=""))],
    "fact_vector_has_model": [
        (fact, lambda row: change(row, embedding=[0.5])),
        (fact, lambda row: change(row, embedding_model=factories.embedding_model())),
    ],
    "tool_call_once": [(tool_call, lambda row: twin(row, idempotency_key="other"))],
    "tool_call_end": [
        (tool_call, lambda row: change(row, status="succeeded")),
        (tool_call, lambda row: change(row, finished_at=NOW())),
        (tool_call, lambda row: change(row, status="bored")),
    ],
}


@pytest.mark.parametrize(
    ("name", "case"), [pytest.param(name, case, id=name) for name, cases in CASES.items() for case in cases]
)
def test_the_database_refuses(name: str, case: Case) -> None:
    sound, spoil = case
    refuses(name, spoil(sound()))


def test_no_constraint_is_left_untested() -> None:
    declared = {
        constraint.name
        for room in ROOMS
        for declared_model in apps.get_app_config(room).get_models()
        for constraint in declared_model._meta.constraints
    }
    assert declared == set(CASES)


@pytest.mark.parametrize(
    ("sound", "changed"),
    [
        (link, {}),
        (lambda: factories.file(b"x"), {"sha256": HEX}),
        (tool_call, {"turn": uuid.uuid4()}),
        (endpoint, {}),
        (lambda: document(state=Document.State.READY), {"sha256": HEX}),
    ],
    ids=["token", "storage name", "idempotency key", "endpoint name", "revision"],
)
def test_unique_columns(sound: Callable[[], models.Model], changed: dict[str, Any]) -> None:
    row = sound()
    with pytest.raises(IntegrityError, match="duplicate key"), transaction.atomic():
        twin(row, **changed)()


# What the constraints must let through ------------------------------------------------------------------------------


def test_the_same_work_may_run_and_wait() -> None:
    row = work(state="running", lease_until=NOW())
    twin(row, state="waiting", lease_until=None)()
    assert Work.objects.filter(subject=row.subject).count() == 2


def test_a_replaced_document_makes_room_for_the_same_content() -> None:
    row = document()
    change(row, life="replaced")()
    twin(row, life="live")()
    assert Document.objects.live().filter(sha256=row.sha256).count() == 1


def test_many_turns_may_wait_behind_the_one_that_runs() -> None:
    running = turn(status="in_progress", owner=uuid.uuid4())
    for _ in range(3):
        twin(running, client_id=uuid.uuid4(), status="queued", owner=None)()
    assert running.conversation.turns.count() == 4


def test_a_suspect_summary_does_not_stand_in_the_way_of_a_good_one() -> None:
    row = summary()
    twin(row, suspect=True)()
    assert Summary.objects.filter(turn=row.turn).count() == 2


# Triggers -----------------------------------------------------------------------------------------------------------

FINAL = "a published assistant version cannot be changed"


@pytest.mark.parametrize(
    "values",
    [{"instructions": "x"}, {"number": 9}, {"starters": ["x"]}, {"published_at": None}, {"passages": 3}],
    ids=lambda values: next(iter(values)),
)
def test_a_published_version_never_changes(values: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match=FINAL), transaction.atomic():
        change(published(), **values)()


def test_a_draft_may_change() -> None:
    assert change(draft(), instructions="x")() == 1


def test_stores_and_fallbacks_of_a_published_version_cannot_be_added() -> None:
    version, store, other = published(), factories.store(), model()
    with pytest.raises(IntegrityError, match=FINAL), transaction.atomic():
        version.stores.add(store)
    with pytest.raises(IntegrityError, match=FINAL), transaction.atomic():
        FallbackModel.objects.create(version=version, model=other, position=1)
    moved = fallback()
    with pytest.raises(IntegrityError, match=FINAL), transaction.atomic():
        change(moved, version=version)()


def test_who_published_may_be_forgotten() -> None:
    person = factories.user()
    version = factories.assistant(owner=person).versions.get()
    assert version.published_by == person
    person.delete()
    version.refresh_from_db()
    assert version.published_by is None


def test_a_finished_tool_call_never_changes() -> None:
    row = tool_call()
    assert change(row, status="succeeded", finished_at=NOW(), result={"ok": True})() == 1
    with pytest.raises(IntegrityError, match="finished tool call"), transaction.atomic():
        change(row, result={"ok": False})()
    with pytest.raises(IntegrityError, match="finished tool call"), transaction.atomic():
        change(row, status="running", finished_at=None)()


def test_every_trigger_of_ours_is_shown_to_refuse_here() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname")
        triggers = [name for (name,) in cursor.fetchall()]
    assert triggers == [
        "chat_assistantversion_final",
        "chat_assistantversion_stores_final",
        "chat_fallbackmodel_final",
        "tools_toolcall_final",
        "tools_toolcall_kept",  # in test_audit.py: it refuses the application's role only
    ]


def test_vectors_lie_in_their_rows() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attstorage FROM pg_attribute WHERE attrelid = 'retrieval_chunkembedding'::regclass"
            " AND attname = 'embedding'"
        )
        assert cursor.fetchone() == ("p",)


# Going: what goes along, what stays, what stands in the way -----------------------------------------------------------


def talk() -> Conversation:
    """A conversation with an answered turn, a child of it, a call with its record, a citation and a file."""
    held = conversation()
    held.store = factories.store(owner=held.user, kind=VectorStore.Kind.CONVERSATION)
    held.save()
    first = factories.turn(held, answer="Yes.")
    second = factories.turn(held, parent=first, answer="No.")
    answer = second.items.get(position=1)
    source = factories.document(held.store, state=Document.State.READY)
    Citation.objects.create(
        item=answer,
        number=1,
        position=0,
        revision=source.revision,
        document_name=source.name,
        start=0,
        end=4,
        quote="This",
        support=1.0,
    )
    Attachment.objects.create(item=first.input_item, document=source, name=source.name, position=0)
    Summary.objects.create(conversation=held, turn=first, text="They greeted.", tokens=3)
    Fact.objects.create(user=held.user, assistant=held.assistant, item=answer, text="Likes tea.")
    reply = Response.objects.create(turn=second, step=1, attempt=1, epoch=1, model_name="m", idempotency_key="i")
    SentRequest.objects.create(response=reply, sha256=HEX)
    return held


def test_a_conversation_goes_with_all_that_was_said_in_it() -> None:
    held = talk()
    held.delete()
    for gone in (Turn, Item, Citation, Attachment, Summary, Response, SentRequest):
        assert not gone._default_manager.exists(), gone
    assert Fact.objects.get().item is None


def test_a_person_goes_with_conversations_stores_and_files() -> None:
    held = talk()
    held.user.delete()
    for gone in (Conversation, Turn, VectorStore, Document, File, Fact):
        assert not gone._default_manager.exists(), gone


def test_a_document_goes_and_its_name_and_quote_stay() -> None:
    held = talk()
    Document.objects.all().delete()
    assert Attachment.objects.get().name
    kept = Citation.objects.get()
    assert (kept.revision, kept.quote) == (None, "This")
    held.refresh_from_db()
    assert held.store is not None


def test_an_assistant_without_conversations_can_go_and_one_with_them_cannot() -> None:
    unused = factories.assistant(stores=[factories.store()])
    unused.delete()
    assert not AssistantVersion.objects.exists()
    used = talk().assistant
    with pytest.raises(ProtectedError), transaction.atomic():
        used.delete()
    assert Assistant.objects.filter(pk=used.pk).exists()


def test_a_store_goes_and_leaves_the_published_versions_that_named_it() -> None:
    store = factories.store()
    version = factories.assistant(stores=[store]).versions.get()
    store.delete()
    assert list(version.stores.all()) == []


def test_a_model_that_something_refers_to_stays() -> None:
    held = factories.store()
    with pytest.raises(ProtectedError), transaction.atomic():
        held.embedding_model.delete()
    with pytest.raises(ProtectedError), transaction.atomic():
        held.embedding_model.endpoint.delete()


def test_grants_go_with_what_they_are_about() -> None:
    store = factories.store()
    factories.grant(store, None)
    store.delete()
    assert not Grant.objects.exists()


def test_names_of_things_are_readable() -> None:
    """What the admin shows of each row names it and needs nothing that is not there."""
    made = [
        link(), grant(), grant(factories.user()), work(), model(), fallback(), chunk(), sent(), citation(), fact(),
        summary(), attachment(), response(), tool_call(), Milestone(name="first"), published(), revision(),
    ]  # fmt: skip
    assert all(str(row) and "object (" not in str(row) for row in made)
    assert str(grant()).startswith("everyone")
    assert ContentType.objects.count()
