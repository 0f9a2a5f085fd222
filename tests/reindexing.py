"""What tests of reindexing share: stores to index anew, and people and workers who are busy with them."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from django.db import connections

from core import outbox
from core.models import EndpointModel, User
from retrieval.embeddings import embedder_for
from retrieval.models import Chunk, ChunkEmbedding, Document, Reindexing, VectorStore
from retrieval.search import Passage, Query, retrieve_now
from retrieval.selectors import embedding_target
from tests import factories
from tests.ingesting import put, work

# An answer that asks for more patience than one attempt has.
AWAY = {"status": 503, "headers": {"retry-after": "60"}, "endpoint": "embeddings"}
REFUSED = {"status": 401, "endpoint": "embeddings", "body": {"error": {"message": "Incorrect API key"}}}
DIMENSIONS = 96
QUESTION = "Which pilot guides ships past buoy 7 at high tide?"
Answer = tuple[tuple[int, float], ...]


def filled(person: User, model: EndpointModel, documents: int = 3) -> VectorStore:
    """A store of short chunks, each with a number of its own."""
    store = factories.store(owner=person, model=model, chunk_tokens=32, chunk_overlap=4)
    for number in range(documents):
        put(store, content(number), f"pilots-{number}.txt")
    work()
    return store


def content(number: int) -> bytes:
    return b"\n\n".join(b"Pilot %d-%d guides ships past buoy %d at high tide." % (number, n, n) for n in range(20))


def state(row: Reindexing) -> str:
    row.refresh_from_db()
    return row.state


def count(store: VectorStore, model: EndpointModel) -> int:
    return ChunkEmbedding.objects.filter(store=store, model=model).count()


def assert_searchable(store: VectorStore) -> None:
    """Every chunk has the vector that its store's model gives for it, and search finds one by it."""
    store.refresh_from_db()
    chunks = Chunk.objects.filter(store=store)
    texts = {chunk.pk: f"{chunk.header}\n{chunk.text}" for chunk in chunks}
    vectors = dict(
        ChunkEmbedding.objects.filter(store=store, model=store.embedding_model).values_list("chunk", "embedding")
    )
    assert vectors.keys() == texts.keys()
    assert vectors, "there is nothing to look at"
    model = EndpointModel.objects.select_related("endpoint").get(pk=store.embedding_model_id)
    made = embedder_for(embedding_target(model)).embed(list(texts.values()), kind="document")
    assert np.array([vectors[pk] for pk in texts]) == pytest.approx(made, abs=1e-3)
    some = chunks.order_by("?")[0]
    found = retrieve_now(Query.of(some.text), scope=VectorStore.objects.filter(pk=store.pk), limit=3)
    assert found[0].dense_score > 0.5


def ranked(found: Sequence[Passage]) -> Answer:
    return tuple((one.chunk_id, round(one.dense_score, 3)) for one in found)


def answers(store: VectorStore) -> Answer:
    """What a search of the store finds now: the best chunks with the cosines of their vectors."""
    return ranked(retrieve_now(Query.of(QUESTION), scope=VectorStore.objects.filter(pk=store.pk), limit=5))


def answers_elsewhere(store: VectorStore) -> Answer:
    """The same in a thread."""
    try:
        return answers(store)
    finally:
        connections.close_all()


@contextmanager
def searching(store: VectorStore) -> Iterator[list[Answer]]:
    """In this block a thread searches all the time; gives the answers. None of them may fail."""
    seen: list[Answer] = []
    over = threading.Event()

    def search() -> None:
        try:
            while not over.is_set():
                seen.append(answers(store))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(search)
        try:
            yield seen
        finally:
            over.set()
        task.result(timeout=60)


@contextmanager
def working() -> Iterator[None]:
    """In this block two workers do what is due, as threads of this process."""
    over = threading.Event()

    def run() -> None:
        try:
            while not over.is_set():
                if not outbox.run_one():
                    over.wait(0.02)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        tasks = [pool.submit(run) for _ in range(2)]
        try:
            yield
        finally:
            over.set()
        for task in tasks:
            task.result(timeout=60)


def ready(document: Document) -> bool:
    return Document.objects.get(pk=document.pk).state == "ready"
