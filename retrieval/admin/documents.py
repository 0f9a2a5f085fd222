"""Documents in the admin: the list, what can be done to many at once, and a page that shows what was read of one."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.db.models.functions import Length
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe

from core.errors import ParleyError
from core.http import signed_in
from retrieval import selectors, services
from retrieval.admin.acting import for_each
from retrieval.admin.filters import ErrorFilter, KindFilter, LanguageFilter, OneFilter, StoreKindFilter
from retrieval.admin.moving import move_page
from retrieval.extraction import ocr
from retrieval.models import Document, File, Revision, VectorStore
from retrieval.selectors.listing import kind_label

if TYPE_CHECKING:
    DocumentAdminBase = admin.ModelAdmin[Document]
else:
    DocumentAdminBase = admin.ModelAdmin

PER_PAGE = 50
# Characters of a document's text that its page shows at once.
PART_CHARS = 8_000


class StoreFilter(OneFilter):
    title = "vector store"
    parameter_name = column = "store"

    def named(self, request: HttpRequest, pk: Any) -> str | None:
        found = VectorStore.objects.visible_to(signed_in(request)).filter(pk=pk).first()
        return found.name if found else None


class FileFilter(OneFilter):
    title = "file"
    parameter_name = column = "file"

    def named(self, request: HttpRequest, pk: Any) -> str | None:
        found = File.objects.filter(pk=pk, documents__in=Document.objects.visible_to(request.user)).first()
        return str(found) if found else None


@admin.register(Document)
class DocumentAdmin(DocumentAdminBase):
    list_display = [
        "name", "store", "condition", "kind", "size", "number_of_pages", "number_of_chunks",
        "number_of_tokens", "uploaded_by", "created_at",
    ]  # fmt: skip
    list_filter = [
        StoreFilter, FileFilter, "state", "life", KindFilter, ("store__kind", StoreKindFilter), ErrorFilter,
        LanguageFilter,
    ]  # fmt: skip
    list_select_related = ["store", "uploaded_by", "file__picture"]
    list_per_page = PER_PAGE
    show_full_result_count = False
    view_on_site = False
    search_fields = ["name", "revision__title", "store__name", "uploaded_by__email", "sha256"]
    date_hierarchy = "created_at"
    actions = ["try_again", "move", "remove"]
    change_form_template = "admin/retrieval/document/change_form.html"
    fieldsets = [
        (None, {"fields": ["name", "attributes", "store", "file", "kind", "size", "sha256"]}),
        ("State", {"fields": [
            "state", ("progress_done", "progress_total"), "error_code", "error_message", "error_retryable", "life",
            "notice_kind", "notice",
        ]}),
        ("What was read", {"fields": ["language", "page_count", "chunk_count", "token_count"]}),
        ("Who and when", {"fields": ["uploaded_by", "created_at", "updated_at", "ready_at"]}),
    ]  # fmt: skip

    class Media:
        css = {"all": ["css/library-admin.css"]}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        found = ocr.available()
        languages = ocr.chosen(found, settings.OCR_LANGUAGES) if found else ()
        return super().changelist_view(request, {**(extra_context or {}), "ocr_languages": languages})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Document]:
        stores: QuerySet[VectorStore] = VectorStore.objects.visible_to(signed_in(request))
        return super().get_queryset(request).filter(store__in=stores)

    def get_readonly_fields(self, request: HttpRequest, obj: Document | None = None) -> list[str]:
        """Only the name and the attributes can be edited by hand."""
        fixed = [field.name for field in Document._meta.fields if field.name not in {"name", "attributes"}]
        return [*fixed, "kind", "size"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Document | None = None) -> bool:
        return False

    @admin.display(description="State", ordering="state")
    def condition(self, document: Document) -> str:
        """How far it is, why it failed, whether it is in use, and what becomes of what is to take its place."""
        view = selectors.document_view(document)
        life = "" if document.life == Document.Life.LIVE else document.get_life_display()
        lines = [line for line in (view.label, view.message, life, document.notice) if line]
        return format_html_join(mark_safe("<br>"), "{}", ((line,) for line in lines))

    @admin.display(description="Kind", ordering="file__mime_type")
    def kind(self, document: Document) -> str:
        return kind_label(document.file.mime_type)

    @admin.display(description="Size", ordering="file__size")
    def size(self, document: Document) -> str:
        return filesizeformat(document.file.size)

    @admin.display(description="Pages", ordering="page_count")
    def number_of_pages(self, document: Document) -> str:
        return f"{document.page_count:,}"

    @admin.display(description="Chunks", ordering="chunk_count")
    def number_of_chunks(self, document: Document) -> str:
        return f"{document.chunk_count:,}"

    @admin.display(description="Tokens", ordering="token_count")
    def number_of_tokens(self, document: Document) -> str:
        return f"{document.token_count:,}"

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *arguments: Any, **named: Any
    ) -> HttpResponse:
        """Add a part of the text: `?part=2` is the second one."""
        document: Document | None = context.get("original")
        if document is not None:
            context |= _reading(document, request.GET.get("part"))
        return super().render_change_form(request, context, *arguments, **named)

    def save_model(self, request: HttpRequest, obj: Document, form: "ModelForm[Document]", change: bool) -> None:
        """By the services: a name may be part of what is indexed."""
        person = signed_in(request)
        try:
            if "name" in form.changed_data:
                services.rename_document(user=person, document_id=obj.pk, name=obj.name)
            if "attributes" in form.changed_data:
                services.set_attributes(user=person, document_id=obj.pk, attributes=obj.attributes)
        except ParleyError as error:
            self.message_user(request, error.message, messages.ERROR)

    @admin.action(description="Try again what failed", permissions=["change"])
    def try_again(self, request: HttpRequest, documents: QuerySet[Document]) -> None:
        self._do(request, documents, services.retry_document, "%d tried again.")

    @admin.action(description="Move to a vector store", permissions=["change"])
    def move(self, request: HttpRequest, documents: QuerySet[Document]) -> HttpResponse | None:
        return move_page(self, request, documents)

    @admin.action(description="Delete with text, chunks and file", permissions=["change"])
    def remove(self, request: HttpRequest, documents: QuerySet[Document]) -> None:
        self._do(request, documents, services.delete_document, "%d being deleted.")

    def _do(self, request: HttpRequest, documents: QuerySet[Document], service: Callable[..., Any], told: str) -> None:
        act = partial(service, user=signed_in(request))
        for_each(self, request, documents.values_list("pk", "name"), lambda pk: act(document_id=pk), told)


def _reading(document: Document, part: str | None) -> dict[str, Any]:
    """What the page shows of a document's text, which may be long: never more of it than a part is loaded."""
    on_page = document.get_absolute_url() if document.life == Document.Life.LIVE else ""
    revisions = Revision.objects.filter(current_for=document).annotate(length=Length("text"))
    revision = revisions.defer("text", "pages", "headings", "warnings").first()
    if revision is None:
        return {"on_page": on_page, "revision": None}
    page = Paginator(range(0, revision.length, PART_CHARS), 1).get_page(part)
    start = page.object_list[0] if page.object_list else 0
    text = selectors.text_between(revision, start, start + PART_CHARS)
    return {
        "on_page": on_page,
        "revision": revision,
        "part": page,
        "text": text,
        "first": start,
        "past": start + len(text),
    }
