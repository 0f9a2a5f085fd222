"""The documents of a store as a list: a page of rows, and how many there are of each sort, from one grouped count."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import NamedTuple

from django.core.paginator import Page, Paginator
from django.db.models import Count, QuerySet, Sum

from core.models import User
from retrieval.extraction.kinds import LABELS
from retrieval.models import Document, VectorStore
from retrieval.selectors.documents import DocumentView, document_view, store_documents
from retrieval.selectors.filters import GROUP_OF, STATE_GROUPS, DocumentFilter

PER_PAGE = 50
# People to choose from: those who uploaded most.
MAX_PEOPLE = 100


@dataclass(frozen=True, slots=True)
class DocumentRow(DocumentView):
    """A document as a row of the library's lists. `kind` is the sort of file in words, `tag` in a few letters."""

    kind: str
    tag: str
    group: str
    pages: int
    chunks: int
    tokens: int
    who: str
    email: str
    added: datetime
    title: str
    notice: str
    notice_kind: str


class Choice(NamedTuple):
    """One value of a filter, how many documents have it, and the query that asks for it."""

    value: str
    label: str
    number: int
    query: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """How many documents of a store are asked for. `count`, `size` (bytes) and `tokens` are of all that match.

    `total` is the number of documents as far as the words of the search leave them in. `kinds` and `people` are empty
    where there is nothing to choose.
    """

    count: int
    size: int
    tokens: int
    total: int
    states: list[Choice]
    kinds: list[Choice]
    people: list[Choice]


class _Cell(NamedTuple):
    """Documents that have state, kind and uploader in common."""

    group: str
    kind: str
    who: str
    number: int
    size: int
    tokens: int


def counts(store: VectorStore, wanted: DocumentFilter) -> Counts:
    """Count the documents of `store` for every filter at once: two statements, however many there are."""
    cells = _cells(wanted.keep(store_documents(store), but_words=True))
    matching = [cell for cell in cells if _matches(cell, wanted)]
    return Counts(
        count=sum(cell.number for cell in matching),
        size=sum(cell.size for cell in matching),
        tokens=sum(cell.tokens for cell in matching),
        total=sum(cell.number for cell in cells),
        states=_states(cells, wanted),
        kinds=_kinds(cells, wanted),
        people=_people(cells, wanted),
    )


def document_page(store: VectorStore, wanted: DocumentFilter, number: str | None, count: int) -> Page[Document]:
    """A page of what is asked for, of which there are `count`; the nearest one where there is no such page."""
    matching = wanted.order(wanted.keep(store_documents(store)))
    paginator = Paginator(matching, PER_PAGE)
    paginator.count = count  # not counted again
    page = paginator.get_page(number)
    # by their ids first: sorting thousands of whole rows, or skipping them, takes many times as long
    first = PER_PAGE * (page.number - 1)
    ids = list(matching.values_list("pk", flat=True)[first : first + PER_PAGE])
    page.object_list = wanted.order(listed(store).filter(pk__in=ids))
    return page


def listed(store: VectorStore) -> QuerySet[Document]:
    """The documents of a store with what their rows show."""
    return with_rows(store_documents(store))


def with_rows(documents: QuerySet[Document]) -> QuerySet[Document]:
    """Load what `document_row` shows along with each; not the text, which may be long."""
    unread = ("revision__text", "revision__pages", "revision__headings", "revision__warnings")
    return documents.select_related("file__picture", "uploaded_by", "revision").defer(*unread)


def document_row(document: Document) -> DocumentRow:
    """Return what a row shows of `document`, loaded by `listed`."""
    view = document_view(document)
    mime, person = document.file.mime_type, document.uploaded_by
    return DocumentRow(
        **{field.name: getattr(view, field.name) for field in fields(DocumentView)},
        kind=kind_label(mime),
        tag=kind_tag(mime),
        group=GROUP_OF[document.state],
        pages=document.page_count,
        chunks=document.chunk_count,
        tokens=document.token_count,
        who=person_name(person) if person else "",
        email=person.email if person else "",
        added=document.created_at,
        title=document.revision.title if document.revision else "",
        notice=document.notice,
        notice_kind=document.notice_kind,
    )


def person_name(person: User) -> str:
    """What a list calls somebody: the name, or what stands before the @."""
    return person.get_full_name() or person.email.partition("@")[0]


def kind_label(mime: str) -> str:
    """The kind of a file in words."""
    label = LABELS.get(mime) or mime.rpartition("/")[2].upper()
    return label[:1].upper() + label[1:]


_TAGS = {
    "application/pdf": "PDF",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "DOC",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "PPT",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "XLS",
    "application/vnd.oasis.opendocument.text": "ODT",
    "application/rtf": "RTF",
    "application/epub+zip": "EPUB",
    "message/rfc822": "MAIL",
    "application/x-ipynb+json": "NB",
    "text/html": "HTML",
    "text/markdown": "MD",
    "text/plain": "TXT",
    "text/csv": "CSV",
    "text/tab-separated-values": "TSV",
    "application/json": "JSON",
    "application/xml": "XML",
}


def kind_tag(mime: str) -> str:
    """The kind of a file in four letters at most."""
    if mime.startswith("image/"):
        return "IMG"
    return _TAGS.get(mime, "FILE")


def _cells(documents: QuerySet[Document]) -> list[_Cell]:
    """Count everything that the filters show at once."""
    grouped = documents.order_by().values_list("state", "file__mime_type", "uploaded_by")
    rows = grouped.annotate(Count("pk"), Sum("file__size"), Sum("token_count"))
    return [
        _Cell(GROUP_OF[state], kind, str(who or ""), count, int(size or 0), int(tokens or 0))
        for state, kind, who, count, size, tokens in rows
    ]


def _matches(cell: _Cell, wanted: DocumentFilter, *, but: str = "") -> bool:
    """Whether the documents of a cell are asked for, were it not for the filter `but`."""
    return all(
        (
            but == "state" or wanted.state in {"", cell.group},
            but == "kind" or wanted.kind in {"", cell.kind},
            but == "who" or wanted.who in {"", cell.who},
        )
    )


def _counted(cells: list[_Cell], wanted: DocumentFilter, name: str, key: Callable[[_Cell], str]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for cell in cells:
        if _matches(cell, wanted, but=name):
            counted[key(cell)] += cell.number
    return counted


def _states(cells: list[_Cell], wanted: DocumentFilter) -> list[Choice]:
    counted = _counted(cells, wanted, "state", lambda cell: cell.group)
    values = {"": counted.total(), **{group: counted[group] for group in STATE_GROUPS}}
    return [
        Choice(value, value or "all", count, wanted.query(state=value), wanted.state == value)
        for value, count in values.items()
    ]


def _kinds(cells: list[_Cell], wanted: DocumentFilter) -> list[Choice]:
    counted = _counted(cells, wanted, "kind", lambda cell: cell.kind)
    if len(counted) < 2 and not wanted.kind:
        return []
    return _choices({kind: kind_label(kind) for kind in counted}, counted, "kind", wanted)


def _people(cells: list[_Cell], wanted: DocumentFilter) -> list[Choice]:
    counted = _counted(cells, wanted, "who", lambda cell: cell.who)
    del counted[""]  # whose people are gone
    if len(counted) < 2 and not wanted.who:
        return []
    people = User.objects.in_bulk([who for who, _ in counted.most_common(MAX_PEOPLE)])
    return _choices({str(pk): person_name(person) for pk, person in people.items()}, counted, "who", wanted)


def _choices(labels: dict[str, str], counted: Counter[str], name: str, wanted: DocumentFilter) -> list[Choice]:
    ordered = sorted(labels.items(), key=lambda item: item[1].casefold())
    chosen = getattr(wanted, name)
    return [
        Choice(value, label, counted[value], wanted.query(**{name: value}), chosen == value) for value, label in ordered
    ]
