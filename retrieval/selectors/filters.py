"""Which documents of a store a list shows and in which order: what its address says, and the query it means."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from django.db.models import Case, F, Func, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Lower
from django.http import QueryDict

from retrieval.models import Document

State = Document.State

# The states as a list tells them apart: who looks for a document asks whether it is done, not which stage it is in.
STATE_GROUPS: dict[str, tuple[State, ...]] = {
    "ready": (State.READY,),
    "working": (State.QUEUED, State.EXTRACTING, State.CHUNKING, State.EMBEDDING),
    "failed": (State.FAILED,),
}
GROUP_OF = {state.value: group for group, states in STATE_GROUPS.items() for state in states}

# Characters of a search that are looked at.
MAX_WORDS_CHARS = 200

_BY_STATE = Case(
    When(state=State.FAILED, then=Value(0)),
    When(state=State.READY, then=Value(2)),
    default=Value(1),
    output_field=IntegerField(),
)
_ORDERS: dict[str, F | Func | Case] = {
    "name": Lower("name"),
    "state": _BY_STATE,
    "size": F("file__size"),
    "pages": F("page_count"),
    "chunks": F("chunk_count"),
    "tokens": F("token_count"),
    "who": Lower("uploaded_by__email"),
    "added": F("created_at"),
}
# What one wants to see first: the latest, the largest, but names from the beginning.
_DESCENDING = frozenset({"size", "pages", "chunks", "tokens", "added"})
NEWEST_FIRST = "-added"
# Whoever is gone comes last. Only where there are nulls: an index has them where PostgreSQL puts them by itself.
_NULLABLE = frozenset({"who"})


@dataclass(frozen=True, slots=True)
class DocumentFilter:
    """`words` must all stand in the name or the title; the rest is exact, empty means all.

    `state` is a key of STATE_GROUPS, `kind` a MIME type, `who` the id of who uploaded, `sort` a column with "-" in
    front where it descends.
    """

    words: str = ""
    state: str = ""
    kind: str = ""
    who: str = ""
    sort: str = NEWEST_FIRST

    @classmethod
    def from_query(cls, query: QueryDict | Mapping[str, str]) -> "DocumentFilter":
        """What an address asks for. What it says wrongly is left out, as a list that shows nothing helps nobody."""
        sort = query.get("sort", "")
        state = query.get("state", "")
        return cls(
            words=cleaned_words(query.get("q", "")),
            state=state if state in STATE_GROUPS else "",
            kind=query.get("kind", "").replace("\0", "")[:100],
            who=_uuid(query.get("who", "")),
            sort=sort if sort.removeprefix("-") in _ORDERS else NEWEST_FIRST,
        )

    @property
    def is_narrow(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.words or self.state or self.kind or self.who)

    @property
    def is_newest_first(self) -> bool:
        return self.sort == NEWEST_FIRST

    @property
    def column(self) -> str:
        return self.sort.removeprefix("-")

    @property
    def is_descending(self) -> bool:
        return self.sort.startswith("-")

    def query(self, **changes: str) -> str:
        """The address's query, with changes; what is as usual is not in it."""
        wanted = replace(self, **changes)
        given = {"q": wanted.words, "state": wanted.state, "kind": wanted.kind, "who": wanted.who}
        if wanted.sort != NEWEST_FIRST:
            given["sort"] = wanted.sort
        return urlencode({name: value for name, value in given.items() if value})

    @property
    def sorts(self) -> dict[str, tuple[str, str]]:
        """For each column the query that sorts by it, and how it is sorted by it now: as `aria-sort` says it, or "".

        A column sorts as one usually wants it; the other way round where it does so already.
        """
        found = {}
        for column in _ORDERS:
            usual, turned = (f"-{column}", column) if column in _DESCENDING else (column, f"-{column}")
            now = ("descending" if self.is_descending else "ascending") if self.column == column else ""
            found[column] = (self.query(sort=turned if self.sort == usual else usual), now)
        return found

    def keep(self, documents: QuerySet[Document], *, but_words: bool = False) -> QuerySet[Document]:
        """Those of `documents` that are asked for; `but_words` looks at nothing else than the words."""
        for word in self.words.split():
            documents = documents.filter(Q(name__icontains=word) | Q(revision__title__icontains=word))
        if but_words:
            return documents
        if self.state:
            documents = documents.filter(state__in=STATE_GROUPS[self.state])
        if self.kind:
            documents = documents.filter(file__mime_type=self.kind)
        if self.who:
            documents = documents.filter(uploaded_by=uuid.UUID(self.who))
        return documents

    def order(self, documents: QuerySet[Document]) -> QuerySet[Document]:
        by, last = _ORDERS[self.column], True if self.column in _NULLABLE else None
        return documents.order_by(by.desc(nulls_last=last) if self.is_descending else by.asc(nulls_last=last), "id")


def cleaned_words(text: str) -> str:
    """What was typed into a search field, in one line."""
    return " ".join(text.replace("\0", "")[:MAX_WORDS_CHARS].split())


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text)) if text else ""
    except ValueError:
        return ""
