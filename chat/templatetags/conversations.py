"""`{% listed_conversations as listed %}`: the sidebar's list, also on pages of rooms that know no conversations."""

from django import template
from django.template import Context

from chat.rendering.pages import Entries, conversation_entries
from core.models import User

register = template.Library()


@register.simple_tag(takes_context=True)
def listed_conversations(context: Context) -> Entries:
    """The `entries` that the view chose, else the first page of the list of whom the page is for."""
    if "entries" in context:
        return Entries(context["entries"], context.get("more_entries_url"))
    user = context["request"].user
    return conversation_entries(user) if isinstance(user, User) else Entries([], None)
