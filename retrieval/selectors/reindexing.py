"""What pages show of a store that is being indexed anew, and the models it could have."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import QuerySet

from core.models import EndpointModel, User
from core.models.grants import Role
from retrieval.models import Reindexing, VectorStore

State = Reindexing.State


@dataclass(frozen=True, slots=True)
class ReindexingView:
    """A change of a store's index. `percent` is None where it is not known; `message` says what it waits for, or why it
    failed; `remaining` and `cost` (US dollars) are words, empty where they are not known.
    """

    id: uuid.UUID
    store: uuid.UUID
    state: str
    label: str
    aim: str
    counted: str
    percent: int | None
    remaining: str
    cost: str
    message: str
    is_open: bool
    can_cancel: bool
    can_retry: bool


def embedding_models() -> QuerySet[EndpointModel]:
    """The models that a store may be indexed with, with their endpoints."""
    models = EndpointModel.objects.filter(purpose=EndpointModel.Purpose.EMBEDDING, enabled=True, endpoint__enabled=True)
    return models.select_related("endpoint").order_by("endpoint__name", "name")


def last_reindexing(user: User, store_id: uuid.UUID) -> ReindexingView | None:
    """The latest change of a store's index that `user` may read, if there was one."""
    stores = VectorStore.objects.visible_to(user, Role.READER)
    rows = Reindexing.objects.filter(store=store_id, store__in=stores).select_related("to_model__endpoint")
    row = rows.order_by("-created_at").first()
    return reindexing_view(row) if row is not None else None


def reindexing_view(row: Reindexing) -> ReindexingView:
    """What a template shows of `row`, whose model and endpoint should be loaded."""
    is_working = row.state in Reindexing.WORKING
    of_chunks = row.kind == Reindexing.Kind.MODEL
    return ReindexingView(
        id=row.pk,
        store=row.store_id,
        state=row.state,
        label=_label(row),
        aim=str(row.to_model) if of_chunks else f"chunks of {row.chunk_tokens} tokens",
        counted=f"{row.done:,} of {row.total:,} {'chunks' if of_chunks else 'documents'}" if row.total else "",
        percent=min(100, 100 * row.done // row.total) if row.total and is_working else None,
        remaining=in_words(row.remaining) if is_working else "",
        cost=f"${row.cost:,.4f}" if row.cost else "",
        message=row.error_message,
        is_open=row.is_open,
        can_cancel=is_working or row.state == State.FAILED,
        can_retry=row.state == State.FAILED,
    )


def in_words(span: timedelta | None) -> str:
    """A span of time as people say it; empty for None."""
    if span is None:
        return ""
    seconds = span.total_seconds()
    if seconds < 90:
        return "about a minute" if seconds > 20 else "some seconds"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} minutes"
    return f"about {round(seconds / 3600)} hours"


def _label(row: Reindexing) -> str:
    if row.state in Reindexing.WORKING and row.error_message:
        return "Waiting for the server"
    return str(row.get_state_display())
