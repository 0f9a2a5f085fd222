"""`{% has_memory as shows_memory %}`: whether the memory page is of use to whom a page is for."""

from django import template
from django.template import Context

from chat.selectors import facts
from core.models import User

register = template.Library()


@register.simple_tag(takes_context=True)
def has_memory(context: Context) -> bool:
    user = context.get("user")
    return isinstance(user, User) and facts.has_memory(user)
