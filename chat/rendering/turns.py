"""Turns, as the page shows them: the same partial serves a page, a final frame and a reload."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import Prefetch, QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import mark_safe

from chat.models import Attachment, Citation, Item, Turn
from chat.rendering.markdown import render, render_plain
from chat.rendering.shapes import CitationView, TurnView
from retrieval.models import Document
from retrieval.selectors import DocumentView, document_view

SOURCE_PREVIEW = 240


@dataclass(frozen=True, slots=True)
class _Siblings:
    index: int
    count: int
    previous: uuid.UUID | None
    next: uuid.UUID | None


def shown(turns: QuerySet[Turn]) -> QuerySet[Turn]:
    """Everything that showing these turns needs, in a fixed number of queries."""
    documents = Document.objects.select_related("file")
    attachments = Attachment.objects.prefetch_related(Prefetch("document", documents))
    answers = Item.objects.filter(type="message").exclude(role=Item.Role.USER).order_by("position")
    return turns.select_related("version__model", "input_item").prefetch_related(
        Prefetch("input_item__attachments", attachments),
        Prefetch("items", answers.prefetch_related("citations"), to_attr="answers"),
        "responses",
    )


def turn_views(turns: Sequence[Turn]) -> list[TurnView]:
    """Return the views of turns loaded by `shown`."""
    siblings = _siblings(turns)
    return [_view(turn, siblings[turn.id]) for turn in turns]


def turn_html(turn_id: uuid.UUID) -> str:
    """Return the whole turn as HTML, as a reload would show it."""
    turns = list(shown(Turn.objects.filter(id=turn_id)))
    return render_to_string("chat/_partials/turn.html", {"turn": turn_views(turns)[0]})


def _siblings(turns: Iterable[Turn]) -> dict[uuid.UUID, _Siblings]:
    """Turns with the same parent are alternatives of each other, in the order in which they were made."""
    wanted = list(turns)
    found: dict[tuple[uuid.UUID, uuid.UUID | None], list[uuid.UUID]] = {}
    conversations = {turn.conversation_id for turn in wanted}
    rooted = {turn.parent_id for turn in wanted}
    rows = Turn.objects.filter(conversation__in=conversations).order_by("created_at", "id")
    for row, conversation, parent in rows.values_list("id", "conversation_id", "parent_id"):
        if parent in rooted:
            found.setdefault((conversation, parent), []).append(row)
    result = {}
    for turn in wanted:
        family = found[(turn.conversation_id, turn.parent_id)]
        at = family.index(turn.id)
        result[turn.id] = _Siblings(
            at + 1,
            len(family),
            family[at - 1] if at else None,
            family[at + 1] if at + 1 < len(family) else None,
        )
    return result


def _view(turn: Turn, siblings: _Siblings) -> TurnView:
    answers: list[Item] = turn.answers  # type: ignore[attr-defined]
    citations = tuple(citation_view(citation) for item in answers for citation in item.citations.all())
    text = "\n\n".join(item.text for item in answers if item.text)
    question = turn.input_item.text if turn.input_item else ""
    models = [response.model_name for response in turn.responses.all()]
    seconds = (turn.finished_at - turn.started_at).total_seconds() if turn.finished_at and turn.started_at else None
    return TurnView(
        id=turn.id,
        status=turn.status,
        user_html=render_plain(question),
        user_text=question,
        documents=_attached(turn),
        answer_html=render(text, citations),
        answer_text=text,
        reasoning_html=mark_safe(""),
        citations=citations,
        error_message=_error_sentence(turn, has_text=bool(text.strip())),
        error_retryable=turn.status in {Turn.Status.FAILED, Turn.Status.INCOMPLETE, Turn.Status.CANCELLED},
        model_label=models[-1] if models else "",
        is_live=not turn.is_final,
        sibling_index=siblings.index,
        sibling_count=siblings.count,
        previous_sibling=siblings.previous,
        next_sibling=siblings.next,
        created_at=turn.created_at,
        seconds=seconds,
        input_tokens=turn.input_tokens,
        output_tokens=turn.output_tokens,
    )


def _error_sentence(turn: Turn, *, has_text: bool) -> str:
    if turn.status == Turn.Status.FAILED:
        return turn.version.failure_message or turn.error_message
    if turn.status == Turn.Status.CANCELLED:
        return "Stopped. What was said so far is kept."
    if turn.status == Turn.Status.INCOMPLETE:
        return "The answer was cut short by the model's limit."
    if turn.status == Turn.Status.COMPLETED and not has_text:
        return "The model ended without a word. Ask again, or in other words."
    return ""


def _attached(turn: Turn) -> tuple[DocumentView, ...]:
    if turn.input_item is None:
        return ()
    return tuple(
        document_view(attachment.document) if attachment.document else _gone(attachment)
        for attachment in turn.input_item.attachments.all()
    )


def _gone(attachment: Attachment) -> DocumentView:
    return DocumentView(
        id=attachment.id,
        name=attachment.name,
        state="gone",
        label="Removed",
        message="",
        progress=None,
        retryable=False,
        url="",
        size=0,
    )


def citation_view(citation: Citation) -> CitationView:
    return CitationView(
        id=citation.id,
        number=citation.number,
        document=citation.document_name,
        page=citation.page,
        quote=citation.quote,
        url=reverse("chat:citation", args=[citation.id]),
    )
