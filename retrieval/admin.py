"""The library in the admin. What changes documents goes through the same services as the page."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.admin import GrantedAdmin
from core.errors import ParleyError
from core.http import signed_in
from core.models import EndpointModel, User
from retrieval import quotas, selectors, services
from retrieval.extraction import ocr
from retrieval.models import Document, File, Quota, Reindexing, VectorStore
from retrieval.services import reindexing

if TYPE_CHECKING:
    DocumentAdminBase = admin.ModelAdmin[Document]
    FileAdminBase = admin.ModelAdmin[File]
    QuotaAdminBase = admin.ModelAdmin[Quota]
    ReindexingAdminBase = admin.ModelAdmin[Reindexing]
else:
    DocumentAdminBase = FileAdminBase = QuotaAdminBase = ReindexingAdminBase = admin.ModelAdmin

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
    # what a store belongs to decides its kind
    readonly_fields = ["kind", "created_at", "updated_at"]
    actions = ["remove"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[VectorStore]:
        live = Count("documents", filter=Q(documents__life=Document.Life.LIVE))
        stores: QuerySet[VectorStore] = super().get_queryset(request)
        return stores.annotate(document_count=live)

    @admin.display(description="Documents", ordering="document_count")
    def document_count(self, store: VectorStore) -> int:
        return int(getattr(store, "document_count", 0))

    def get_readonly_fields(self, request: HttpRequest, obj: VectorStore | None = None) -> list[str]:
        """How documents are indexed is fixed while there are some: a store moves by `Reindexing`."""
        fixed = ["embedding_model", "chunk_tokens", "chunk_overlap"] if obj and obj.documents.exists() else []
        return [*self.readonly_fields, *fixed]

    def has_delete_permission(self, request: HttpRequest, obj: VectorStore | None = None) -> bool:
        """One that is not empty is deleted in the background, by the action."""
        empty = obj is not None and not obj.documents.exists()
        return empty and super().has_delete_permission(request, obj)

    @admin.action(description="Delete with all documents, in the background", permissions=["change"])
    def remove(self, request: HttpRequest, stores: QuerySet[VectorStore]) -> None:
        done = 0
        for store_id, name in stores.values_list("pk", "name"):
            try:
                services.delete_store(user=signed_in(request), store_id=store_id)
                done += 1
            except ParleyError as error:
                self.message_user(request, f"{name}: {error.message}", messages.WARNING)
        if done:
            self.message_user(request, f"{done} deleted.", messages.SUCCESS)

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

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        found = ocr.available()
        languages = ocr.chosen(found, settings.OCR_LANGUAGES) if found else ()
        return super().changelist_view(request, {**(extra_context or {}), "ocr_languages": languages})

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


class MoveForm(forms.Form):
    """From which model to which."""

    from_model = forms.ModelChoiceField(
        label=gettext_lazy("Every store that is indexed with"), queryset=EndpointModel.objects.none()
    )
    to_model = forms.ModelChoiceField(
        label=gettext_lazy("is to be indexed with"), queryset=EndpointModel.objects.none()
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        used = EndpointModel.objects.filter(vector_stores__isnull=False).distinct().select_related("endpoint")
        for name, models in (("from_model", used), ("to_model", selectors.embedding_models())):
            field = self.fields[name]
            if isinstance(field, forms.ModelChoiceField):
                field.queryset = models


@admin.register(Reindexing)
class ReindexingAdmin(ReindexingAdminBase):
    """Stores on their way to another model or other chunks, and those that came there."""

    list_display = ["store", "kind", "from_model", "to_model", "state", "progress", "tokens", "cost", "requested_by"]
    list_display += ["created_at", "finished_at"]
    list_filter = ["state", "kind", "to_model__name"]
    list_select_related = ["store", "from_model__endpoint", "to_model__endpoint", "requested_by"]
    list_per_page = PER_PAGE
    search_fields = ["store__name", "requested_by__email", "error_message"]
    date_hierarchy = "created_at"
    actions = ["try_again", "cancel"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Reindexing]:
        visible: QuerySet[VectorStore] = VectorStore.objects.visible_to(signed_in(request))
        return super().get_queryset(request).filter(store__in=visible.values("pk"))

    def get_urls(self) -> list[Any]:
        page = self.admin_site.admin_view(partial(_move_stores, self))
        return [path("move/", page, name="retrieval_reindexing_move"), *super().get_urls()]

    def get_readonly_fields(self, request: HttpRequest, obj: Reindexing | None = None) -> list[str]:
        return [field.name for field in Reindexing._meta.fields]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Reindexing | None = None) -> bool:
        return False

    @admin.display(description="Progress")
    def progress(self, row: Reindexing) -> str:
        return f"{row.done:,} of {row.total:,}" if row.total else ""

    @admin.display(description="Cost, $")
    def cost(self, row: Reindexing) -> str:
        return "" if row.cost is None else f"{row.cost:.4f}"

    @admin.action(description="Go on where it failed", permissions=["change"])
    def try_again(self, request: HttpRequest, rows: QuerySet[Reindexing]) -> None:
        _for_each_row(self, request, rows, reindexing.retry, "%d tried again.")

    @admin.action(description="Cancel, and remove what was made", permissions=["change"])
    def cancel(self, request: HttpRequest, rows: QuerySet[Reindexing]) -> None:
        _for_each_row(self, request, rows, reindexing.cancel, "%d cancelled.")


def _move_stores(page: ReindexingAdmin, request: HttpRequest) -> HttpResponse:
    """POST says what it takes; with `start`, which names both models as they were shown, it begins."""
    form = MoveForm(request.POST if request.method == "POST" else None)
    context: dict[str, Any] = {
        **page.admin_site.each_context(request),
        "title": _("Move every store to another embedding model"),
        "opts": page.opts,
        "form": form,
    }
    if form.is_valid():
        models = form.cleaned_data
        shown = f"{models['from_model'].pk} {models['to_model'].pk}"
        try:
            if request.POST.get("start") == shown:
                begun = reindexing.start_every(user=signed_in(request), **models)
                page.message_user(request, _("%d stores are on their way.") % begun, messages.SUCCESS)
                return HttpResponseRedirect(reverse("admin:retrieval_reindexing_changelist"))
            estimate = reindexing.estimate_every(user=signed_in(request), **models)
            context |= {"estimate": estimate, "shown": shown, "duration": selectors.in_words(estimate.duration)}
        except ParleyError as error:
            form.add_error(None, error.message)
    return TemplateResponse(request, "admin/retrieval/reindexing/move.html", context)


def _for_each_row(
    page: ReindexingAdmin, request: HttpRequest, rows: QuerySet[Reindexing], service: Callable[..., Any], told: str
) -> None:
    """Do it to each, as the person who asks; what could not be done is said by the store's name."""
    done = 0
    for pk, name in rows.values_list("pk", "store__name"):
        try:
            service(user=request.user, reindexing_id=pk)
            done += 1
        except ParleyError as error:
            page.message_user(request, f"{name}: {error.message}", messages.WARNING)
    if done:
        page.message_user(request, told % done, messages.SUCCESS)


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
