"""The chunks of one document in the admin. There are far too many of them for a list of all."""

import uuid
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from core.admin import ReadOnlyAdmin
from core.http import signed_in
from retrieval.admin.documents import PART_CHARS
from retrieval.models import Chunk, Document, VectorStore

# Characters of a chunk's text in the list.
BEGINNING = 160


class DocumentFilter(admin.SimpleListFilter):
    """The chunks of a document's present text, which have an index in their order; without a document none.

    The page shows no filters: its title names the document.
    """

    title = "document"
    parameter_name = "document"

    def lookups(self, request: HttpRequest, model_admin: "admin.ModelAdmin[Any]") -> list[tuple[str, str]]:
        return []

    def has_output(self) -> bool:
        return True  # or it would not be asked for rows

    def queryset(self, request: HttpRequest, queryset: QuerySet[Chunk]) -> QuerySet[Chunk]:
        document = _chosen(request)
        if document is None or document.revision_id is None:
            return queryset.none()
        chunks: QuerySet[Chunk] = queryset.filter(revision=document.revision_id)
        return chunks.annotate(start_of_text=Left("text", BEGINNING)).defer("text", "header")


def _chosen(request: HttpRequest) -> Document | None:
    """The document that the address names, where it may be seen."""
    try:
        document = uuid.UUID(request.GET.get("document", ""))
    except ValueError:
        return None
    return Document.objects.visible_to(request.user).filter(pk=document).first()


@admin.register(Chunk)
class ChunkAdmin(ReadOnlyAdmin):
    list_display = ["number", "pages", "heading", "tokens", "offsets", "beginning"]
    list_filter = [DocumentFilter]
    list_display_links = ["number"]
    # as its index has them
    ordering = ["revision_id", "position"]
    sortable_by = []
    fields = ["number", "document", "store", "pages", "heading", "header", "tokens", "offsets", "text"]
    readonly_fields = ["number", "pages", "offsets"]
    change_list_template = "admin/retrieval/chunk/change_list.html"

    class Media:
        css = {"all": ["css/library-admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Chunk]:
        stores: QuerySet[VectorStore] = VectorStore.objects.visible_to(signed_in(request))
        return super().get_queryset(request).filter(store__in=stores)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """They are part of the document."""
        return request.user.has_perm("retrieval.view_document")

    def has_module_permission(self, request: HttpRequest) -> bool:
        """One comes here from a document."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        document = _chosen(request)
        title = _("Chunks of %s") % document if document else _("Chunks")
        return super().changelist_view(request, {"document": document, "title": title, **(extra_context or {})})

    @admin.display(description="Chunk")
    def number(self, chunk: Chunk) -> str:
        return f"{chunk.position + 1:,}"

    @admin.display(description="Pages", empty_value="–")
    def pages(self, chunk: Chunk) -> str | None:
        if chunk.page_start is None:
            return None
        return str(chunk.page_start) if chunk.page_start == chunk.page_end else f"{chunk.page_start}–{chunk.page_end}"

    @admin.display(description="Characters")
    def offsets(self, chunk: Chunk) -> str:
        """With the part of the document's text that it begins in."""
        url = reverse("admin:retrieval_document_change", args=[chunk.document_id])
        part = chunk.start // PART_CHARS + 1
        return format_html('<a href="{}?part={}#text">{}–{}</a>', url, part, f"{chunk.start:,}", f"{chunk.end:,}")

    @admin.display(description="Text")
    def beginning(self, chunk: Chunk) -> str:
        return str(getattr(chunk, "start_of_text", ""))
