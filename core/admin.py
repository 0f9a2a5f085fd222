"""People, rights, model servers and background work in the admin."""

from typing import TYPE_CHECKING, Any, cast

from allauth.account import admin as allauth_admin
from allauth.account.models import EmailAddress
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.contenttypes.admin import GenericTabularInline
from django.db.models import ForeignObjectRel, ManyToManyRel, Model, QuerySet
from django.forms import BaseModelFormSet, ModelForm
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from django.utils.text import Truncator
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _

from core import capability_fields, endpoints, outbox, probing
from core.accounts.links import make_sign_in_link
from core.capabilities import CAPABILITIES
from core.errors import ConflictError
from core.forms import EndpointForm, EndpointModelForm, GrantForm, UserAddForm, UserForm
from core.models import AccessToken, Endpoint, EndpointModel, Grant, Process, User, Work
from core.models.grants import Role

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    UserAdminBase = DjangoUserAdmin[User]
    ModelInline = admin.StackedInline[EndpointModel, Endpoint]
    GrantInlineBase = GenericTabularInline
else:
    ModelAdmin = admin.ModelAdmin
    UserAdminBase = DjangoUserAdmin
    ModelInline = admin.StackedInline
    GrantInlineBase = GenericTabularInline

PER_PAGE = 50
# Links made at once: each is shown in full, and a message that long is read by nobody.
MAX_LINKS = 5

# people are changed in one place; addresses follow (see `UserAdmin.save_model`)
admin.site.unregister(allauth_admin.EmailAddress)


class ReadOnlyAdmin(ModelAdmin):
    """Rows that processes write: people look at them."""

    list_per_page = PER_PAGE
    show_full_result_count = False
    view_on_site = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def may(request: HttpRequest, granted: Any, role: Role) -> bool:
    """Whether who asks has `role` on an object that grants are about. The framework's own permissions come on top."""
    rows = type(granted)._default_manager.visible_to(request.user, role)
    return bool(rows.filter(pk=granted.pk).exists())


class GrantInline(GrantInlineBase):
    """Who may do what with the object of the page; its owners decide."""

    model = Grant
    form = GrantForm
    ct_fk_field = "object_id"
    autocomplete_fields = ["user", "group"]
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[Grant]:
        return super().get_queryset(request).select_related("user", "group")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_add_permission(request, obj) and (obj is None or may(request, obj, Role.OWNER))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or may(request, obj, Role.OWNER))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or may(request, obj, Role.OWNER))


class GrantedAdmin(ModelAdmin):
    """Objects that grants are about: the same rule as on the pages, and whoever adds a grant is remembered with it."""

    inlines = [GrantInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        visible = self.model._default_manager.visible_to(request.user)
        return super().get_queryset(request).filter(pk__in=visible.values("pk"))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or may(request, obj, Role.EDITOR))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or may(request, obj, Role.OWNER))

    def save_formset(
        self, request: HttpRequest, form: "ModelForm[Any]", formset: "BaseModelFormSet[Any, Any]", change: bool
    ) -> None:
        if formset.model is Grant:
            for added in formset.extra_forms:
                added.instance.created_by = request.user
        super().save_formset(request, form, formset, change)


def is_referenced(row: Model) -> bool:
    """Whether anything refers to `row`. (The framework would list all of it, however much.)"""
    for relation in row._meta.get_fields(include_hidden=True):
        if isinstance(relation, ForeignObjectRel) and not isinstance(relation, ManyToManyRel):
            rows = relation.related_model._base_manager
            if rows.filter(**{relation.field.name: row}).exists():
                return True
    return False


@admin.register(User)
class UserAdmin(UserAdminBase):
    form = UserForm
    add_form = UserAddForm
    ordering = ["email"]
    list_display = ["email", "first_name", "last_name", "is_active", "is_staff", "is_superuser", "last_login"]
    list_filter = ["is_active", "is_staff", "is_superuser", "groups"]
    list_per_page = PER_PAGE
    search_fields = ["email", "first_name", "last_name"]
    readonly_fields = ["last_login", "date_joined"]
    filter_horizontal = ["user_permissions"]
    autocomplete_fields = ["groups"]
    actions = ["sign_in_links"]
    fieldsets = [
        (None, {"fields": ["email", "first_name", "last_name", "password"]}),
        (_("Rights"), {"fields": ["is_active", "is_staff", "is_superuser", "groups", "user_permissions"]}),
        (_("Dates"), {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [
        (
            None,
            {
                "fields": ["email", "first_name", "last_name"],
                "description": _("The person comes in by a sign-in link: make one with the action in the list."),
            },
        ),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        """Who is no superuser cannot give rights, not even to themselves."""
        mine = ["is_staff", "is_superuser", "groups", "user_permissions"] if not _is_superuser(request) else []
        return [*self.readonly_fields, *mine]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return _may_manage(request, obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return _may_manage(request, obj) and super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """People are deleted one by one: what goes with them is shown for each."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def save_model(self, request: HttpRequest, obj: User, form: "ModelForm[User]", change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and "email" in form.changed_data:
            # the former address would still sign in and receive a new password otherwise
            EmailAddress.objects.filter(user=obj).delete()

    @admin.action(description=_("Make a sign-in link"), permissions=["change"])
    def sign_in_links(self, request: HttpRequest, people: QuerySet[User]) -> None:
        if len(people) > MAX_LINKS:
            self.message_user(request, _("Choose %d people at most.") % MAX_LINKS, messages.WARNING)
            return
        for person in people:
            if not person.is_active or not _may_manage(request, person):
                self.message_user(request, _("%s: no link can be made.") % person, messages.WARNING)
                continue
            link = make_sign_in_link(user=person)
            text = _("%(person)s signs in once with this link, within 24 hours. It is shown only now: %(link)s")
            self.message_user(request, text % {"person": person, "link": link}, messages.SUCCESS)


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


def _may_manage(request: HttpRequest, person: User | None) -> bool:
    """Whoever could change a superuser, or sign in as one, would be one."""
    return _is_superuser(request) or person is None or not (person.is_staff or person.is_superuser)


class EndpointModelInline(ModelInline):
    model = EndpointModel
    form = EndpointModelForm
    extra = 0
    show_change_link = True
    fields = [
        ("name", "purpose", "enabled"),
        ("context_window", "max_output_tokens", "dimensions"),
        ("input_price", "cached_input_price", "output_price"),
    ]

    def has_add_permission(self, request: HttpRequest, obj: Endpoint | None = None) -> bool:
        built_in = obj is not None and obj.source == Endpoint.Source.BUILT_IN
        return not built_in and super().has_add_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Endpoint | None = None) -> bool:
        return False  # on the model's own page, where it is known what refers to it


@admin.register(Endpoint)
class EndpointAdmin(ModelAdmin):
    form = EndpointForm
    inlines = [EndpointModelInline]
    list_display = ["name", "provider", "source", "base_url", "enabled"]
    list_filter = ["source", "enabled"]
    list_per_page = PER_PAGE
    search_fields = ["name", "base_url"]
    actions = ["probe"]

    def get_fieldsets(self, request: HttpRequest, obj: Endpoint | None = None) -> Any:
        key = ["new_api_key", "remove_api_key"] if obj is None or obj.source == Endpoint.Source.ADMIN else []
        return [
            (None, {"fields": ["name", *(["source", "provider"] if obj else []), "base_url", "enabled", *key]}),
            (_("Requests"), {"fields": ["headers", ("connect_timeout", "read_timeout")]}),
            (_("Capabilities"), {"fields": ["probed", *self._capability_fields(request, obj), "capabilities"]}),
        ]

    def _capability_fields(self, request: HttpRequest, obj: Endpoint | None) -> list[str]:
        """The choices, for those who may choose."""
        may_set = obj is None or self.has_change_permission(request, obj)
        return list(capability_fields.FIELDS) if may_set else []

    @admin.display(description=_("Probed"))
    def probed(self, endpoint: Endpoint) -> str:
        """When the server was last asked, and what has no choice of its own because nothing is sent for it."""
        lines = [probing.progress(endpoint)]
        rest = {name: finding for name, finding in endpoint.findings.items() if name not in CAPABILITIES}
        lines += [f"{name}: {probing.sentence(finding)}" for name, finding in rest.items()]
        return format_html_join(mark_safe("<br>"), "{}", ((line,) for line in lines))

    @admin.action(description=_("Probe what the server can do"), permissions=["change"])
    def probe(self, request: HttpRequest, chosen: QuerySet[Endpoint]) -> None:
        for endpoint in chosen:
            try:
                probing.request_probe(endpoint=endpoint, owner=cast(User, request.user))
            except ConflictError as error:
                self.message_user(request, error.message, messages.WARNING)
            else:
                text = _("%s is being asked; its page shows what it says.") % endpoint
                self.message_user(request, text, messages.SUCCESS)

    def get_readonly_fields(self, request: HttpRequest, obj: Endpoint | None = None) -> list[str]:
        fixed = ["source", "provider", "probed"]
        if obj is not None and obj.source != Endpoint.Source.ADMIN:
            fixed += ["base_url", "enabled"]
        return fixed

    def has_change_permission(self, request: HttpRequest, obj: Endpoint | None = None) -> bool:
        built_in = obj is not None and obj.source == Endpoint.Source.BUILT_IN
        return not built_in and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Endpoint | None = None) -> bool:
        free = obj is not None and obj.source != Endpoint.Source.BUILT_IN and not is_referenced(obj)
        return free and super().has_delete_permission(request, obj)


@admin.register(EndpointModel)
class EndpointModelAdmin(ModelAdmin):
    form = EndpointModelForm
    list_display = ["name", "endpoint", "purpose", "is_default", "enabled", "context_window", "max_output_tokens"]
    list_filter = ["purpose", "is_default", "enabled"]
    list_select_related = ["endpoint"]
    list_per_page = PER_PAGE
    search_fields = ["name", "endpoint__name"]
    autocomplete_fields = ["endpoint"]
    readonly_fields = ["counts"]
    actions = ["make_default"]

    @admin.display(description=_("Counts of tokens"))
    def counts(self, model: EndpointModel) -> str:
        """How far the server's count is from ours, which is what requests are cut by."""
        if model.purpose != EndpointModel.Purpose.CHAT:
            return str(_("Only those of chat models are compared."))
        if model.token_ratio_at is None:
            return str(_("The server has not counted more tokens than Parley so far."))
        text = _("The server counts up to %(ratio)s tokens for each one that Parley counts (last changed %(when)s).")
        when = date_format(localtime(model.token_ratio_at), "DATETIME_FORMAT")
        return str(text % {"ratio": f"{model.token_ratio:.2f}", "when": when})

    def has_delete_permission(self, request: HttpRequest, obj: EndpointModel | None = None) -> bool:
        free = obj is not None and not (obj.is_default or endpoints.is_built_in(obj) or is_referenced(obj))
        return free and super().has_delete_permission(request, obj)

    @admin.action(description=_("Make default for its purpose"), permissions=["change"])
    def make_default(self, request: HttpRequest, chosen: QuerySet[EndpointModel]) -> None:
        models = list(chosen.select_related("endpoint"))
        if len({model.purpose for model in models}) != len(models):
            self.message_user(request, _("Choose one model for each purpose at most."), messages.WARNING)
            return
        for model in models:
            try:
                endpoints.make_default(model=model)
            except ConflictError as error:
                self.message_user(request, error.message, messages.WARNING)
            else:
                purpose = model.get_purpose_display().lower()
                self.message_user(request, _("%(model)s is the default for %(purpose)s.") % {
                    "model": model, "purpose": purpose,
                }, messages.SUCCESS)  # fmt: skip


@admin.register(AccessToken)
class AccessTokenAdmin(ReadOnlyAdmin):
    """Whose scripts may come in; an administrator ends a token by deleting it."""

    list_display = ["name", "user", "scope", "created_at", "expires_at", "last_used_at"]
    list_filter = ["scope"]
    list_select_related = ["user"]
    search_fields = ["name", "user__email"]
    ordering = ["-created_at"]
    exclude = ["token_hash"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("core.delete_accesstoken")


@admin.register(Process)
class ProcessAdmin(ReadOnlyAdmin):
    list_display = ["kind", "host", "pid", "started_at", "seen_at", "draining"]
    ordering = ["-seen_at"]


@admin.register(Work)
class WorkAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "kind", "state", "attempts", "owner", "run_after", "reason"]
    list_filter = ["state", "kind"]
    list_select_related = ["owner"]
    search_fields = ["kind", "error", "owner__email"]
    ordering = ["-created_at"]
    actions = ["retry"]

    @admin.display(description=_("Error"))
    def reason(self, work: Work) -> str:
        return Truncator(work.error).chars(100)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("core.change_work")

    @admin.action(description=_("Try again what failed"), permissions=["retry"])
    def retry(self, request: HttpRequest, chosen: QuerySet[Work]) -> None:
        done = sum(outbox.retry(work) for work in chosen)
        left = len(chosen) - done
        if done:
            self.message_user(request, _("%d tried again.") % done, messages.SUCCESS)
        if left:
            self.message_user(request, _("%d not failed: left alone.") % left, messages.WARNING)
