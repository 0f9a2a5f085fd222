"""Versions of assistants in the admin: a draft is edited and published, a published one is looked at."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from chat.admin.forms import VersionForm
from chat.models import Assistant, AssistantVersion, FallbackModel
from chat.services.assistants import VersionConflictError, draft_from, problems_of, publish
from core.errors import ParleyError
from core.models import User
from core.models.grants import Role
from retrieval.models import VectorStore

if TYPE_CHECKING:
    VersionAdminBase = admin.ModelAdmin[AssistantVersion]
    FallbackInlineBase = admin.TabularInline[FallbackModel, AssistantVersion]
else:
    VersionAdminBase = admin.ModelAdmin
    FallbackInlineBase = admin.TabularInline


class FallbackInline(FallbackInlineBase):
    model = FallbackModel
    fields = ["position", "model"]
    autocomplete_fields = ["model"]
    extra = 0
    verbose_name_plural = "Fallbacks: models that are asked, in order, when the one above does not answer"

    def get_queryset(self, request: HttpRequest) -> QuerySet[FallbackModel]:
        return super().get_queryset(request).select_related("model__endpoint")


@admin.register(AssistantVersion)
class AssistantVersionAdmin(VersionAdminBase):
    """Reached from the assistant's page."""

    form = VersionForm
    inlines = [FallbackInline]
    list_display = ["assistant", "number", "published_at", "published_by", "model"]
    list_select_related = ["assistant", "published_by", "model__endpoint"]
    list_per_page = 50
    search_fields = ["assistant__name"]
    readonly_fields = ["assistant", "number", "published_at", "published_by"]
    autocomplete_fields = ["model", "utility_model", "stores"]
    fieldsets = [
        (None, {"fields": ["assistant", ("number", "published_at", "published_by")]}),
        ("How it answers", {"fields": ["instructions", "starters", "failure_message"]}),
        ("Model", {"fields": ["model", "utility_model", "parameters"]}),
        ("Documents", {"fields": ["stores", "retrieval", "passages", "retrieval_parameters"]}),
        ("Tools", {"fields": ["tools"]}),
        ("Long conversations", {"fields": ["strategy", "strategy_parameters", "remembers"]}),
        (
            "More",
            {
                "fields": ["input_messages", "variables"],
                "classes": ["collapse"],
            },
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AssistantVersion]:
        """Whoever may edit an assistant sees its versions: they say more than what people who use it see."""
        related = ("assistant", "published_by", "model__endpoint", "utility_model__endpoint")
        editable = Assistant.objects.visible_to(request.user, Role.EDITOR)
        return super().get_queryset(request).filter(assistant__in=editable).select_related(*related)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Only stores that who edits may decide about, besides those that are there: an answer shows their passages."""
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if db_field.name == "stores" and field is not None:
            match = request.resolver_match
            there = VectorStore.objects.filter(assistant_versions=match.kwargs.get("object_id") if match else None)
            own = VectorStore.objects.visible_to(request.user, Role.EDITOR)
            chosen = Q(pk__in=own.values("pk")) | Q(pk__in=there.values("pk"))
            field.queryset = VectorStore.objects.filter(chosen, kind=VectorStore.Kind.LIBRARY)
        return field

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AssistantVersion | None = None) -> bool:
        published = obj is not None and obj.published_at is not None
        return not published and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: AssistantVersion | None = None) -> bool:
        draft = obj is not None and obj.published_at is None
        return draft and super().has_delete_permission(request, obj)

    def save_model(
        self, request: HttpRequest, obj: AssistantVersion, form: "ModelForm[AssistantVersion]", change: bool
    ) -> None:
        drafts = AssistantVersion.objects.select_for_update().filter(pk=obj.pk, published_at=None)
        if not drafts.exists():
            raise VersionConflictError(_("This version was published meanwhile; nothing was saved."))
        super().save_model(request, obj, form, change)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except VersionConflictError as error:
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(request.path)

    def response_change(self, request: HttpRequest, obj: AssistantVersion) -> HttpResponse:
        if "_publish" in request.POST:
            return HttpResponseRedirect(reverse("admin:chat_assistantversion_publish", args=[obj.pk]))
        return super().response_change(request, obj)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<uuid:pk>/publish/", wrap(self.publish_view), name="chat_assistantversion_publish"),
            path("<uuid:pk>/draft/", wrap(self.draft_view), name="chat_assistantversion_draft"),
        ]
        return [*own, *super().get_urls()]

    def publish_view(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """Ask, then publish."""
        version = self._version(request, pk)

        def act() -> AssistantVersion:
            return publish(version=version, by=request.user if isinstance(request.user, User) else None)

        title = _("Publish version %(number)d of %(assistant)s?") % _names(version)
        text = _("People talk to it from their next message on, in running conversations too. It never changes again.")
        done = _("Version %(number)d of %(assistant)s is published.") % _names(version)
        problems = {} if version.published_at else problems_of(version)
        return self._confirm(
            request, version, act, {"title": title, "text": text, "done": done, "button": _("Publish"),
            "problems": problems},
        )  # fmt: skip

    def draft_view(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """Ask, then make a new draft out of any version."""
        version = self._version(request, pk)
        title = _("Make a new draft from version %(number)d of %(assistant)s?") % _names(version)
        text = _("The draft begins as a copy. Nothing changes for anybody until it is published.")
        done = _("This is a new draft, a copy of version %(number)d.") % _names(version)
        return self._confirm(
            request, version, lambda: draft_from(version=version),
            {"title": title, "text": text, "done": done, "button": _("Make a draft"), "problems": {}},
        )  # fmt: skip

    def _version(self, request: HttpRequest, pk: Any) -> AssistantVersion:
        if not super().has_change_permission(request):
            raise PermissionDenied
        version = self.get_object(request, str(pk))
        if version is None:
            raise PermissionDenied
        return version

    def _confirm(
        self,
        request: HttpRequest,
        version: AssistantVersion,
        act: Callable[[], AssistantVersion],
        words: dict[str, Any],
    ) -> HttpResponse:
        if request.method == "POST":
            try:
                version = act()
            except ParleyError as error:
                self.message_user(request, error.message, messages.ERROR)
            else:
                self.log_change(request, version, words["done"])
                self.message_user(request, words["done"], messages.SUCCESS)
            return HttpResponseRedirect(reverse("admin:chat_assistantversion_change", args=[version.pk]))
        context = {**self.admin_site.each_context(request), **words, "opts": self.opts, "version": version}
        return TemplateResponse(request, "admin/chat/assistantversion/confirm.html", context)


def _names(version: AssistantVersion) -> dict[str, Any]:
    return {"number": version.number, "assistant": version.assistant.name}
