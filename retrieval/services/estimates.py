"""What indexing a store anew will take, before it begins.

Chunks and the tokens of their texts are exact, from what is stored with each document. Tokens of the lines that go
before the texts are measured on a sample of chunks and carried over to all of them. What a server counts differs from
our count by its tokenizer (`EndpointModel.token_ratio`, where it was seen).
"""

import math
import uuid
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.db import connection
from django.db.models import QuerySet, Sum

from core.models import Endpoint, EndpointModel
from retrieval.chunking.piece import header_tokens
from retrieval.embeddings.batches import MAX_TEXTS, MAX_TOKENS
from retrieval.models import Document, Reindexing, VectorStore
from retrieval.models.reindexing import TELLING

SAMPLE = 500
_SAMPLED_STORES = 20
_PER_MILLION = Decimal(1_000_000)

# At even distances by id: a store's chunks were written document by document.
_HEADERS = """
SELECT chunk.header FROM unnest(%s::uuid[]) AS store
CROSS JOIN LATERAL (SELECT min(id) AS first, max(id) AS last FROM retrieval_chunk WHERE store_id = store) ids
CROSS JOIN generate_series(0, %s - 1) AS place
CROSS JOIN LATERAL (
    SELECT header FROM retrieval_chunk
    WHERE store_id = store AND id >= ids.first + (ids.last - ids.first) * place / greatest(%s - 1, 1)
    ORDER BY id LIMIT 1
) chunk
"""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens are those the server will count, as far as we know; `cost` is in US dollars, None without a price.

    `requests` is the least number of them. `duration` is at the speed that was last seen of this model, None where it
    was never used for this.
    """

    chunks: int
    tokens: int
    cost: Decimal | None
    requests: int
    duration: timedelta | None


def of_stores(stores: QuerySet[VectorStore], model: EndpointModel) -> Estimate:
    """What it takes to embed every chunk of `stores` with `model`."""
    live = Document.objects.live().filter(store__in=stores.order_by())
    counts = live.aggregate(chunks=Sum("chunk_count", default=0), tokens=Sum("token_count", default=0))
    chunks, tokens = counts["chunks"], counts["tokens"]
    tokens = round((tokens + chunks * _header_tokens(stores)) * model.token_ratio)
    is_asked = model.endpoint.provider != Endpoint.Provider.HASHING
    price = model.input_price if is_asked else Decimal(0)
    return Estimate(
        chunks=chunks,
        tokens=tokens,
        cost=None if price is None else price * tokens / _PER_MILLION,
        requests=max(math.ceil(chunks / MAX_TEXTS), math.ceil(tokens / MAX_TOKENS)) if is_asked else 0,
        duration=_duration(model, chunks),
    )


def _header_tokens(stores: QuerySet[VectorStore]) -> float:
    """How many tokens go before a chunk's text on average, in the largest of the stores."""
    sizes = Document.objects.live().filter(store__in=stores.order_by(), chunk_count__gt=0).order_by()
    largest = sizes.values("store").annotate(size=Sum("chunk_count")).order_by("-size")
    ids: list[uuid.UUID] = [row["store"] for row in largest[:_SAMPLED_STORES]]
    if not ids:
        return 0.0
    each = SAMPLE // len(ids)
    with connection.cursor() as cursor:
        cursor.execute(_HEADERS, [ids, each, each])
        headers = [header for (header,) in cursor.fetchall()]
    return sum(map(header_tokens, headers)) / len(headers) if headers else 0.0


def _duration(model: EndpointModel, chunks: int) -> timedelta | None:
    former = Reindexing.objects.filter(to_model=model, kind="model", done__gte=TELLING, seconds__gt=0)
    last = former.order_by("-served_at").first()
    return timedelta(seconds=last.seconds / last.done * chunks) if last is not None else None
