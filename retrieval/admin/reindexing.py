"""Stores on their way to another index, in the admin; and the page that sends every store of a model on its way."""

from functools import partial
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.errors import ParleyError
from core.http import signed_in
from core.models import EndpointModel
from retrieval import selectors
from retrieval.admin.acting import for_each
from retrieval.models import Reindexing, VectorStore
from retrieval.services import reindexing

if TYPE_CHECKING:
    ReindexingAdminBase = admin.ModelAdmin[Reindexing]
else:
    ReindexingAdminBase = admin.ModelAdmin

PER_PAGE = 50


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
        retry = partial(reindexing.retry, user=signed_in(request))
        for_each(self, request, _named(rows), lambda pk: retry(reindexing_id=pk), "%d tried again.")

    @admin.action(description="Cancel, and remove what was made", permissions=["change"])
    def cancel(self, request: HttpRequest, rows: QuerySet[Reindexing]) -> None:
        cancel = partial(reindexing.cancel, user=signed_in(request))
        for_each(self, request, _named(rows), lambda pk: cancel(reindexing_id=pk), "%d cancelled.")


def _named(rows: QuerySet[Reindexing]) -> QuerySet[Reindexing, Any]:
    return rows.values_list("pk", "store__name")


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
