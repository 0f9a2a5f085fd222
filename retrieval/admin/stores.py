"""Vector stores in the admin, with what is in each."""

from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.forms import ModelForm
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from core.admin import GrantedAdmin
from core.http import signed_in
from core.models import EndpointModel, User
from retrieval import services
from retrieval.admin.acting import for_each
from retrieval.models import Document, VectorStore
from retrieval.selectors.shelf import Contents, contents

if TYPE_CHECKING:
    from django.db.models.aggregates import Aggregate

PER_PAGE = 50


def _total(of: "Aggregate") -> Coalesce:
    """What to sort stores by; it is computed only where that is asked for."""
    documents = Document.objects.live().filter(store=OuterRef("pk")).order_by().values("store")
    return Coalesce(Subquery(documents.annotate(total=of).values("total")), 0)


class StoreList(ChangeList):
    """What is in the stores of one page is added up at once, by one statement."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        stores = list(self.result_list)
        held = contents([store.pk for store in stores])
        for store in stores:
            store.held = held[store.pk]
        self.result_list = stores


def _held(store: VectorStore) -> Contents:
    held: Contents = getattr(store, "held")  # noqa: B009 - set by `StoreList` only
    return held


@admin.register(VectorStore)
class VectorStoreAdmin(GrantedAdmin):
    list_display = [
        "name", "kind", "document_count", "states", "size", "tokens", "owner", "embedding_model", "created_at",
    ]  # fmt: skip
    list_filter = ["kind", "embedding_model__name"]
    ordering = ["name", "id"]
    list_select_related = ["owner", "embedding_model__endpoint"]
    list_per_page = PER_PAGE
    show_full_result_count = False
    search_fields = ["name", "owner__email"]
    raw_id_fields = ["owner"]
    # what a store belongs to decides its kind
    readonly_fields = ["kind", "created_at", "updated_at"]
    actions = ["retry_failed", "remove"]

    def get_changelist(self, request: HttpRequest, **named: Any) -> type[ChangeList]:
        return StoreList

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **named: Any) -> Any:
        """A model is called by its server too."""
        if db_field.name == "embedding_model":
            named["queryset"] = EndpointModel.objects.select_related("endpoint")
        return super().formfield_for_foreignkey(db_field, request, **named)

    @admin.display(description="Documents", ordering=_total(Count("pk")))
    def document_count(self, store: VectorStore) -> str:
        url = reverse("admin:retrieval_document_changelist")
        number = f"{_held(store).documents:,}"
        return format_html('<a href="{}?store={}&amp;life__exact=live">{}</a>', url, store.pk, number)

    @admin.display(description="By state", empty_value="–")
    def states(self, store: VectorStore) -> str | None:
        """As the library tells them apart; what is well needs no number of its own where nothing else is there."""
        groups = _held(store).groups
        words = {"ready": _("%d ready"), "working": _("%d under way"), "failed": _("%d failed")}
        return ", ".join(text % groups[group] for group, text in words.items() if groups.get(group)) or None

    @admin.display(description="Size", ordering=_total(Sum("file__size")))
    def size(self, store: VectorStore) -> str:
        return filesizeformat(_held(store).size)

    @admin.display(description="Tokens", ordering=_total(Sum("token_count")))
    def tokens(self, store: VectorStore) -> str:
        return f"{_held(store).tokens:,}"

    def get_readonly_fields(self, request: HttpRequest, obj: VectorStore | None = None) -> list[str]:
        """How documents are indexed is fixed while there are some: a store moves by `Reindexing`."""
        fixed = ["embedding_model", "chunk_tokens", "chunk_overlap"] if obj and obj.documents.exists() else []
        return [*self.readonly_fields, *fixed]

    def has_delete_permission(self, request: HttpRequest, obj: VectorStore | None = None) -> bool:
        """One that is not empty is deleted in the background, by the action."""
        empty = obj is not None and not obj.documents.exists()
        return empty and super().has_delete_permission(request, obj)

    @admin.action(description="Try again what failed in them and may help", permissions=["change"])
    def retry_failed(self, request: HttpRequest, stores: QuerySet[VectorStore]) -> None:
        numbers: list[int] = []
        person = signed_in(request)
        for_each(
            self,
            request,
            stores.values_list("pk", "name"),
            lambda pk: numbers.append(services.retry_failed(user=person, store_id=pk)),
            _("Looked through %d."),
        )
        if numbers:
            self.message_user(request, _("%d documents tried again.") % sum(numbers))

    @admin.action(description="Delete with all documents, in the background", permissions=["change"])
    def remove(self, request: HttpRequest, stores: QuerySet[VectorStore]) -> None:
        delete = partial(services.delete_store, user=signed_in(request))
        for_each(self, request, stores.values_list("pk", "name"), lambda pk: delete(store_id=pk), "%d deleted.")

    def save_model(self, request: HttpRequest, obj: VectorStore, form: "ModelForm[VectorStore]", change: bool) -> None:
        if not change and obj.owner is None and isinstance(request.user, User):
            obj.owner = request.user
        super().save_model(request, obj, form, change)
