"""What is done to many documents of a store at once."""

import uuid
from dataclasses import asdict
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_POST

from core.errors import InvalidInputError
from core.http import answered, signed_in, wants_json
from retrieval import services
from retrieval.selectors import DocumentFilter

# More ids than this are no selection made by hand on one page.
MAX_CHOSEN = 500
# The whole of what failed, whatever the list shows.
_ALL_FAILED = "retry_failed"


@require_POST
@answered
def bulk(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    """POST `action` (delete, retry, move, attributes) with each `id`, or `all=1` for the list that the address means.

    Moving takes `store`, attributes `lines` that are added to what there is.

    `action=retry_failed` tries all again that failed. One request does a part: `{done, refused: [{document, name,
    message}], left, after}`; the next one carries `after` on. Without a script a form leads back to the list.
    """
    action = request.POST.get("action", "")
    outcome = services.act_on_documents(
        user=signed_in(request),
        store_id=store_id,
        action="retry" if action == _ALL_FAILED else action,
        chosen=_chosen(request, action),
        after=_id(request.POST["after"]) if request.POST.get("after") else None,
        arguments=_arguments(request, action),
    )
    if wants_json(request):
        return JsonResponse(asdict(outcome))
    for refusal in outcome.refused:
        messages.warning(request, f"{refusal.name}: {refusal.message}")
    said = ngettext("Done with %(number)d document.", "Done with %(number)d documents.", outcome.done)
    messages.success(request, said % {"number": outcome.done})
    if outcome.left:
        messages.info(request, gettext("%(number)d are left; do it again for them.") % {"number": outcome.left})
    back = redirect("retrieval:store", store_id)
    back.headers["Location"] += f"?{query}" if (query := DocumentFilter.from_query(request.GET).query()) else ""
    return back


def _arguments(request: HttpRequest, action: str) -> dict[str, Any]:
    if action == "move":
        return {"store_id": _id(request.POST.get("store", ""))}
    if action == "attributes":
        wanted = services.read_attributes(request.POST.get("lines", ""))
        if not wanted:
            raise InvalidInputError("Write an attribute: a name, a colon and a value.")
        return {"attributes": wanted}
    return {}


def _chosen(request: HttpRequest, action: str) -> list[uuid.UUID] | DocumentFilter:
    if action == _ALL_FAILED:
        return DocumentFilter(state="failed")
    if request.POST.get("all"):
        return DocumentFilter.from_query(request.GET)
    given = request.POST.getlist("id")
    if not given:
        raise InvalidInputError("Choose documents first.")
    if len(given) > MAX_CHOSEN:
        raise InvalidInputError(f"At most {MAX_CHOSEN} documents can be chosen one by one.")
    return [_id(each) for each in given]


def _id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise InvalidInputError("This is no id.") from error
