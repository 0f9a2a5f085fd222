"""What addresses for scripts do alike: who is asking (RFC 6750, "Bearer"), errors as JSON, lists in parts.

A session's cookie counts for nothing here, so no page of another site can make a browser ask in its user's name.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from core.accounts.access import find_access_token
from core.errors import InvalidInputError, NotFoundError, ParleyError
from core.http import error_json
from core.models import AccessToken, User

View = Callable[..., HttpResponseBase]
M = TypeVar("M", bound=Model)

PER_PAGE = 20
MAX_PER_PAGE = 100
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def address(**methods: View) -> View:
    """Return the view of one address from what each method does; `view(request, user=…, **arguments)`.

    GET needs a token to read with, everything else one to change with. HEAD is answered like GET.
    """
    allowed = sorted({*methods, *(["HEAD"] if "GET" in methods else [])})

    @csrf_exempt
    @never_cache
    def answer(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
        token = _token(request)
        if token is None:
            return _unauthorised()
        view = methods.get("GET" if request.method == "HEAD" else request.method or "")
        if view is None:
            return _wrong_method(allowed)
        if refusal := _beyond(token, request):
            return refusal
        request.user = token.user
        try:
            return view(request, user=token.user, **arguments)
        except ParleyError as error:
            return error_json(error)

    return answer


def with_token(view: View) -> View:
    """Let scripts into a view that answers in its own protocol and asks `request.user` who it is.

    What only reads (RFC 9110, "Safe Methods") needs a token to read with, everything else one to change with.
    """

    @csrf_exempt
    @wraps(view)
    def answer(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
        token = _token(request)
        if token is None:
            return _unauthorised()
        if refusal := _beyond(token, request):
            return refusal
        request.user = token.user
        return view(request, **arguments)

    return answer


@csrf_exempt
def no_such_address(request: HttpRequest, **_arguments: Any) -> HttpResponseBase:
    """Answer for addresses that are none, in the way of those that are."""
    return _unauthorised() if _token(request) is None else error_json(NotFoundError("There is no such address."))


def listed(
    request: HttpRequest, rows: "QuerySet[M]", shape: Callable[[M], Mapping[str, Any]], *, newest_by: str = "created_at"
) -> JsonResponse:
    """Answer with a part of `rows`, the newest first: `{data, has_more, last_id}`.

    `?limit=` (1 to MAX_PER_PAGE) and `?after=`, the id of the last one of the part before. Raises InvalidInputError.
    """
    limit = _limit(request.GET.get("limit", ""))
    part = rows.order_by(f"-{newest_by}", "pk")
    if after := request.GET.get("after", ""):
        part = part.filter(_behind(rows, after, newest_by))
    found: Sequence[M] = list(part[: limit + 1])
    shown = found[:limit]
    last = str(shown[-1].pk) if shown else None
    data = [shape(row) for row in shown]
    return JsonResponse({"object": "list", "data": data, "has_more": len(found) > limit, "last_id": last})


def _behind(rows: "QuerySet[M]", after: str, newest_by: str) -> Q:
    try:
        key = uuid.UUID(after)
    except ValueError as error:
        raise InvalidInputError("`after` is the id of the last object of the part before.") from error
    moment = rows.filter(pk=key).values_list(newest_by, flat=True).first()
    if moment is None:
        raise InvalidInputError("The object named by `after` is not in this list (any more).")
    return Q(**{f"{newest_by}__lt": moment}) | Q(**{newest_by: moment}, pk__gt=key)


def _limit(given: str) -> int:
    limit = int(given) if given.isascii() and given.isdigit() and len(given) < 5 else 0
    if given and not 1 <= limit <= MAX_PER_PAGE:
        raise InvalidInputError(f"`limit` is a number from 1 to {MAX_PER_PAGE}.")
    return limit or PER_PAGE


def _token(request: HttpRequest) -> AccessToken | None:
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    return find_access_token(secret.strip()) if kind.lower() == "bearer" else None


def _beyond(token: AccessToken, request: HttpRequest) -> JsonResponse | None:
    if request.method in _READING or token.scope == AccessToken.Scope.WRITE:
        return None
    return _refusal("insufficient_scope", "This token may read only.", 403)


def _wrong_method(allowed: Sequence[str]) -> JsonResponse:
    refusal = _refusal("method_not_allowed", f"This address takes {', '.join(allowed)}.", 405)
    refusal.headers["Allow"] = ", ".join(allowed)
    return refusal


def _unauthorised() -> JsonResponse:
    message = "Send a personal access token that is still valid: Authorization: Bearer parley_…"
    refusal = _refusal("not_authenticated", message, 401)
    refusal.headers["WWW-Authenticate"] = 'Bearer realm="Parley"'
    return refusal


def _refusal(code: str, message: str, status: int) -> JsonResponse:
    return JsonResponse({"code": code, "message": message, "retryable": False}, status=status)


def person(user: User | None) -> str | None:
    """A person as other people may know them: the e-mail address."""
    return user.email if user else None
