"""Stores, documents and their text, always within what a person may see. What one may not see is not found."""

import uuid
from dataclasses import dataclass, field
from typing import NamedTuple

from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Length, Substr
from django.urls import reverse

from core.errors import NotFoundError, PermissionDeniedError
from core.models import EndpointModel, User
from core.models.grants import Role
from retrieval.embeddings import EmbeddingTarget
from retrieval.extraction.kinds import IMAGES
from retrieval.models import Chunk, Document, Picture, Revision, VectorStore

# Stores to choose from where a document is moved.
MAX_TARGETS = 200

# Characters that a part of a document without pages has at least.
PART_CHARS = 8_000


# Pages on which one text is looked for: a quotation is shorter.
MARKED_PAGES = 5


class PagePart(NamedTuple):
    """A part of what was read of a page, by offsets into the page's text. Pages count from 1."""

    page: int
    text: str
    start: int
    end: int


class PictureView(NamedTuple):
    """The small picture that we made of a document; sides are in points."""

    url: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document as a chip or a row.

    `label` is its state in words. `message` is the sentence of a failure, or of what is being waited for.
    `progress` is in percent, or None where the stage cannot tell. `size` is in bytes. `picture` is there for files that
    are pictures, as soon as it was made.
    """

    id: uuid.UUID
    name: str
    state: str
    label: str
    message: str
    progress: int | None
    retryable: bool
    url: str
    size: int
    picture: PictureView | None = field(default=None, kw_only=True)


def document_view(document: Document) -> DocumentView:
    """Return what a template shows of `document`, whose file and picture should be loaded with it."""
    label = document.get_state_display()
    progress, picture = None, _picture_of(document)
    if picture and document.state == Document.State.READY and not document.chunk_count:
        label = "Picture"
    if not document.is_final and document.progress_total:
        progress = min(100, 100 * document.progress_done // document.progress_total)
        label = f"{label} ({document.progress_done} of {document.progress_total})"
    return DocumentView(
        id=document.pk,
        name=document.name,
        state=document.state,
        label=label,
        message=document.error_message,
        progress=progress,
        retryable=document.state == Document.State.FAILED and document.error_retryable,
        url=reverse("retrieval:document", args=[document.pk]),
        size=document.file.size,
        picture=picture,
    )


def _picture_of(document: Document) -> PictureView | None:
    if document.file.mime_type not in IMAGES:
        return None
    made: Picture | None = getattr(document.file, "picture", None)
    if made is None:
        return None
    return PictureView(reverse("retrieval:small_picture", args=[document.pk]), made.small_width, made.small_height)


def library_stores(user: User) -> "QuerySet[VectorStore]":
    """The stores of the library that `user` may read, by name, each with its `document_count`."""
    stores: QuerySet[VectorStore] = VectorStore.objects.visible_to(user).filter(kind=VectorStore.Kind.LIBRARY)
    return stores.annotate(document_count=Count("documents", filter=Q(documents__life=Document.Life.LIVE)))


def get_store(user: User, store_id: uuid.UUID, role: Role = Role.READER) -> VectorStore:
    """Raises NotFoundError for a store that `user` may not even read, PermissionDeniedError without `role`."""
    store = VectorStore.objects.visible_to(user).select_related("embedding_model__endpoint").filter(pk=store_id).first()
    if store is None:
        raise NotFoundError("There is no such vector store.")
    if not has_role(user, store, role):
        owners = "Only owners of this vector store decide about that."
        raise PermissionDeniedError(
            owners if role == Role.OWNER else "You may read this vector store, but not change it."
        )
    return store


def has_role(user: User, store: VectorStore, role: Role) -> bool:
    """Whether `user` has at least `role` on the store now."""
    return VectorStore.objects.visible_to(user, role).filter(pk=store.pk).exists()


def move_targets(user: User, store: VectorStore) -> QuerySet[VectorStore]:
    """The other stores of the library that `user` may put documents into, by name, at most MAX_TARGETS."""
    stores: QuerySet[VectorStore] = VectorStore.objects.visible_to(user, Role.EDITOR)
    return stores.filter(kind=VectorStore.Kind.LIBRARY).exclude(pk=store.pk)[:MAX_TARGETS]


def store_documents(store: VectorStore) -> QuerySet[Document]:
    """The documents of a store that are in use, the latest first, with their files."""
    return Document.objects.live().filter(store=store).select_related("file__picture", "uploaded_by")


def get_document(user: User, document_id: uuid.UUID, role: Role = Role.READER) -> Document:
    """The same rules as `get_store`. One that is being deleted is not found. Its revision comes without the text."""
    documents = Document.objects.live().select_related("file", "store", "revision").defer("revision__text")
    document = documents.visible_to(user).filter(pk=document_id).first()
    if document is None:
        raise NotFoundError("There is no such document.")
    if not has_role(user, document.store, role):
        raise PermissionDeniedError("You may read this document, but not change it.")
    return document


def text_spans(revision: Revision) -> list[tuple[int, int]]:
    """The [start, end) of each page, or of parts that begin with a chunk where the kind of document has no pages."""
    if revision.pages:
        return [(start, end) for start, end in revision.pages]
    length: int = Revision.objects.filter(pk=revision.pk).values_list(Length("text"), flat=True).get()
    starts = [0]
    for start in Chunk.objects.filter(revision=revision).order_by("position").values_list("start", flat=True):
        if start - starts[-1] >= PART_CHARS:
            starts.append(start)
    return list(zip(starts, [*starts[1:], length], strict=True))


def text_between(revision: Revision, start: int, end: int) -> str:
    """`revision.text[start:end]` without loading the rest."""
    part = Substr(F("text"), start + 1, end - start)
    text: str = Revision.objects.filter(pk=revision.pk).values_list(part, flat=True).get()
    return text


def page_parts(revision: Revision, start: int, end: int) -> list[PagePart]:
    """The pages that `revision.text[start:end]` stands on, at most MARKED_PAGES of them, with their texts."""
    parts: list[PagePart] = []
    for number, (first, past) in enumerate(revision.pages, start=1):
        if first < end and past > start and len(parts) < MARKED_PAGES:
            text = text_between(revision, first, past)
            parts.append(PagePart(number, text, max(start, first) - first, min(end, past) - first))
    return parts


def embedding_target(model: EndpointModel) -> EmbeddingTarget:
    """Where texts of this model are embedded; its endpoint should be loaded with it."""
    endpoint = model.endpoint
    return EmbeddingTarget(
        provider=endpoint.provider,
        model=model.name,
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        dimensions=model.dimensions,
        headers=tuple(endpoint.headers.items()),
        connect_timeout=endpoint.connect_timeout,
        read_timeout=endpoint.read_timeout,
    )
