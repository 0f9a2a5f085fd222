"""The vectors of facts, under the site's embedding model. Those of another model are made anew before they count."""

import uuid

from django.db.models import Q
from django.db.models.functions import Now
from pgvector import HalfVector

from chat.models import Fact
from core.endpoints import default_model
from core.models import EndpointModel
from retrieval.ingestion.embedding import embed_texts

# Facts between two writes, so that a long list is not lost as a whole.
STRIDE = 100


def present_model() -> EndpointModel:
    """The site's embedding model, as new vector stores have it. Raises `NoModelError` where there is none."""
    return default_model(EndpointModel.Purpose.EMBEDDING)


def embed_facts(user: uuid.UUID) -> int:
    """Give a person's facts vectors of the present model where they lack them; returns how many got one.

    A fact that was put into other words meanwhile is left for the next time. Raises `NoModelError` and EmbeddingError.
    """
    model = present_model()
    waiting = Fact.objects.filter(~Q(embedding_model=model) | Q(embedding_model=None), user=user, superseded_by=None)
    facts = list(waiting.order_by("created_at").values_list("pk", "text"))
    done = 0
    for first in range(0, len(facts), STRIDE):
        some = facts[first : first + STRIDE]
        vectors = embed_texts(model, [text for _, text in some])
        for (fact, text), vector in zip(some, vectors, strict=True):
            same = Fact.objects.filter(pk=fact, text=text)
            done += same.update(embedding=HalfVector(vector), embedding_model=model, updated_at=Now())
    return done
