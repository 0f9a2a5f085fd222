"""The database itself refuses what must not be, whoever writes: every constraint of every model."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.db import IntegrityError, models, transaction

from chat.models import Summary
from core.models import Work
from core.models.grants import Role
from retrieval.models import ChunkEmbedding, Document, Quota, Reindexing, StagedVector, StoreLanguage, TermFrequency
from tests import factories
from tests.sound_rows import (
    HEX,
    NOW,
    access_token,
    archive,
    archive_entry,
    attachment,
    background_call,
    call,
    change,
    chunk,
    citation,
    continued,
    conversation,
    document,
    draft,
    endpoint,
    fact,
    fallback,
    grant,
    invitation,
    item,
    link,
    memory_off,
    model,
    pending,
    picture,
    published,
    quota,
    rechunking,
    reindexing,
    response,
    sent,
    summary,
    summary_failure,
    tool_call,
    turn,
    twin,
    upload,
    upload_part,
    work,
)

pytestmark = pytest.mark.django_db

ROOMS = ("core", "retrieval", "tools", "chat")


def refuses(name: str, action: Callable[[], Any]) -> None:
    """Assert that the database refuses `action` because of the constraint `name` and nothing else."""
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        action()
    cause: Any = caught.value.__cause__
    assert cause.diag.constraint_name == name


# One case or more per constraint: what makes a sound row, and what is then refused ------------------------------------

Case = tuple[Callable[[], Any], Callable[[Any], Callable[[], Any]]]

CASES: dict[str, list[Case]] = {
    "user_email_unique": [(lambda: factories.user("A@b.example"), lambda row: lambda: factories.user("a@B.EXAMPLE"))],
    "access_token_hash_hex": [(access_token, lambda row: change(row, token_hash="secret"))],
    "access_token_named": [(access_token, lambda row: change(row, name=""))],
    "access_token_scope_known": [(access_token, lambda row: change(row, scope="everything"))],
    "access_token_expires_later": [(access_token, lambda row: change(row, expires_at=row.created_at))],
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
    "endpoint_model_token_ratio": [
        (factories.chat_model, lambda row: change(row, token_ratio=0.9)),
        (factories.chat_model, lambda row: change(row, token_ratio=4.1)),
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
    "grant_everyone_is_no_owner": [(grant, lambda row: change(row, role=Role.OWNER))],
    "invitation_once": [(invitation, lambda row: twin(row, role=Role.EDITOR))],
    "invitation_role_known": [(invitation, lambda row: change(row, role="king"))],
    "invitation_small_letters": [(invitation, lambda row: change(row, email="Ada@example.org"))],
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
    "store_keep_days": [
        (factories.store, lambda row: change(row, keep_days=3)),
        (factories.store, lambda row: change(row, keep_days=0, expires_at=NOW())),
        (factories.store, lambda row: change(row, keep_days=3651, expires_at=NOW())),
    ],
    "store_governor": [
        (factories.store, lambda row: change(row, kind="assistant")),
        (factories.store, lambda row: change(row, governor=uuid.uuid4())),
        (
            lambda: factories.store(owner=factories.user()),
            lambda row: change(row, kind="assistant", governor=uuid.uuid4()),
        ),
    ],
    "store_kind_known": [(factories.store, lambda row: change(row, kind="heap"))],
    "quota_one_subject": [
        (quota, lambda row: change(row, user=None)),
        (quota, lambda row: change(row, everyone=True)),
        (quota, lambda row: change(row, group=Group.objects.create(name="g"))),
    ],
    "quota_everyone_once": [(lambda: Quota.objects.create(everyone=True), lambda row: twin(row))],
    "file_once_per_owner": [
        (lambda: factories.file(b"x", owner=factories.user()), lambda row: twin(row, storage_name="other")),
    ],
    "file_sha256_hex": [(lambda: factories.file(b"x"), lambda row: change(row, sha256="AB" * 32))],
    "picture_type_known": [(picture, lambda row: change(row, mime_type="image/svg+xml"))],
    "picture_has_points": [
        (picture, lambda row: change(row, width=0)),
        (picture, lambda row: change(row, small_height=0)),
        (picture, lambda row: change(row, size=0)),
    ],
    "file_not_empty": [(lambda: factories.file(b"x"), lambda row: change(row, size=0))],
    "document_once_per_store": [(document, lambda row: twin(row, name="other.txt"))],
    "archive_unpacked_once": [(archive, lambda row: twin(row, name="other.zip"))],
    "archive_state_fits": [
        (archive, lambda row: change(row, state="failed")),
        (archive, lambda row: change(row, error_code="x")),
        (archive, lambda row: change(row, state="dreaming")),
    ],
    "archive_entry_once": [(archive_entry, lambda row: twin(row, name="other.txt"))],
    "archive_entry_state_fits": [
        (archive_entry, lambda row: change(row, state="refused")),
        (archive_entry, lambda row: change(row, error_code="x")),
        (archive_entry, lambda row: change(row, state="dreaming")),
    ],
    "upload_once": [(upload, lambda row: twin(row, name="other.txt"))],
    "upload_not_empty": [
        (
            lambda: upload(state="refused", error_code="x", error_message="Oh."),
            lambda row: change(row, size=0),
        )
    ],
    "upload_state_fits": [
        (upload, lambda row: change(row, received=10)),
        (upload, lambda row: change(row, state="done")),
        (upload, lambda row: change(row, state="refused")),
        (upload, lambda row: change(row, state="dreaming")),
    ],
    "upload_part_once": [(upload_part, lambda row: twin(row))],
    "upload_part_not_empty": [(upload_part, lambda row: change(row, size=0))],
    "document_failed_has_reason": [
        (document, lambda row: change(row, state="failed")),
        (document, lambda row: change(row, state="failed", error_code="x")),
        (document, lambda row: change(row, error_code="x")),
    ],
    "document_ready_has_revision": [(document, lambda row: change(row, state="ready"))],
    "document_state_known": [(document, lambda row: change(row, state="lost"))],
    "document_life_known": [(document, lambda row: change(row, life="undead"))],
    "document_pending_once": [(pending, lambda row: twin(row, sha256="b" * 64))],
    "document_notice_of_a_kind": [
        (document, lambda row: change(row, notice="It failed.")),
        (document, lambda row: change(row, notice_kind="failed")),
        (document, lambda row: change(row, notice_kind="loud", notice="It failed.")),
    ],
    "document_attributes_object": [
        (document, lambda row: change(row, attributes=["a"])),
        (document, lambda row: change(row, attributes="a")),
    ],
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
    "reindexing_one_open": [
        (reindexing, lambda row: twin(row)),
        (reindexing, lambda row: twin(row, state="failed", error_code="x", error_message="x")),
    ],
    "reindexing_state_known": [(reindexing, lambda row: change(row, state="lost"))],
    "reindexing_kind": [
        (reindexing, lambda row: change(row, kind="luck")),
        (reindexing, lambda row: change(row, to_model=row.from_model)),
        (reindexing, lambda row: change(row, chunk_tokens=64, chunk_overlap=8)),
        (rechunking, lambda row: change(row, chunk_tokens=None)),
        (rechunking, lambda row: change(row, chunk_overlap=64)),
        (rechunking, lambda row: change(row, to_model=factories.embedding_model())),
    ],
    "reindexing_failed_has_reason": [
        (reindexing, lambda row: change(row, state="failed")),
        (reindexing, lambda row: change(row, state="failed", error_code="x")),
        (reindexing, lambda row: change(row, error_code="x")),
    ],
    "reindexing_switched": [
        (reindexing, lambda row: change(row, state="switching", switched_at=NOW())),
        (reindexing, lambda row: change(row, state="switching", switched_in=7)),
        (rechunking, lambda row: change(row, state="switching", switched_at=NOW(), switched_in=7)),
    ],
    "reindexing_finished": [
        (reindexing, lambda row: change(row, state="done")),
        (reindexing, lambda row: change(row, state="cancelled")),
        (reindexing, lambda row: change(row, finished_at=NOW())),
    ],
    "staged_vector_once": [
        (
            lambda: StagedVector.objects.create(
                revision=chunk().revision, model=factories.embedding_model(), position=1, digest=7, embedding=[0.5, 0.5]
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
    "turn_continued_once": [(continued, lambda row: twin(row, client_id=uuid.uuid4()))],
    "turn_withdrawn_is_cancelled": [
        (turn, lambda row: change(row, withdrawn_at=NOW())),
        (lambda: turn(answer="Yes."), lambda row: change(row, withdrawn_at=NOW())),
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
    "summary_failure_has_reason": [
        (summary_failure, lambda row: change(row, code="")),
        (summary_failure, lambda row: change(row, message="")),
    ],
    "background_call_purpose_known": [(background_call, lambda row: change(row, purpose="fun"))],
    "background_call_status_known": [(background_call, lambda row: change(row, status="bored", finished_at=NOW()))],
    "background_call_final_has_end": [
        (background_call, lambda row: change(row, status="completed")),
        (background_call, lambda row: change(row, finished_at=NOW())),
    ],
    "background_call_failed_has_reason": [
        (background_call, lambda row: change(row, status="failed", finished_at=NOW()))
    ],
    "fact_not_empty": [(fact, lambda row: change(row, text=""))],
    "fact_vector_has_model": [
        (fact, lambda row: change(row, embedding=[0.5])),
        (fact, lambda row: change(row, embedding_model=factories.embedding_model())),
    ],
    "fact_superseded_by_another": [(fact, lambda row: change(row, superseded_by=row))],
    "memory_off_once": [(memory_off, lambda row: twin(row))],
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
        (access_token, {}),
        (lambda: factories.file(b"x"), {"sha256": HEX}),
        (tool_call, {"turn": uuid.uuid4()}),
        (endpoint, {}),
        (lambda: document(state=Document.State.READY), {"sha256": HEX}),
    ],
    ids=["link", "access token", "storage name", "idempotency key", "endpoint name", "revision"],
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


def test_a_store_may_be_indexed_anew_after_the_last_time() -> None:
    row = reindexing()
    change(row, state="done", finished_at=NOW())()
    twin(row, state="planned", finished_at=None)()
    assert Reindexing.objects.filter(store=row.store).count() == 2


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
