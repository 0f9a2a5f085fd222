"""What the model got to see for an answer, as people are shown it: parts by tokens, and what they were made of.

Whose conversation it is sees its own words, how much each part took, and of passages what they may read anyway: those
of documents that they may open, and those that the answer cites. Of the others only the place in the order and the
score are shown. Instructions and the body itself are not shown here but in the admin.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy

from chat.context.passages import restore
from chat.models import Fact, Response, Turn
from chat.selectors import sent as selectors
from core.models import Endpoint, User

# In the order in which a request has them.
PARTS: Mapping[str, str | Promise] = {
    "instructions": gettext_lazy("Instructions"),
    "tools": gettext_lazy("Tools"),
    "format": gettext_lazy("Shape of the answer"),
    "messages": gettext_lazy("Messages of the assistant's version"),
    "summary": gettext_lazy("Summary of earlier turns"),
    "window": gettext_lazy("Earlier turns"),
    "facts": gettext_lazy("Facts"),
    "passages": gettext_lazy("Passages from documents"),
    "question": gettext_lazy("The newest message"),
    "steps": gettext_lazy("Earlier steps of this answer"),
}
OTHER = "other"
_NOTED: Mapping[str, str | Promise] = {**PARTS, "turns": PARTS["window"]}
BAR = 1000
"""Units that a bar is long."""
LEAST = 4
"""Units that the share of the room is drawn with at least, so that little is not nothing."""


@dataclass(frozen=True, slots=True)
class PartView:
    """A part of the request; `percent` is of what was sent, `x` and `width` are its place on a bar of `BAR` units."""

    kind: str
    label: str
    tokens: int
    percent: float
    x: str
    width: str


@dataclass(frozen=True, slots=True)
class PassageView:
    """A passage; `name` and `text` are empty where they are not for the person who looks, or are gone."""

    number: int
    name: str
    page: int | None
    heading: str
    score: float | None
    text: str
    cited: bool


@dataclass(frozen=True, slots=True)
class FactView:
    """A fact; `text` is empty where it was deleted since, and `changed` says that other words of it were sent."""

    text: str
    score: float
    changed: bool


@dataclass(frozen=True, slots=True)
class NoteView:
    """How many of a part were left out or shortened, and why."""

    label: str
    count: int
    why: str


@dataclass(frozen=True, slots=True)
class PictureNote:
    """A picture of a message; `why` it did not go along, empty where it did."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One attempt at a step; `step` and `attempt` count from 1. `size` is in bytes, None where none was counted.

    `total` are the tokens of all parts by our own count, `ceiling` how many there could be, `free` the rest; `used` is
    the share of the ceiling on a bar of `BAR` units. `counted` and `cached` are the server's.
    """

    id: uuid.UUID
    step: int
    attempt: int
    model: str
    status: str
    created_at: datetime
    parts: tuple[PartView, ...]
    total: int
    ceiling: int
    free: int
    used: str
    counted: int | None
    cached: int | None
    tools: tuple[str, ...]
    summary: str
    turns: tuple[str, ...]
    facts: tuple[FactView, ...]
    passages: tuple[PassageView, ...]
    pictures: tuple[PictureNote, ...]
    retrieval: str
    """How the passages were come by, where there is something to say about it."""
    dropped: tuple[NoteView, ...]
    shortened: tuple[NoteView, ...]
    stripped: int
    takes_up: bool
    goes_out: bool
    """Whether a server was asked; the extractive provider asks none."""
    size: int | None
    sha256: str


def attempt_views(turn: Turn, user: User) -> list[AttemptView]:
    """Every request made for the answer of `turn`, as `user` may see it, in order."""
    turns = selectors.turns_of_answer(turn.pk)
    rows = selectors.attempts(turns)
    references = _References.of([row.sent.manifest for row in rows], turn.conversation_id, user, turns)
    return [_view(row, references, step) for row, step in zip(rows, _steps(rows), strict=True)]


@dataclass(frozen=True, slots=True)
class _References:
    """What manifests name, looked up once for all attempts; `texts` are of passages by revision, start and end."""

    turns: Mapping[str, str]
    summaries: Mapping[str, str]
    facts: Mapping[str, Fact]
    documents: frozenset[str]
    cited: frozenset[int]
    texts: Mapping[tuple[str, int, int], str]

    @classmethod
    def of(
        cls, manifests: Sequence[Mapping[str, Any]], conversation: uuid.UUID, user: User, turns: Sequence[uuid.UUID]
    ) -> "_References":
        passages = [passage for manifest in manifests for passage in manifest.get("passages", ())]
        documents = selectors.documents_seen_by(user, {passage["document"] for passage in passages})
        cited = selectors.cited_numbers(turns)
        shown = [one for one in passages if one["document"] in documents or one["number"] in cited]
        return cls(
            turns=selectors.first_words({turn for one in manifests for turn in one.get("turns", ())}, conversation),
            summaries=selectors.summary_texts(
                {one["summary"] for one in manifests if one.get("summary")}, conversation
            ),
            facts=selectors.facts_seen_by(user, {fact["id"] for one in manifests for fact in one.get("facts", ())}),
            documents=frozenset(documents),
            cited=frozenset(cited),
            texts={(str(one.revision), one.start, one.end): one.text for one in restore(shown)} if shown else {},
        )


def _steps(rows: Iterable[Response]) -> list[int]:
    """Steps counted from 1 over all turns of an answer."""
    numbers: list[int] = []
    last: tuple[uuid.UUID, int] | None = None
    for row in rows:
        place = (row.turn_id, row.step)
        numbers.append((numbers[-1] if numbers else 0) + (place != last))
        last = place
    return numbers


def _view(row: Response, references: _References, step: int) -> AttemptView:
    manifest: Mapping[str, Any] = row.sent.manifest
    tokens = {name: count for name, count in manifest.get("tokens", {}).items() if isinstance(count, int)}
    total, ceiling = sum(tokens.values()), int(manifest.get("ceiling", 0))
    return AttemptView(
        id=row.pk,
        step=step,
        attempt=row.attempt + 1,
        model=row.model_name,
        status=row.get_status_display(),
        created_at=row.created_at,
        parts=_parts(tokens, total),
        total=total,
        ceiling=ceiling,
        free=max(0, ceiling - total),
        used=f"{max(LEAST, min(BAR, BAR * total / max(ceiling, 1))):.2f}",
        counted=row.input_tokens,
        cached=row.cached_tokens,
        tools=tuple(manifest.get("tools", ())),
        summary=references.summaries.get(manifest.get("summary") or "", ""),
        turns=tuple(references.turns.get(turn, gettext("(removed)")) for turn in manifest.get("turns", ())),
        facts=tuple(_fact(fact, references, row.created_at) for fact in manifest.get("facts", ())),
        passages=tuple(_passage(passage, references) for passage in manifest.get("passages", ())),
        pictures=tuple(_picture(one) for one in manifest.get("pictures", ())),
        retrieval=_retrieval(manifest.get("retrieval", {})),
        dropped=tuple(_notes(manifest.get("dropped", ()))),
        shortened=tuple(_notes(manifest.get("shortened", ()))),
        stripped=manifest.get("stripped_reasoning", {}).get("count", 0),
        takes_up="takes_up" in manifest,
        goes_out=row.model is None or row.model.endpoint.provider != Endpoint.Provider.EXTRACTIVE,
        size=manifest.get("body", {}).get("bytes"),
        sha256=row.sent.sha256,
    )


def _parts(tokens: Mapping[str, int], total: int) -> tuple[PartView, ...]:
    """Those that took something in the order of the request, ones without a name of ours behind."""
    names = [*(name for name in PARTS if name in tokens), *(name for name in tokens if name not in PARTS)]
    views: list[PartView] = []
    before = 0
    for name in names:
        if not (count := tokens[name]):
            continue
        x, width = BAR * before / total, BAR * count / total
        kind, label = name if name in PARTS else OTHER, str(PARTS.get(name, name))
        views.append(PartView(kind, label, count, 100 * count / total, f"{x:.2f}", f"{width:.2f}"))
        before += count
    return tuple(views)


def _fact(reference: Mapping[str, Any], references: _References, sent_at: datetime) -> FactView:
    fact = references.facts.get(reference["id"])
    if fact is None:
        return FactView("", reference["score"], changed=False)
    return FactView(fact.text, reference["score"], changed=fact.edited_at is not None and fact.edited_at > sent_at)


def _passage(reference: Mapping[str, Any], references: _References) -> PassageView:
    cited = reference["number"] in references.cited
    may = cited or reference["document"] in references.documents
    return PassageView(
        number=reference["number"],
        name=reference["name"] if may else "",
        page=reference["page"] if may else None,
        heading=reference["heading"] if may else "",
        score=None if reference.get("whole") else reference.get("score"),
        text=references.texts.get((reference["revision"], reference["start"], reference["end"]), ""),
        cited=cited,
    )


_UNSEEN: Mapping[str, str | Promise] = {
    "takes_none": gettext_lazy("not sent: the model takes no pictures"),
    "refused": gettext_lazy("not sent: the model server refused pictures"),
    "no_room": gettext_lazy("not sent: there was no room for it"),
    "gone": gettext_lazy("not sent: it was not there any more"),
}


def _picture(entry: Mapping[str, str]) -> PictureNote:
    return PictureNote(entry["name"], str(_UNSEEN.get(entry["why"], entry["why"])))


_SEARCHED: Mapping[str, str | Promise] = {
    "too_long": gettext_lazy("The documents were searched: together they are too long to go in whole."),
    "no_room": gettext_lazy("The documents were searched: there was no room for them to go in whole."),
    "nothing_there": gettext_lazy("There were no documents to go in whole."),
    "quoted_only": gettext_lazy("The documents were searched: one of the models can only quote from what is found."),
}


def _retrieval(note: Mapping[str, Any]) -> str:
    if note.get("how") == "whole":
        return gettext("All documents went in whole; none was searched.")
    said = [str(_SEARCHED[note["why"]])] if note.get("why") in _SEARCHED else []
    if query := note.get("query"):
        said.append(gettext("What was searched for, as a model put it: “%(query)s”") % {"query": query})
    if code := note.get("rewrite_failed"):
        said.append(gettext("No model put the question into words of its own (%(code)s).") % {"code": code})
    return " ".join(said)


def _notes(given: Mapping[str, Mapping[str, Any]] | Sequence[Mapping[str, Any]]) -> Iterable[NoteView]:
    """What manifests note of parts: a list with the `part` in each note, or notes by the part's name."""
    notes = [{"part": part, **note} for part, note in given.items()] if isinstance(given, Mapping) else given
    for note in notes:
        if note.get("count"):
            part = note.get("part", OTHER)
            yield NoteView(str(_NOTED.get(part, part)), note["count"], note.get("why", ""))
