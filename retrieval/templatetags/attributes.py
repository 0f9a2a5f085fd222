"""Attributes as people write them."""

from typing import Any

from django import template

from retrieval.services.attributes import written

register = template.Library()


@register.filter
def as_lines(attributes: dict[str, Any]) -> str:
    """One attribute a line, as the form takes it."""
    return written(attributes)
