"""How a store is indexed: its embedding model and the size of its chunks, changed while it answers on."""

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from core.errors import InvalidInputError
from core.http import answered, signed_in
from core.models import EndpointModel
from core.models.grants import Role
from retrieval import selectors
from retrieval.models import Reindexing, VectorStore
from retrieval.services import reindexing


class ModelForm(forms.Form):
    """Another model than the store has."""

    model = forms.ModelChoiceField(
        label=gettext_lazy("Another model"), queryset=EndpointModel.objects.none(), empty_label=None
    )

    def __init__(self, store: VectorStore, data: Any = None) -> None:
        super().__init__(data)
        field = self.fields["model"]
        if isinstance(field, forms.ModelChoiceField):
            field.queryset = selectors.embedding_models().exclude(pk=store.embedding_model.pk)


class ChunksForm(forms.Form):
    """Sizes of chunks; which of them make sense is the service's to say."""

    chunk_tokens = forms.IntegerField(
        label=gettext_lazy("Tokens per chunk at most"), min_value=32, max_value=4096, help_text="The default is 240."
    )
    chunk_overlap = forms.IntegerField(
        label=gettext_lazy("Tokens that neighbouring chunks share"), min_value=0, help_text="The default is 28."
    )


@require_http_methods(["GET", "HEAD", "POST"])
@answered
def indexing(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    """The store's index. POST `model` says what it takes; with the same in `start` it begins."""
    store = selectors.get_store(signed_in(request), store_id, Role.OWNER)
    if request.method != "POST":
        return _page(request, store)
    form = ModelForm(store, request.POST)
    if not form.is_valid():
        return _page(request, store, form=form, status=422)
    model: EndpointModel = form.cleaned_data["model"]
    # only what was shown can begin: another choice shows its own first
    if request.POST.get("start") != str(model.pk):
        estimate = reindexing.estimate(user=signed_in(request), store_id=store_id, model=model)
        return _page(request, store, form=form, model=model, estimate=estimate)
    reindexing.start(user=signed_in(request), store_id=store_id, model=model)
    return redirect("retrieval:indexing", store_id)


@require_POST
@answered
def rechunk(request: HttpRequest, store_id: uuid.UUID) -> HttpResponseBase:
    """POST `chunk_tokens`, `chunk_overlap`."""
    store = selectors.get_store(signed_in(request), store_id, Role.OWNER)
    form = ChunksForm(request.POST)
    if not form.is_valid():
        return _page(request, store, chunks=form, status=422)
    begun = reindexing.rechunk(user=signed_in(request), store_id=store_id, **form.cleaned_data)
    if begun is None:
        messages.success(request, _("Saved. No document had to be cut anew."))
    return redirect("retrieval:indexing", store_id)


@require_POST
@answered
def change_reindexing(request: HttpRequest, reindexing_id: uuid.UUID) -> HttpResponseBase:
    """POST `cancel` or `retry`."""
    for name, service in (("cancel", reindexing.cancel), ("retry", reindexing.retry)):
        if name in request.POST:
            return redirect("retrieval:indexing", _changed(service, request, reindexing_id).store_id)
    raise InvalidInputError("Say what to do: cancel or retry.")


def _changed(service: Any, request: HttpRequest, reindexing_id: uuid.UUID) -> Reindexing:
    row: Reindexing = service(user=signed_in(request), reindexing_id=reindexing_id)
    return row


def _page(request: HttpRequest, store: VectorStore, *, status: int = 200, **given: Any) -> HttpResponse:
    last = selectors.last_reindexing(signed_in(request), store.pk)
    sizes = {"chunk_tokens": store.chunk_tokens, "chunk_overlap": store.chunk_overlap}
    form = ModelForm(store)
    context = {
        "page": "library",
        "store": store,
        "last": last,
        "form": form,
        "has_choice": selectors.embedding_models().exclude(pk=store.embedding_model.pk).exists(),
        "chunks": ChunksForm(initial=sizes),
        **given,
    }
    if estimate := given.get("estimate"):
        context["duration"] = selectors.in_words(estimate.duration)
    return render(request, "retrieval/indexing.html", context, status=status)
