"""A pending document on its way to the place of the one that it replaces: new content, or the same in another store.

The one in use keeps its id and its row, and answers from what it has until everything else is there; then one
transaction gives it what was read, and the pending row what it had, to be removed. Who asks locks the one in use first.
"""

from collections.abc import Mapping
from typing import Any

from core import outbox
from core.errors import ConflictError
from retrieval import realtime
from retrieval.ingestion.rows import lock_store
from retrieval.models import Document, Revision

REMOVE = "retrieval.remove"

_NOTICE_LENGTH = 1000
_Notice = Document.Notice
_Life = Document.Life


def text_holder(document: Document) -> Document:
    """The document whose revision has the text of `document`: what goes to another store is not read again."""
    return document.replaces if document.replaces is not None and _is_move(document) else document


def tell(document: Document, changed: Mapping[str, Any]) -> bool:
    """Say on the one in use what becomes of the pending `document`; false where it is not in use any more.

    True, and nothing is said, where `document` replaces nothing.
    """
    if document.life != _Life.PENDING:
        return True
    replaced = Document.objects.live().filter(replacements=document)
    if "state" not in changed:
        return replaced.select_for_update().exists()
    kind, words = _notice(document, changed)
    if document.replaces is None or not replaced.update(notice_kind=kind, notice=words[:_NOTICE_LENGTH]):
        return False
    realtime.document_changed(document.replaces.pk, document.replaces.store_id)
    return True


def place_for(document: Document) -> Document | None:
    """Lock and return the document that gets what was read as `document`: itself, or the one that it replaces.

    None where one of them is not wanted any more, or has other content by now. The stores of both are locked too.
    Raises ConflictError: retryable, where `document` was renamed or moved since it was loaded; for good, where its
    store has the same content by now.
    """
    place = document
    if document.life == _Life.PENDING:
        replaced = Document.objects.live().select_for_update().filter(replacements=document).first()
        if replaced is None:
            return None
        place = replaced
    present = Document.objects.wanted().select_for_update().filter(pk=document.pk).first()
    if present is None or present.sha256 != document.sha256:
        return None
    if (present.name, present.store_id) != (document.name, document.store_id):
        raise ConflictError("It was renamed or moved while it was being read.", retryable=True)
    for store in sorted({document.store_id, place.store_id}):
        lock_store(store)
    if place is not document:
        _check_alone(document, place)
    return place


def take_place(document: Document, place: Document, columns: Mapping[str, Any]) -> None:
    """Let `place` have what was read as the pending `document`, with `columns`, and `document` what `place` had.

    In the transaction of `place_for`; the chunks are written by then. `place` is as it was before.
    """
    Revision.objects.filter(pk=columns["revision"].pk).update(document=place)
    former = {"file": place.file_id, "sha256": place.sha256, "life": _Life.REPLACED}
    Document.objects.filter(pk=document.pk).update(**former)
    read = Document.objects.filter(pk=document.pk).values("language", "page_count").get()
    Document.objects.filter(pk=place.pk).update(
        **columns,
        **read,
        store=document.store_id,
        file=document.file_id,
        sha256=document.sha256,
        name=document.name,
        uploaded_by=document.uploaded_by_id,
        error_code="",
        error_retryable=False,
        notice_kind=_Notice.NONE,
        notice="",
    )
    for store in {place.store_id, document.store_id}:
        realtime.document_changed(place.pk, store)
    outbox.enqueue(
        kind=REMOVE, subject=document.pk, owner=document.uploaded_by_id, arguments={"file": str(place.file_id)}
    )


def _is_move(document: Document) -> bool:
    return document.replaces is not None and document.replaces.store_id != document.store_id


def _check_alone(document: Document, place: Document) -> None:
    same = Document.objects.live().filter(store=document.store_id, sha256=document.sha256)
    twin = same.exclude(pk=place.pk).first()
    if twin is not None:
        raise ConflictError(f"“{twin.name}” in the same vector store has the same content.")


def _notice(document: Document, changed: Mapping[str, Any]) -> tuple[str, str]:
    """The kind of notice and its words for the state that a pending document gets."""
    state, message = Document.State(changed["state"]), str(changed.get("error_message", ""))
    if state == Document.State.FAILED:
        kind = _Notice.RETRYABLE if changed.get("error_retryable") else _Notice.FAILED
        moved = f"It could not be moved to “{document.store.name}”"
        return kind, f"{moved if _is_move(document) else 'The new version could not be read'}: {message}"
    done, total = changed.get("progress_done", 0), changed.get("progress_total", 0)
    how_far = f"{state.label} ({done} of {total})" if total else str(state.label)
    what = f"It is being moved to “{document.store.name}”" if _is_move(document) else "A new version is on its way"
    return _Notice.RUNNING, f"{what}: {how_far}." + (f" {message}" if message else "")
