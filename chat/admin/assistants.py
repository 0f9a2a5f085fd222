"""Assistants in the admin: names, order, rights, and the way to their versions."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from chat.models import Assistant, AssistantVersion
from chat.services.assistant_files import follow_owner, own_store
from chat.services.assistants import archive, draft_of, restore
from core.admin import GrantedAdmin, GrantInline, may
from core.endpoints import NoModelError
from core.models import User
from core.models.grants import Role

if TYPE_CHECKING:
    VersionInlineBase = admin.TabularInline[AssistantVersion, Assistant]
else:
    VersionInlineBase = admin.TabularInline


class VersionInline(VersionInlineBase):
    """The versions, newest first; each is a page of its own."""

    model = AssistantVersion
    fields = ["version", "state", "published_at", "published_by"]
    readonly_fields = ["version", "state", "published_at", "published_by"]
    ordering = ["-number"]
    extra = 0
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[AssistantVersion]:
        versions = super().get_queryset(request).select_related("published_by", "assistant")
        return versions.only(
            "number", "published_at", "published_by", "assistant__published_version", "assistant__name"
        )

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="Version")
    def version(self, version: AssistantVersion) -> str:
        url = reverse("admin:chat_assistantversion_change", args=[version.pk])
        return format_html('<a href="{}">{} {}</a>', url, _("Version"), version.number)

    @admin.display(description="State")
    def state(self, version: AssistantVersion) -> str:
        if version.published_at is None:
            return _("Draft")
        return _("Published, in use") if version.assistant.published_version_id == version.pk else _("Published")


@admin.register(Assistant)
class AssistantAdmin(GrantedAdmin):
    inlines = [VersionInline, GrantInline]
    list_display = ["name", "current", "owner", "position", "archived_at"]
    list_filter = [("archived_at", admin.EmptyFieldListFilter)]
    list_select_related = ["owner", "published_version"]
    list_per_page = 50
    search_fields = ["name", "description", "owner__email"]
    autocomplete_fields = ["owner"]
    fields = ["name", "description", "owner", "position", "archived_at"]
    readonly_fields = ["archived_at"]
    actions = ["archive", "restore"]

    @admin.display(description="Published version", empty_value="–")
    def current(self, assistant: Assistant) -> int | None:
        return assistant.published_version.number if assistant.published_version else None

    def get_inlines(self, request: HttpRequest, obj: Assistant | None = None) -> list[Any]:
        return self.inlines if obj is not None else []

    def has_delete_permission(self, request: HttpRequest, obj: Assistant | None = None) -> bool:
        """One that people have talked to is archived, not deleted."""
        unused = obj is not None and not obj.conversations.exists()
        return unused and super().has_delete_permission(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Published versions cannot be deleted alone, but go with an assistant that nobody has talked to."""
        found, counts, missing, protected = super().get_deleted_objects(objs, request)
        return found, counts, missing - {AssistantVersion._meta.verbose_name}, protected

    def save_model(self, request: HttpRequest, obj: Assistant, form: "ModelForm[Assistant]", change: bool) -> None:
        if not change and obj.owner is None and isinstance(request.user, User):
            obj.owner = request.user
        super().save_model(request, obj, form, change)
        if not change:
            draft_of(assistant=obj)
        elif "owner" in form.changed_data:
            follow_owner(assistant=obj)

    def response_add(self, request: HttpRequest, obj: Assistant, post_url_continue: str | None = None) -> HttpResponse:
        """Go on with the draft, unless something else was asked for."""
        if {"_addanother", "_continue", "_popup"} & request.POST.keys():
            return super().response_add(request, obj, post_url_continue)
        self.message_user(request, _("Fill in the first version, then publish it."), messages.SUCCESS)
        return _to(draft_of(assistant=obj))

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<uuid:pk>/draft/", wrap(self.draft_view), name="chat_assistant_draft"),
            path("<uuid:pk>/files/", wrap(self.files_view), name="chat_assistant_files"),
        ]
        return [*own, *super().get_urls()]

    def files_view(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """Open the assistant's own files, in the library; make the store where there is none (by POST only)."""
        assistant = self.get_object(request, str(pk))
        if assistant is None or request.method != "POST" or not self.has_change_permission(request, assistant):
            return HttpResponseRedirect(reverse("admin:chat_assistant_change", args=[pk]))
        try:
            return HttpResponseRedirect(own_store(assistant=assistant).get_absolute_url())
        except NoModelError as error:
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(reverse("admin:chat_assistant_change", args=[pk]))

    def draft_view(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """Open the draft; make it where there is none (by POST only)."""
        assistant = self.get_object(request, str(pk))
        permitted = request.user.has_perm("chat.change_assistantversion")
        if assistant is None or request.method != "POST" or not (permitted and may(request, assistant, Role.EDITOR)):
            return HttpResponseRedirect(reverse("admin:chat_assistant_change", args=[pk]))
        return _to(draft_of(assistant=assistant))

    @admin.action(description="Archive", permissions=["change"])
    def archive(self, request: HttpRequest, assistants: QuerySet[Assistant]) -> None:
        chosen = _editable(request, assistants)
        for assistant in chosen:
            archive(assistant=assistant)
        self.message_user(request, _("%d archived.") % len(chosen), messages.SUCCESS)

    @admin.action(description="Restore", permissions=["change"])
    def restore(self, request: HttpRequest, assistants: QuerySet[Assistant]) -> None:
        chosen = _editable(request, assistants)
        for assistant in chosen:
            restore(assistant=assistant)
        self.message_user(request, _("%d restored.") % len(chosen), messages.SUCCESS)


def _editable(request: HttpRequest, assistants: QuerySet[Assistant]) -> list[Assistant]:
    return [assistant for assistant in assistants if may(request, assistant, Role.EDITOR)]


def _to(version: AssistantVersion) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:chat_assistantversion_change", args=[version.pk]))
