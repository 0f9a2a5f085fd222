"""What the lists of the library can be narrowed to; values are offered only as far as who asks may see them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from retrieval.selectors.listing import kind_label

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList

# Values offered by one filter.
MOST_VALUES = 100
# How an address asks for rows without a value: an empty one would ask for all.
NONE = "-"


class ValueFilter(admin.SimpleListFilter):
    """One value of a column, of those that there are in the rows that the list may show."""

    column: str

    def lookups(self, request: HttpRequest, model_admin: "admin.ModelAdmin[Any]") -> list[tuple[str, str]]:
        rows = model_admin.get_queryset(request).order_by().values_list(self.column, flat=True).distinct()
        found = sorted(str(value) for value in rows[:MOST_VALUES])
        return [(value or NONE, self.label(value)) for value in found]

    def label(self, value: str) -> str:
        return value

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset if value is None else queryset.filter(**{self.column: "" if value == NONE else value})


class LanguageFilter(ValueFilter):
    title = _("language")
    parameter_name = column = "language"

    def label(self, value: str) -> str:
        return value or str(_("unknown"))


class ErrorFilter(ValueFilter):
    title = _("error")
    parameter_name = column = "error_code"

    def label(self, value: str) -> str:
        return value or str(_("none"))


class KindFilter(ValueFilter):
    """By what the content is."""

    title = _("kind of file")
    parameter_name, column = "kind", "file__mime_type"

    def label(self, value: str) -> str:
        return f"{kind_label(value)} ({value})"


class FileKindFilter(KindFilter):
    column = "mime_type"


class StoreKindFilter(admin.ChoicesFieldListFilter):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.title = str(_("kind of store"))


class OneFilter(admin.SimpleListFilter):
    """Rows that belong to one other row: a link leads here with its id, and the filter only says which and undoes it.

    `column` names the reference. What who asks may not see is not named.
    """

    column: str

    def named(self, request: HttpRequest, pk: Any) -> str | None:
        """What to call the row with this id; None where there is none that may be seen. ValidationError for no id."""
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: "admin.ModelAdmin[Any]") -> list[tuple[str, str]]:
        if (value := self.value()) is None:
            return []
        try:
            name = self.named(request, value)
        except (ValidationError, ValueError) as error:
            raise IncorrectLookupParameters from error
        return [(value, name if name is not None else str(_("not found")))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset if value is None else queryset.filter(**{self.column: value})

    def choices(self, changelist: "ChangeList") -> Iterator[Any]:
        """Without counts of each."""
        yield {
            "selected": False,
            "query_string": changelist.get_query_string(remove=[self.parameter_name or ""]),
            "display": _("All"),
        }
        for value, name in self.lookup_choices:
            query = changelist.get_query_string({self.parameter_name or "": value})
            yield {"selected": True, "query_string": query, "display": name}
