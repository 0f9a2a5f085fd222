"""One thing done to what was chosen in a list, as the person who asks; what could not be done is said by name."""

import uuid
from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _

from core.errors import ParleyError

# What one request does: each is a transaction of its own, and the page waits for all of them.
MOST = 200
# Refusals that are told one by one.
MOST_NAMED = 20


def too_many(page: "admin.ModelAdmin[Any]", request: HttpRequest, rows: QuerySet[Any, Any]) -> bool:
    """Whether more was chosen than one request does; that is said, then."""
    number = rows.count()
    if number > MOST:
        text = _("Choose %(most)d at most; these are %(number)d. Nothing was done.")
        page.message_user(request, text % {"most": MOST, "number": number}, messages.WARNING)
    return number > MOST


def for_each(
    page: "admin.ModelAdmin[Any]",
    request: HttpRequest,
    chosen: QuerySet[Any, tuple[uuid.UUID, str]],
    do: Callable[[uuid.UUID], Any],
    told: str,
) -> None:
    """Call `do` with the id of each of `chosen`, pairs of id and name; `told` says how many it was done to."""
    if too_many(page, request, chosen):
        return
    refused = []
    done = 0
    for pk, name in chosen:
        try:
            do(pk)
            done += 1
        except ParleyError as error:
            refused.append(f"{name}: {error.message}")
    for sentence in refused[:MOST_NAMED]:
        page.message_user(request, sentence, messages.WARNING)
    if len(refused) > MOST_NAMED:
        page.message_user(request, _("And %d more were refused.") % (len(refused) - MOST_NAMED), messages.WARNING)
    if done:
        page.message_user(request, told % done, messages.SUCCESS)
