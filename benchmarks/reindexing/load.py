"""Fills a store, searches it all the time, and moves it: `python -m ... UPSTREAM_PORT CHUNKS SECONDS`.

Runs with the settings of the benchmark's own servers; a worker of theirs does the work. Output is JSON: the time of the
move, and how many searches there were before, during and after it, how long they took, and how many failed. Each asks
with the words of a chunk, whose vector is then the question's own: one that does not find it has failed.
"""

import itertools
import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator

import django
import numpy as np
import orjson

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import transaction  # noqa: E402 - models can be imported only after setup

from benchmarks.ingestion.upstream import DIMENSIONS  # noqa: E402
from core.models import EndpointModel  # noqa: E402
from retrieval.chunking import Piece  # noqa: E402
from retrieval.chunking.piece import embedding_text  # noqa: E402
from retrieval.ingestion.embedding import embed_texts  # noqa: E402
from retrieval.ingestion.rows import add_chunks, add_vectors, add_weights  # noqa: E402
from retrieval.models import Chunk, Document, Reindexing, Revision, VectorStore  # noqa: E402
from retrieval.search import Query, retrieve_now  # noqa: E402
from retrieval.services import reindexing  # noqa: E402
from tests import factories  # noqa: E402

PER_DOCUMENT = 1000
WORDS = 60
LIMIT = 5
# The cosine of a vector with itself, in halves.
SAME = 0.99


def _pieces(rng: np.random.Generator) -> list[Piece]:
    made = []
    for number, words in enumerate(rng.integers(0, 30_000, (PER_DOCUMENT, WORDS))):
        text = " ".join(f"w{word:x}" for word in words)
        at = number * 2000
        made.append(
            Piece(
                start=at,
                end=at + len(text),
                page_start=None,
                page_end=None,
                heading_path=(),
                tokens=240,
                text=text,
                header="A document of the benchmark",
            )
        )
    return made


def _fill(store: VectorStore, chunks: int) -> None:
    """Write documents as ingestion does, but for reading them; few weights, since words are not what is measured."""
    rng = np.random.default_rng(11)
    for number in range(chunks // PER_DOCUMENT):
        document = factories.document(store, text=f"Document {number}", state=Document.State.READY)
        revision = Revision.objects.get(document=document)
        pieces = _pieces(rng)
        vectors = embed_texts(store.embedding_model, [piece.embedding_text for piece in pieces])
        with transaction.atomic():
            ids = add_chunks(document.pk, revision, pieces, store=store.pk)
            add_vectors(ids, store.pk, store.embedding_model.pk, vectors)
            add_weights(ids, store.pk, [{1 + place % 97: 0.5} for place in range(len(ids))], "")
            counts = {"chunk_count": len(ids), "token_count": 240 * len(ids)}
            Document.objects.filter(pk=document.pk).update(**counts)


def _searches(store: VectorStore, until: Callable[[], bool]) -> Iterator[tuple[float, bool]]:
    """Milliseconds and rightness of one search after the other."""
    scope = VectorStore.objects.filter(pk=store.pk)
    asked = Chunk.objects.filter(store=store, position=0).values_list("header", "text")
    for header, text in itertools.cycle(list(asked)):
        if until():
            return
        query = Query(dense=((embedding_text(header, text), 1.0),), lexical=text[:20])
        begun = time.perf_counter()
        found = retrieve_now(query, scope=scope, limit=LIMIT)
        yield 1000 * (time.perf_counter() - begun), bool(found) and max(one.dense_score for one in found) > SAME


def _figures(searches: Iterator[tuple[float, bool]]) -> dict[str, float]:
    times, right = zip(*searches, strict=True)
    p50, p95 = np.percentile(times, [50, 95])
    return {
        "searches": len(times),
        "p50_ms": round(float(p50), 1),
        "p95_ms": round(float(p95), 1),
        "longest_ms": round(max(times), 1),
        "failed": right.count(False),
    }


def _for(seconds: float) -> Callable[[], bool]:
    ends = time.monotonic() + seconds
    return lambda: time.monotonic() > ends


def measure(port: int, chunks: int, seconds: float) -> dict[str, object]:
    owner = factories.user("bench-owner@example.org")
    endpoint = factories.responses_endpoint(f"http://127.0.0.1:{port}/v1")
    models: list[EndpointModel] = [
        factories.embedding_model(endpoint=endpoint, name=name, dimensions=DIMENSIONS) for name in ("old", "new")
    ]
    store = factories.store(owner=owner, model=models[0])
    _fill(store, chunks)
    urllib.request.urlopen(f"http://127.0.0.1:{port}/reset", timeout=10).close()
    before = _figures(_searches(store, _for(seconds)))
    row = reindexing.start(user=owner, store_id=store.pk, model=models[1])
    begun = time.monotonic()

    def switched() -> bool:
        return Reindexing.objects.get(pk=row.pk).state not in Reindexing.WORKING

    during = _figures(_searches(store, switched))
    took = time.monotonic() - begun
    row.refresh_from_db()
    if row.state != Reindexing.State.SWITCHING:
        raise SystemExit(f"It ended as {row.state}: {row.error_message}")
    after = _figures(_searches(store, _for(seconds)))
    return {"chunks": row.done, "seconds": round(took, 1), "before": before, "during": during, "after": after}


if __name__ == "__main__":
    print(orjson.dumps(measure(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))).decode())
