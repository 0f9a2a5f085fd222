"""Which embedding models a store needs vectors of while it is on its way to another one."""

import uuid

from django.db.models import Q

from core.models import EndpointModel
from retrieval.models import Reindexing, VectorStore

State = Reindexing.State


def second_model(store: uuid.UUID) -> EndpointModel | None:
    """The model, with its endpoint, that a document of the store is to be embedded with as well.

    None also while its server is waited for: a document does not wait with it, and its vectors are made later.
    """
    moving = Reindexing.objects.filter(store=store, kind="model", state__in=Reindexing.WORKING, error_message="")
    row = moving.select_related("to_model__endpoint").first()
    return row.to_model if row is not None else None


def kept_models(store: VectorStore) -> set[uuid.UUID]:
    """The models whose vectors the store keeps. Under the lock of the store, which all take who change that."""
    opened = Reindexing.objects.filter(Q(state=State.FAILED) | Q(state__in=Reindexing.WORKING), store=store.pk)
    switching = Reindexing.objects.filter(store=store.pk, state=State.SWITCHING)
    return {
        store.embedding_model_id,
        *opened.values_list("to_model", flat=True),
        *switching.values_list("from_model", flat=True),
    }
