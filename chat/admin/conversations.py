"""What was said, for looking at: conversations, their turns, the responses and items of each."""

import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext as _

from chat.admin.sent import SentPages, sent_link
from chat.admin.spent import SpentAbove
from chat.models import (
    BackgroundCall,
    Citation,
    Conversation,
    Item,
    Response,
    SentRequest,
    Summary,
    SummaryFailure,
    Turn,
)
from chat.selectors.costs import Spent, spent_on, spent_on_turns
from core.admin import ReadOnlyAdmin

if TYPE_CHECKING:
    Inline = admin.TabularInline[Any, Any]
    StackedInline = admin.StackedInline[Any, Any]
else:
    Inline = admin.TabularInline
    StackedInline = admin.StackedInline


class ReadOnlyInline(Inline):
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def readable(request: HttpRequest) -> QuerySet[Conversation]:
    """The conversations that who asks may read: a superuser all of them, others their own."""
    return Conversation.objects.visible_to(request.user)


def pretty(value: Any) -> str:
    """JSON as lines that can be read."""
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False))


def excerpt(text: str) -> str:
    return Truncator(text).chars(120)


class SummaryInline(ReadOnlyInline):
    """Newest first; a suspect one was never sent to a model again."""

    model = Summary
    fields = ["created_at", "reaches", "tokens", "model", "suspect", "text"]
    readonly_fields = ["created_at", "reaches"]
    ordering = ["-created_at"]
    show_change_link = False
    verbose_name_plural = "Summaries: a model's record of what is older than the window"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Summary]:
        return super().get_queryset(request).select_related("turn", "model__endpoint")

    @admin.display(description="Reaches")
    def reaches(self, summary: Summary) -> str:
        return _turn_link(summary.turn)


class SummaryFailureInline(ReadOnlyInline):
    model = SummaryFailure
    fields = ["created_at", "asked_after", "code", "message"]
    readonly_fields = ["created_at", "asked_after"]
    show_change_link = False
    verbose_name_plural = "Summaries that were not made: the former one stays"

    def get_queryset(self, request: HttpRequest) -> QuerySet[SummaryFailure]:
        return super().get_queryset(request).select_related("turn")

    @admin.display(description="Asked for after")
    def asked_after(self, failure: SummaryFailure) -> str:
        return _turn_link(failure.turn)


def _turn_link(turn: Turn) -> str:
    text = _("turn %d of its branch") % (turn.depth + 1)
    return format_html('<a href="{}">{}</a>', reverse("admin:chat_turn_change", args=[turn.pk]), text)


@admin.register(Conversation)
class ConversationAdmin(ReadOnlyAdmin):
    list_display = ["title", "user", "assistant", "last_turn_at", "archived_at", "deleted_at"]
    list_filter = ["assistant", ("deleted_at", admin.EmptyFieldListFilter)]
    list_select_related = ["user", "assistant"]
    search_fields = ["title", "user__email"]
    ordering = ["-last_turn_at"]
    fields = [
        "title", "title_source", "user", "assistant", "store", "turns_link", "spent", "background_link", "uses_memory",
        "created_at", "last_turn_at", "pinned_at", "archived_at", "deleted_at",
    ]  # fmt: skip
    readonly_fields = ["turns_link", "spent", "background_link"]
    inlines = [SummaryInline, SummaryFailureInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        conversations = super().get_queryset(request).select_related("user", "assistant", "store")
        return conversations.filter(pk__in=readable(request).values("pk"))

    @admin.display(description="Turns")
    def turns_link(self, conversation: Conversation) -> str:
        url = reverse("admin:chat_turn_changelist")
        text = _("%d turns") % conversation.turns.count()
        return format_html('<a href="{}?conversation__id__exact={}">{}</a>', url, conversation.pk, text)

    @admin.display(description="Tokens and cost", empty_value="-")
    def spent(self, conversation: Conversation) -> str | None:
        """Of answers, by every attempt at them, and of what was asked for in the background."""
        rows = spent_on(conversation)
        return render_to_string("admin/chat/_partials/spent.html", {"spent": rows}) if rows else None

    @admin.display(description="In the background")
    def background_link(self, conversation: Conversation) -> str:
        url = reverse("admin:chat_backgroundcall_changelist")
        text = _("%d calls") % BackgroundCall.objects.filter(conversation=conversation).count()
        return format_html('<a href="{}?conversation__id__exact={}">{}</a>', url, conversation.pk, text)


class ResponseInline(ReadOnlyInline):
    model = Response
    fields = [
        "step", "attempt", "status", "model_name", "input_tokens", "output_tokens", "cost", "error_code", "request",
    ]  # fmt: skip
    readonly_fields = ["request"]

    @admin.display(description="What was sent")
    def request(self, response: Response) -> str:
        return sent_link(response)


class ItemInline(ReadOnlyInline):
    model = Item
    fields = ["position", "type", "role", "status", "beginning"]
    readonly_fields = ["beginning"]
    verbose_name_plural = "Items"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Item]:
        return super().get_queryset(request).defer("payload")

    @admin.display(description="Text")
    def beginning(self, item: Item) -> str:
        return excerpt(item.text)


@admin.register(Turn)
class TurnAdmin(SpentAbove):
    list_display = [
        "created_at", "conversation", "person", "version", "status", "output_tokens", "cost", "error_code",
    ]  # fmt: skip
    list_filter = ["status", "version__assistant", "error_code"]
    list_select_related = ["conversation__user", "version__assistant"]
    date_hierarchy = "created_at"
    search_fields = ["conversation__title", "conversation__user__email"]
    ordering = ["-created_at"]
    inlines = [ResponseInline, ItemInline]
    exclude = ["input_item", "parent", "passages"]
    readonly_fields = ["goes_on_from", "sent_passages"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Turn]:
        turns = super().get_queryset(request).select_related("conversation__user", "version__assistant")
        return turns.filter(conversation__in=readable(request))

    def spent(self, rows: QuerySet[Turn]) -> list[Spent]:
        return spent_on_turns(rows)

    @admin.display(description="User", ordering="conversation__user__email")
    def person(self, turn: Turn) -> str:
        return str(turn.conversation.user)

    @admin.display(description="Goes on with the answer of")
    def goes_on_from(self, turn: Turn) -> str:
        if turn.continues_id is None:
            return "-"
        return format_html(
            '<a href="{}">{}</a>', reverse("admin:chat_turn_change", args=[turn.continues_id]), turn.continues
        )

    @admin.display(description="Passages before the model")
    def sent_passages(self, turn: Turn) -> str:
        return pretty(turn.passages)


class SentInline(StackedInline):
    """The body has a page of its own (`chat.admin.sent`)."""

    model = SentRequest
    fields = ["request", "sha256", "what_was_sent"]
    readonly_fields = ["request", "what_was_sent"]
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[SentRequest]:
        return super().get_queryset(request).defer("body")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="What was sent")
    def request(self, sent: SentRequest) -> str:
        return sent_link(sent.response)

    @admin.display(description="Manifest")
    def what_was_sent(self, sent: SentRequest) -> str:
        return pretty(sent.manifest)


@admin.register(Response)
class ResponseAdmin(SentPages):
    list_display = ["created_at", "turn_id", "step", "attempt", "status", "model_name", "output_tokens", "error_code"]
    list_filter = ["status", "error_code"]
    search_fields = ["model_name", "=upstream_id"]
    ordering = ["-created_at"]
    inlines = [SentInline]
    exclude = ["payload"]
    readonly_fields = ["last_said"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Response]:
        responses = super().get_queryset(request).select_related("turn", "model__endpoint")
        responses = responses.filter(turn__conversation__in=readable(request))
        match = request.resolver_match
        one = match is not None and "object_id" in match.kwargs
        return responses if one else responses.defer("payload")

    @admin.display(description="What the server said last")
    def last_said(self, response: Response) -> str:
        return pretty(response.payload)


class CitationInline(ReadOnlyInline):
    model = Citation
    fields = ["number", "document_name", "page", "quote", "support"]
    show_change_link = False


@admin.register(Item)
class ItemAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "type", "role", "status", "conversation", "beginning"]
    list_filter = ["type", "role"]
    list_select_related = ["conversation"]
    search_fields = ["=call_id", "conversation__user__email"]
    ordering = ["-created_at"]
    inlines = [CitationInline]
    exclude = ["payload"]
    readonly_fields = ["verbatim"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Item]:
        items = super().get_queryset(request).select_related("conversation", "turn", "response", "tool_call")
        return items.filter(conversation__in=readable(request))

    @admin.display(description="Text")
    def beginning(self, item: Item) -> str:
        return excerpt(item.text)

    @admin.display(description="As the API has it")
    def verbatim(self, item: Item) -> str:
        return pretty(item.payload)
