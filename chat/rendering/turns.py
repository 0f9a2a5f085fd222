"""Turns, as the page shows them: the same partial serves a page, a final frame and a reload."""

import uuid
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TypeVar

from django.template.loader import render_to_string
from django.urls import reverse

from chat.models import Attachment, Citation
from chat.rendering.calls import call_views
from chat.rendering.endings import ending
from chat.rendering.markdown import render, render_plain
from chat.rendering.pictures import unseen_pictures
from chat.rendering.shapes import CitationView, Switch, TurnView
from chat.rendering.siblings import switches
from chat.selectors.answers import answer_text, beginnings
from chat.selectors.shown import ShownItem, ShownTurn, shown_turns
from retrieval.selectors import DocumentView, document_view

_Number = TypeVar("_Number", int, float)


def turn_views(turns: Sequence[ShownTurn]) -> list[TurnView]:
    """Return what the templates show of these turns, in their order."""
    alternatives = switches(turns)
    whole = _whole(turns)
    return [_view(whole[turn.id], *alternatives[turn.id]) for turn in turns]


def html_of(turn: ShownTurn) -> str:
    """Return the whole turn as HTML, as a reload would show it."""
    return render_to_string("chat/_partials/turn.html", {"turn": turn_views([turn])[0]})


def _whole(turns: Sequence[ShownTurn]) -> dict[uuid.UUID, list[ShownTurn]]:
    """Each turn behind those whose answer it continues."""
    continuing = [turn.id for turn in turns if turn.continues_id]
    earlier = beginnings(continuing) if continuing else {}
    wanted = {turn for chain in earlier.values() for turn in chain}
    loaded = {turn.id: turn for turn in shown_turns(wanted)} if wanted else {}
    return {turn.id: [*(loaded[before] for before in earlier.get(turn.id, ())), turn] for turn in turns}


def _view(parts: Sequence[ShownTurn], messages: Switch, answers: Switch) -> TurnView:
    """The view of the last of `parts`, whose answer goes on where those before it stopped."""
    turn = parts[-1]
    said = [part.said for part in parts]
    citations = _citations(said)
    text = answer_text(said)
    models = [attempt.model_name for part in parts for attempt in part.attempts]
    end = ending(turn, text)
    return TurnView(
        id=turn.id,
        status=turn.status,
        user_html=render_plain(turn.question),
        user_text=turn.question,
        documents=_attached(turn),
        answer_html=render(text, citations),
        answer_text=text,
        citations=citations,
        failure_message=end.instead,
        error_message=end.reason,
        can_continue=end.can_continue,
        can_retry=end.can_retry,
        model_label=models[-1] if models else "",
        is_live=not turn.is_final,
        messages=messages,
        answers=answers,
        created_at=turn.created_at,
        seconds=_sum(_seconds(part) for part in parts),
        input_tokens=_sum(part.input_tokens for part in parts),
        output_tokens=_sum(part.output_tokens for part in parts),
        calls=call_views(chain.from_iterable(part.calls for part in parts)),
        unseen=unseen_pictures(turn),
    )


def _citations(said: Iterable[Iterable[ShownItem]]) -> tuple[CitationView, ...]:
    """One for each number: an answer that goes on cites the same passages."""
    found: dict[int, CitationView] = {}
    for item in chain.from_iterable(said):
        for citation in item.citations:
            found.setdefault(citation.number, citation_view(citation))
    return tuple(found.values())


def _seconds(turn: ShownTurn) -> float | None:
    if turn.finished_at is None or turn.started_at is None:
        return None
    return (turn.finished_at - turn.started_at).total_seconds()


def _sum(values: Iterable[_Number | None]) -> _Number | None:
    """The sum of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return sum(known[1:], start=known[0]) if known else None


def _attached(turn: ShownTurn) -> tuple[DocumentView, ...]:
    return tuple(
        document_view(attachment.document) if attachment.document else _gone(attachment)
        for attachment in turn.attachments
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
        gone=citation.is_gone,
    )
