"""The library in the admin. What changes documents goes through the same services as the page."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat

from core.admin import GrantedAdmin
from core.errors import ParleyError
from core.models import User
from retrieval import quotas, services
from retrieval.models import Document, File, Quota, VectorStore

if TYPE_CHECKING:
    DocumentAdminBase = admin.ModelAdmin[Document]
    FileAdminBase = admin.ModelAdmin[File]
    QuotaAdminBase = admin.ModelAdmin[Quota]
else:
    DocumentAdminBase = FileAdminBase = QuotaAdminBase = admin.ModelAdmin

PER_PAGE = 50


@admin.register(VectorStore)
class VectorStoreAdmin(GrantedAdmin):
    list_display = ["name", "kind", "owner", "embedding_model", "document_count", "created_at"]
    list_filter = ["kind", "embedding_model__name"]
    ordering = ["name", "id"]
    list_select_related = ["owner", "embedding_model__endpoint"]
    list_per_page = PER_PAGE
    search_fields = ["name", "owner__email"]
    raw_id_fields = ["owner"]
    readonly_fields = ["created_at", "updated_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[VectorStore]:
        live = Count("documents", filter=Q(documents__life=Document.Life.LIVE))
        stores: QuerySet[VectorStore] = super().get_queryset(request)
        return stores.annotate(document_count=live)

    @admin.display(description="Documents", ordering="document_count")
    def document_count(self, store: VectorStore) -> int:
        return int(getattr(store, "document_count", 0))

    def get_readonly_fields(self, request: HttpRequest, obj: VectorStore | None = None) -> list[str]:
        """What is indexed with one model is not found with another."""
        fixed = ["embedding_model"] if obj is not None and obj.documents.exists() else []
        return [*self.readonly_fields, *fixed]

    def has_delete_permission(self, request: HttpRequest, obj: VectorStore | None = None) -> bool:
        """Documents are deleted first, by the service that also removes their files."""
        empty = obj is not None and not obj.documents.exists()
        return empty and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: VectorStore, form: "ModelForm[VectorStore]", change: bool) -> None:
        if not change and obj.owner is None and isinstance(request.user, User):
            obj.owner = request.user
        super().save_model(request, obj, form, change)


@admin.register(Document)
class DocumentAdmin(DocumentAdminBase):
    list_display = ["name", "store", "state", "error_message", "page_count", "chunk_count", "uploaded_by", "created_at"]
    list_filter = ["state", "life", "error_code"]
    list_select_related = ["store", "uploaded_by"]
    list_per_page = PER_PAGE
    search_fields = ["name", "store__name", "uploaded_by__email", "sha256"]
    date_hierarchy = "created_at"
    actions = ["try_again", "remove"]
    exclude = ["revision", "replaces"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Document]:
        visible = Document.objects.visible_to(request.user)
        return super().get_queryset(request).filter(pk__in=visible.values("pk"))

    def get_readonly_fields(self, request: HttpRequest, obj: Document | None = None) -> list[str]:
        """Only the name and the attributes can be edited by hand."""
        return [field.name for field in Document._meta.fields if field.name not in {"name", "attributes"}]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Document | None = None) -> bool:
        return False

    @admin.action(description="Try again what failed", permissions=["change"])
    def try_again(self, request: HttpRequest, documents: QuerySet[Document]) -> None:
        _for_each(self, request, documents, services.retry_document, "%d tried again.")

    @admin.action(description="Delete with text, chunks and file", permissions=["change"])
    def remove(self, request: HttpRequest, documents: QuerySet[Document]) -> None:
        _for_each(self, request, documents, services.delete_document, "%d being deleted.")


@admin.register(File)
class FileAdmin(FileAdminBase):
    list_display = ["id", "mime_type", "human_size", "owner", "created_at"]
    list_filter = ["mime_type"]
    list_select_related = ["owner"]
    list_per_page = PER_PAGE
    search_fields = ["sha256", "owner__email", "documents__name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[File]:
        files = super().get_queryset(request)
        person = request.user
        if not isinstance(person, User):
            return files.none()
        return files if person.is_superuser else files.filter(owner=person)

    @admin.display(description="Size", ordering="size")
    def human_size(self, file: File) -> str:
        return filesizeformat(file.size)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: File | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: File | None = None) -> bool:
        return False


@admin.register(Quota)
class QuotaAdmin(QuotaAdminBase):
    """How much people may keep. Whoever may change this may raise their own."""

    list_display = ["subject", "files", "size", "tokens", "used"]
    list_select_related = ["user", "group"]
    list_per_page = PER_PAGE
    search_fields = ["user__email", "group__name"]
    autocomplete_fields = ["user", "group"]
    fields = ["user", "group", "everyone", "files", "size", "tokens", "used"]
    readonly_fields = ["used"]

    @admin.display(description="Of")
    def subject(self, quota: Quota) -> str:
        return "everyone" if quota.everyone else str(quota.user or quota.group)

    @admin.display(description="Used now", empty_value="–")
    def used(self, quota: Quota) -> str | None:
        """Of one person only: a group has what its members have, one by one."""
        if quota.user is None:
            return None
        now = quotas.usage(quota.user)
        return f"{now.files:,} files, {filesizeformat(now.size)}, {now.tokens:,} tokens"


def _for_each(
    page: DocumentAdmin,
    request: HttpRequest,
    documents: QuerySet[Document],
    service: Callable[..., Any],
    done_message: str,
) -> None:
    """Do it to each, as the person who asks; what could not be done is said by name."""
    done = 0
    for document_id, name in documents.values_list("pk", "name"):
        try:
            service(user=request.user, document_id=document_id)
            done += 1
        except ParleyError as error:
            page.message_user(request, f"{name}: {error.message}", messages.WARNING)
    if done:
        page.message_user(request, done_message % done, messages.SUCCESS)
