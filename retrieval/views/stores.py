"""A store's settings: what it is, who has access, how long it is kept, whose it is, and its end."""

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from core.errors import InvalidInputError, NotFoundError
from core.http import answered, signed_in
from core.models.grants import Role
from retrieval import selectors, services
from retrieval.models import VectorStore
from retrieval.services import sharing
from retrieval.services.stores import uses_of
from retrieval.views.store_forms import EVERYONE, PERSON, KeepForm, SettingsForm, ShareForm, sentence


@require_http_methods(["GET", "HEAD", "POST"])
@answered
def settings(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    """What editors may change, and for owners all the rest. POST saves name, description and indexing."""
    store = _editable(request, store_id)
    if request.method != "POST":
        return _page(request, store, SettingsForm(store))
    form = SettingsForm(store, request.POST)
    if not form.is_valid():
        return _page(request, store, form, status=422)
    services.update_store(user=signed_in(request), store_id=store_id, changed=form.changed())
    messages.success(request, _("Saved."))
    return redirect("retrieval:store_settings", store_id)


@require_POST
@answered
def share(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    """POST `subject`, `email`, `role`. The answer to an address is the same whether anybody signs in with it."""
    form = ShareForm(signed_in(request), request.POST)
    if not form.is_valid():
        raise InvalidInputError(sentence(form))
    whom, role = form.whom(), Role(form.cleaned_data["role"])
    services.share_store(user=signed_in(request), store_id=store_id, subject=whom, role=role)
    if isinstance(whom, str):
        told = _(
            "Shared with %(who)s. Where nobody signs in with this address yet, it holds from the day somebody does."
        )
        messages.success(request, told % {"who": whom.strip().lower()})
    else:
        messages.success(request, _("Shared with %s.") % (whom or _("everyone who is signed in")))
    return _back(store_id, "access")


@require_POST
@answered
def change_share(request: HttpRequest, store_id: uuid.UUID, grant_id: uuid.UUID) -> HttpResponseBase:
    """POST `role` gives another one; POST `remove` takes it away."""
    user = signed_in(request)
    if "remove" in request.POST:
        services.unshare_store(user=user, store_id=store_id, grant_id=grant_id)
        messages.success(request, _("Access taken away."))
    elif request.POST.get("role") in Role.values:
        role = Role(request.POST["role"])
        services.change_share(user=user, store_id=store_id, grant_id=grant_id, role=role)
        messages.success(request, _("Changed."))
    else:
        raise InvalidInputError(_("Choose a role."))
    if not VectorStore.objects.visible_to(user, Role.EDITOR).filter(pk=store_id).exists():  # it was one's own
        return redirect("retrieval:library")
    return _back(store_id, "access")


@require_POST
@answered
def keep(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    """POST `how`, `until`, `days`."""
    form = KeepForm(request.POST)
    if not form.is_valid():
        raise InvalidInputError(sentence(form))
    services.keep_store(user=signed_in(request), store_id=store_id, **form.keeping())
    messages.success(request, _("Saved."))
    return _back(store_id, "keeping")


@require_POST
@answered
def offer(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    """POST `email`; an empty one withdraws the offer."""
    services.offer_store(user=signed_in(request), store_id=store_id, email=request.POST.get("email", ""))
    return _back(store_id, "giving")


@require_POST
@answered
def answer_offer(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    """POST `accept` or anything else."""
    accepts = "accept" in request.POST
    services.answer_offer(user=signed_in(request), store_id=store_id, accepts=accepts)
    messages.success(request, _("It is yours now.") if accepts else _("Declined."))
    return redirect("retrieval:store", store_id)


@require_POST
@answered
def delete_store(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    """POST `name`, which has to be the store's: a slip deletes nothing."""
    store = selectors.get_store(signed_in(request), store_id, Role.OWNER)
    if request.POST.get("name", "").strip() != store.name:
        raise InvalidInputError(_("Nothing was deleted: that is not the name of this vector store."))
    services.delete_store(user=signed_in(request), store_id=store_id)
    messages.success(request, _("“%s” is deleted.") % store.name)
    return redirect("retrieval:library")


def _editable(request: HttpRequest, store_id: uuid.UUID) -> VectorStore:
    store = selectors.get_store(signed_in(request), store_id, Role.EDITOR)
    if store.kind != VectorStore.Kind.LIBRARY:
        raise NotFoundError("There is no such vector store.")
    return store


def _back(store_id: uuid.UUID, section: str) -> HttpResponse:
    page = redirect("retrieval:store_settings", store_id)
    page.headers["Location"] += f"#{section}"
    return page


def _page(request: HttpRequest, store: VectorStore, form: SettingsForm, *, status: int = 200) -> HttpResponse:
    user = signed_in(request)
    is_owner = selectors.has_role(user, store, Role.OWNER)
    context: dict[str, Any] = {"page": "library", "store": store, "form": form, "is_owner": is_owner}
    if is_owner:
        context |= {
            "shares": sharing.shares(store),
            "groups": sharing.groups_of(user),
            "roles": Role.choices,
            "person": PERSON,
            "everyone": EVERYONE,
            "may_give": user.is_superuser or store.owner_id == user.pk,
            "how": "days" if store.keep_days else "date" if store.expires_at else "never",
            "until": store.expires_at and localtime(store.expires_at).date().isoformat(),
            "documents": selectors.store_documents(store).count(),
            "uses": uses_of(store, user),
        }
    return render(request, "retrieval/store_settings.html", context, status=status)
