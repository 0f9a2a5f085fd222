"""Uploaded files in the admin, each with the documents that are made of it."""

from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from core.admin import ReadOnlyAdmin
from core.models import User
from retrieval.admin.filters import FileKindFilter
from retrieval.models import Document, File
from retrieval.selectors.listing import kind_label

# Documents that are named with each file.
MOST_NAMED = 3


@admin.register(File)
class FileAdmin(ReadOnlyAdmin):
    list_display = ["sha", "kind", "human_size", "owner", "used_by", "created_at"]
    list_filter = [FileKindFilter]
    list_select_related = ["owner"]
    search_fields = ["sha256", "owner__email", "documents__name"]
    ordering = ["-created_at", "id"]
    fields = ["sha256", "mime_type", "human_size", "owner", "used_by", "created_at"]
    readonly_fields = ["human_size", "used_by"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[File]:
        """One's own, all for a superuser; of the documents only those in stores that who asks may read."""
        files: QuerySet[File] = super().get_queryset(request)
        person = request.user
        if not isinstance(person, User):
            return files.none()
        documents = Document.objects.visible_to(person).select_related("store").order_by("-created_at", "id")
        files = files.prefetch_related(Prefetch("documents", documents[: MOST_NAMED + 1], to_attr="visible"))
        return files if person.is_superuser else files.filter(owner=person)

    @admin.display(description="SHA-256", ordering="sha256")
    def sha(self, file: File) -> str:
        return f"{file.sha256[:12]}…"

    @admin.display(description="Kind", ordering="mime_type")
    def kind(self, file: File) -> str:
        return kind_label(file.mime_type)

    @admin.display(description="Size", ordering="size")
    def human_size(self, file: File) -> str:
        return filesizeformat(file.size)

    @admin.display(description="Documents", empty_value="–")
    def used_by(self, file: File) -> str | None:
        documents: list[Document] = getattr(file, "visible", [])
        links = [
            (reverse("admin:retrieval_document_change", args=[document.pk]), document.name, document.store.name)
            for document in documents[:MOST_NAMED]
        ]
        named = format_html_join(", ", '<a href="{}">{}</a> ({})', links)
        if len(documents) <= MOST_NAMED:
            return named or None
        url = reverse("admin:retrieval_document_changelist")
        return format_html('{}, <a href="{}?file={}">{}</a>', named, url, file.pk, _("and more"))
