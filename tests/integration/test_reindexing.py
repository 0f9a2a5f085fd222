"""Another embedding model for a store that is in use: made beside the old one, switched to at once, never lost."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.utils import timezone

from core import outbox
from core.errors import ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError
from core.models import EndpointModel, User, Work
from core.models.grants import Role
from core.tokens import count_tokens
from retrieval import services
from retrieval.embeddings import embedder_for
from retrieval.errors import EmbeddingError
from retrieval.ingestion import reindexing as machinery
from retrieval.ingestion.reindexing import lane, vectors
from retrieval.models import Chunk, ChunkEmbedding, Document, Reindexing, VectorStore
from retrieval.search import Passage, Query, retrieve_now
from retrieval.selectors import embedding_target
from retrieval.services import reindexing
from tests import factories
from tests.ingesting import assert_whole, let_time_pass, put, work
from tests.killed_workers import expire, worker
from tests.responses_server import ResponsesServer
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

# An answer that asks for more patience than one attempt has.
AWAY = {"status": 503, "headers": {"retry-after": "60"}, "endpoint": "embeddings"}
REFUSED = {"status": 401, "endpoint": "embeddings", "body": {"error": {"message": "Incorrect API key"}}}
DIMENSIONS = 96


@pytest.fixture
def person() -> User:
    return factories.user()


@pytest.fixture
def second(responses_server: ResponsesServer) -> Iterator[ResponsesServer]:
    """A server whose vectors have another length."""
    server = ResponsesServer(dimensions=DIMENSIONS)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def old(upstream: ResponsesServer) -> EndpointModel:
    return factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url), name="old")


@pytest.fixture
def new(second: ResponsesServer) -> EndpointModel:
    endpoint = factories.responses_endpoint(second.base_url)
    return factories.embedding_model(endpoint=endpoint, name="new", input_price=Decimal("0.02"))


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


class TestTheWholeWay:
    def test_from_one_model_to_another_and_nothing_is_left(
        self, person: User, old: EndpointModel, new: EndpointModel, second: ResponsesServer
    ) -> None:
        store = filled(person, old)
        chunks = Chunk.objects.filter(store=store).count()
        row = reindexing.start(user=person, store_id=store.pk, model=new)
        assert (row.state, row.total, count(store, new)) == ("planned", chunks, 0)
        assert len(second.entries) == 1, "one text was tried before anything began"
        work()
        assert state(row) == "switching"
        assert (row.done, row.total, row.error_message) == (chunks, chunks, "")
        # both stand beside each other until nobody can be searching with the old one
        assert count(store, old) == count(store, new) == chunks
        assert_searchable(store)
        assert store.embedding_model == new
        assert EndpointModel.objects.get(pk=new.pk).dimensions == DIMENSIONS
        Reindexing.objects.update(due_at=timezone.now())
        let_time_pass()
        work()
        assert state(row) == "done"
        assert (count(store, old), count(store, new)) == (0, chunks)
        assert not Work.objects.exists()
        assert row.finished_at
        assert row.cost == row.tokens * row.price / 1_000_000

    def test_what_was_embedded_is_what_is_counted(self, person: User, old: EndpointModel, new: EndpointModel) -> None:
        store = filled(person, old)
        estimated = reindexing.estimate(user=person, store_id=store.pk, model=new)
        row = reindexing.start(user=person, store_id=store.pk, model=new)
        work()
        row.refresh_from_db()
        texts = [f"{chunk.header}\n{chunk.text}" for chunk in Chunk.objects.filter(store=store)]
        exact = sum(map(count_tokens, texts))
        assert row.tokens == pytest.approx(exact, rel=0.005)
        assert estimated.tokens == pytest.approx(exact, rel=0.02)
        assert estimated.chunks == len(texts)
        assert estimated.requests == 1
        assert float(estimated.cost or 0) == pytest.approx(exact * 0.02 / 1e6, rel=0.02)
        assert estimated.duration is None

    def test_a_conversations_files_and_an_empty_store(
        self, person: User, old: EndpointModel, new: EndpointModel
    ) -> None:
        dropped = filled(person, old, documents=1)
        VectorStore.objects.filter(pk=dropped.pk).update(kind="conversation")
        empty = factories.store(owner=person, model=old)
        for store in (dropped, empty):
            reindexing.start(user=person, store_id=store.pk, model=new)
        work()
        assert set(VectorStore.objects.values_list("embedding_model", flat=True)) == {new.pk}
        assert_searchable(dropped)

    def test_every_store_of_a_model(self, person: User, old: EndpointModel, new: EndpointModel) -> None:
        stores = [filled(factories.user(), old, documents=1) for _ in range(3)]
        other = filled(person, factories.embedding_model(), documents=1)
        with pytest.raises(PermissionDeniedError):
            reindexing.start_every(user=person, from_model=old, to_model=new)
        assert reindexing.start_every(user=factories.superuser(), from_model=old, to_model=new) == 3
        assert reindexing.start_every(user=factories.superuser(), from_model=old, to_model=new) == 0
        work()
        for store in stores:
            assert_searchable(store)
            assert store.embedding_model == new
        assert VectorStore.objects.get(pk=other.pk).embedding_model == other.embedding_model

    def test_there_and_back_again(self, person: User, old: EndpointModel, new: EndpointModel) -> None:
        store = filled(person, old, documents=1)
        reindexing.start(user=person, store_id=store.pk, model=new)
        work()
        with pytest.raises(ConflictError, match="just switched"):
            reindexing.start(user=person, store_id=store.pk, model=old)
        Reindexing.objects.update(due_at=timezone.now())
        let_time_pass()
        work()
        reindexing.start(user=person, store_id=store.pk, model=old)
        work()
        assert_searchable(store)
        assert store.embedding_model == old


class TestInUse:
    """While workers do it, people search, upload and delete."""

    def test_every_search_is_right_by_one_model(
        self, person: User, old: EndpointModel, new: EndpointModel, second: ResponsesServer
    ) -> None:
        """Searches go on through the whole of it; each finds what the old or the new model finds, never both."""
        store = filled(person, old)
        before = answers(store)
        row = reindexing.start(user=person, store_id=store.pk, model=new)
        with searching(store) as seen:
            wait_until(lambda: len(seen) > 3)
            second.script({"hold": "half", "endpoint": "embeddings"})
            with working():
                wait_until(lambda: len(second.entries) > 1)
                so_far = len(seen)
                wait_until(lambda: len(seen) > so_far + 3)
                assert state(row) == "running"
                second.let_go("half")
                wait_until(lambda: state(row) == "switching")
            so_far = len(seen)
            wait_until(lambda: len(seen) > so_far + 3)
        after = answers(store)
        assert before != after, "the two models cannot be told apart"
        assert set(seen) == {before, after}
        assert list(seen) == sorted(seen, key=lambda found: found == after), "it went back and forth"

    def test_a_search_that_began_before_the_switch(
        self, person: User, old: EndpointModel, new: EndpointModel, upstream: ResponsesServer
    ) -> None:
        """The question is being embedded with the old model while the store moves to the new one."""
        store = filled(person, old)
        before, asked = answers(store), len(upstream.entries)
        upstream.script({"hold": "question", "endpoint": "embeddings", "when_text": QUESTION})
        with ThreadPoolExecutor(1) as pool:
            begun = pool.submit(answers_elsewhere, store)
            upstream.await_requests(asked + 1)
            row = reindexing.start(user=person, store_id=store.pk, model=new)
            work()
            assert state(row) == "switching"
            upstream.let_go("question")
            assert begun.result(timeout=60) == before
        assert answers(store) != before

    def test_what_comes_and_goes_meanwhile(
        self, person: User, old: EndpointModel, new: EndpointModel, second: ResponsesServer
    ) -> None:
        store = filled(person, old)
        leaving = Document.objects.filter(store=store).order_by("created_at")[0]
        replaced = Document.objects.filter(store=store).order_by("created_at")[1]
        reindexing.start(user=person, store_id=store.pk, model=new)
        second.script({"hold": "first", "endpoint": "embeddings", "when_text": "Pilot 0-0"})
        with working():
            wait_until(lambda: len(second.entries) > 1)
            # its vectors are on their way, its chunks go
            services.delete_document(user=person, document_id=leaving.pk)
            Document.objects.filter(pk=replaced.pk).update(state="queued")
            outbox.enqueue(kind="retrieval.ingest", subject=replaced.pk)
            added = put(store, content(7), "added.txt")
            wait_until(lambda: ready(added) and ready(replaced) and not Document.objects.filter(pk=leaving.pk).exists())
            added_chunks = Chunk.objects.filter(document=added)
            assert ChunkEmbedding.objects.filter(chunk__in=added_chunks, model=old).count() == len(added_chunks)
            assert ChunkEmbedding.objects.filter(chunk__in=added_chunks, model=new).count() == len(added_chunks)
            second.let_go("first")
            wait_until(lambda: Reindexing.objects.get().state == "switching")
        assert_searchable(store)
        assert_whole(added)
        assert_whole(replaced)

    def test_uploads_do_not_wait_for_all_of_it(self, person: User, old: EndpointModel, new: EndpointModel) -> None:
        """After each stride what was asked for before comes first, also where one worker does everything."""
        stores = [filled(person, old, documents=1) for _ in range(3)]
        for store in stores:
            reindexing.start(user=person, store_id=store.pk, model=new)
        assert Work.objects.filter(kind=machinery.REINDEX).count() == 1
        document = put(factories.store(owner=person), content(1), "waiting.txt")
        assert outbox.run_one()
        assert outbox.run_one()
        assert ready(document)
        assert Reindexing.objects.filter(state="planned").count() == 2

    def test_a_document_read_meanwhile_waits_for_no_server_that_is_away(
        self, person: User, old: EndpointModel, new: EndpointModel, second: ResponsesServer
    ) -> None:
        store = filled(person, old, documents=1)
        row = reindexing.start(user=person, store_id=store.pk, model=new)
        second.script({**AWAY, "always": True})
        assert outbox.run_one()
        assert state(row) == "running"
        assert "503" in row.error_message
        asked = len(second.entries)
        added = put(store, content(7), "added.txt")
        work()
        assert ready(added)
        assert len(second.entries) == asked


class TestFailures:
    def test_a_model_that_does_not_answer_fails_before_it_begins(
        self, person: User, old: EndpointModel, new: EndpointModel, second: ResponsesServer
    ) -> None:
        store = filled(person, old, documents=1)
        second.script(REFUSED)
        with pytest.raises(EmbeddingError, match="key"):
            reindexing.start(user=person, store_id=store.pk, model=new)
        EndpointModel.objects.filter(pk=new.pk).update(dimensions=DIMENSIONS + 1)
        new.refresh_from_db()
        with pytest.raises(EmbeddingError, match="numbers"):
            reindexing.start(user=person, store_id=store.pk, model=new)
        assert not Reindexing.objects.exists()
        assert not Work.objects.exists()

    def test_it_fails_midway_and_goes_on_where_it_stopped(
        self, person: User, old: EndpointModel, new: EndpointModel, second: ResponsesServer
    ) -> None:
        store = factories.store(owner=person, model=old, chunk_tokens=32, chunk_overlap=0)
        put(store, b"\n\n".join(b"Buoy %d lies %d fathoms off the pier." % (n, n * n) for n in range(2600)), "long.txt")
        work()
        before = answers(store)
        row = reindexing.start(user=person, store_id=store.pk, model=new)
        assert row.total > vectors.BATCH + 10
        asked = len(second.entries)
        second.script({**REFUSED, "when_text": "Buoy 2599 "})
        work()
        assert state(row) == "failed"
        assert (row.error_code, row.error_message) == (
            "embedding_key",
            "The embeddings server does not accept the key.",
        )
        assert count(store, new) % vectors.BATCH == 0 < count(store, new) < row.total
        assert answers(store) == before
        assert count(store, old) == row.total
        assert not Work.objects.exists()
        reindexing.retry(user=person, reindexing_id=row.pk)
        work()
        assert state(row) == "switching"
        assert_searchable(store)
        sent = [text for entry in second.entries[asked:] for text in entry.body["input"]]
        assert sum("Buoy 0 " in text for text in sent) == 2, "once for the store, once to look at it here"
        assert sum("Buoy 2599 " in text for text in sent) == 3

    def test_a_server_that_is_away_is_waited_for_and_then_given_up(
        self, person: User, old: EndpointModel, new: EndpointModel, second: ResponsesServer
    ) -> None:
        store = filled(person, old, documents=1)
        row = reindexing.start(user=person, store_id=store.pk, model=new)
        second.script({**AWAY, "always": True})
        for tried in range(1, len(lane.DELAYS) + 1):
            work()
            assert (state(row), row.retries) == ("running", tried)
            assert row.due_at > timezone.now()
            Reindexing.objects.update(due_at=timezone.now())
            let_time_pass()
        work()
        assert (state(row), row.error_code) == ("failed", "embedding_unavailable")
        assert not Work.objects.exists()

    def test_vectors_of_another_length_midway(
        self, person: User, old: EndpointModel, new: EndpointModel, second: ResponsesServer
    ) -> None:
        store = filled(person, old, documents=1)
        row = reindexing.start(user=person, store_id=store.pk, model=new)
        other = {"data": [{"index": 0, "embedding": [0.5, 0.5]}]}
        texts = Chunk.objects.filter(store=store).count()
        body = {"data": [{**other["data"][0], "index": at} for at in range(texts)]}
        second.script({"endpoint": "embeddings", "body": body})
        work()
        assert (state(row), row.error_code) == ("failed", "embedding_dimension")
        assert count(store, new) == 0
        assert_searchable(store)

    def test_killed_with_9_another_worker_goes_on(
        self,
        person: User,
        old: EndpointModel,
        new: EndpointModel,
        second: ResponsesServer,
    ) -> None:
        store = filled(person, old)
        row = reindexing.start(user=person, store_id=store.pk, model=new)
        second.script({"hold": "never", "endpoint": "embeddings"})
        with worker():
            wait_until(lambda: len(second.entries) > 1)
        expire()
        work()
        assert (state(row), row.strides) == ("switching", 0)
        assert_searchable(store)

    def test_workers_that_die_over_it_three_times(
        self, person: User, old: EndpointModel, new: EndpointModel, second: ResponsesServer
    ) -> None:
        """It is given up, another store goes on, and a person may try again."""
        store, other = filled(person, old, documents=1), filled(person, old, documents=1)
        row = reindexing.start(user=person, store_id=store.pk, model=new)
        asked = len(second.entries)
        for killed in (1, 2, 3):
            second.script({"hold": "never", "endpoint": "embeddings"})
            with worker():
                second.await_requests(asked + killed)
            assert (state(row), row.strides) == ("running", killed)
            expire()
        reindexing.start(user=person, store_id=other.pk, model=new)
        work()
        assert (state(row), row.error_code) == ("failed", "worker_lost")
        assert_searchable(other)
        assert other.embedding_model == new
        reindexing.retry(user=person, reindexing_id=row.pk)
        work()
        assert_searchable(store)
        assert store.embedding_model == new

    def test_taken_over_the_first_worker_writes_nothing(
        self, person: User, old: EndpointModel, new: EndpointModel, second: ResponsesServer
    ) -> None:
        store = filled(person, old)
        row = reindexing.start(user=person, store_id=store.pk, model=new)
        second.script({"hold": "slow", "endpoint": "embeddings"})
        with working():
            wait_until(lambda: len(second.entries) > 1)
            Work.objects.filter(state="running").update(lease_until=timezone.now() - timedelta(seconds=1))
            outbox.relay()
            wait_until(lambda: state(row) == "switching")
            second.let_go("slow")
        assert_searchable(store)

    def test_what_nobody_foresaw(self, person: User, old: EndpointModel, new: EndpointModel) -> None:
        store = filled(person, old, documents=1)
        row = reindexing.start(user=person, store_id=store.pk, model=new)
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE retrieval_reindexing ADD CONSTRAINT bad_luck CHECK (done < 1) NOT VALID")
        try:
            work()
        finally:
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE retrieval_reindexing DROP CONSTRAINT bad_luck")
        assert (state(row), row.error_code) == ("failed", "internal")
        assert "bad_luck" not in row.error_message
        assert_searchable(store)


class TestCancelling:
    def test_the_new_vectors_go(
        self, person: User, old: EndpointModel, new: EndpointModel, second: ResponsesServer
    ) -> None:
        store = filled(person, old)
        row = reindexing.start(user=person, store_id=store.pk, model=new)
        second.script({**REFUSED, "when_text": "Pilot 2-0"})
        work()
        reindexing.retry(user=person, reindexing_id=row.pk)
        reindexing.cancel(user=person, reindexing_id=row.pk)
        work()
        assert state(row) == "cancelled"
        assert count(store, new) == 0
        assert_searchable(store)
        assert store.embedding_model == old
        assert not Work.objects.exists()
        with pytest.raises(ConflictError):
            reindexing.cancel(user=person, reindexing_id=row.pk)
        with pytest.raises(ConflictError):
            reindexing.retry(user=person, reindexing_id=row.pk)

    def test_while_a_worker_waits_for_the_server(
        self, person: User, old: EndpointModel, new: EndpointModel, second: ResponsesServer
    ) -> None:
        store = filled(person, old)
        row = reindexing.start(user=person, store_id=store.pk, model=new)
        second.script({"hold": "slow", "endpoint": "embeddings"})
        with working():
            wait_until(lambda: len(second.entries) > 1)
            reindexing.cancel(user=person, reindexing_id=row.pk)
            second.let_go("slow")
            wait_until(lambda: not Work.objects.exists())
        assert state(row) == "cancelled"
        assert count(store, new) == 0

    def test_the_store_is_deleted_meanwhile(
        self, person: User, old: EndpointModel, new: EndpointModel, second: ResponsesServer
    ) -> None:
        store, other = filled(person, old), filled(person, old, documents=1)
        for one in (store, other):
            reindexing.start(user=person, store_id=one.pk, model=new)
        second.script({"hold": "slow", "endpoint": "embeddings"})
        with working():
            wait_until(lambda: len(second.entries) > 2)
            services.delete_store(user=person, store_id=store.pk)
            wait_until(lambda: not VectorStore.objects.filter(pk=store.pk).exists())
            second.let_go("slow")
            wait_until(lambda: Reindexing.objects.filter(store=other, state="switching").exists())
        assert_searchable(other)
        assert other.embedding_model == new


class TestRules:
    def test_who_may(self, new: EndpointModel) -> None:
        people = factories.cast()
        store = factories.store(owner=people.owner)
        factories.grant(store, people.teammate, Role.EDITOR)
        for act in (reindexing.start, reindexing.estimate):
            with pytest.raises(PermissionDeniedError):
                act(user=people.teammate, store_id=store.pk, model=new)
            with pytest.raises(NotFoundError):
                act(user=people.outsider, store_id=store.pk, model=new)
        row = reindexing.start(user=people.owner, store_id=store.pk, model=new)
        for change in (reindexing.cancel, reindexing.retry):
            with pytest.raises(PermissionDeniedError):
                change(user=people.teammate, reindexing_id=row.pk)
            with pytest.raises(NotFoundError):
                change(user=people.outsider, reindexing_id=row.pk)
        with pytest.raises(PermissionDeniedError):
            reindexing.rechunk(user=people.teammate, store_id=store.pk, chunk_tokens=64, chunk_overlap=8)

    def test_which_model(self, person: User, old: EndpointModel, new: EndpointModel) -> None:
        store = factories.store(owner=person, model=old)
        with pytest.raises(ConflictError, match="already"):
            reindexing.start(user=person, store_id=store.pk, model=old)
        with pytest.raises(InvalidInputError, match="no embedding model"):
            reindexing.start(user=person, store_id=store.pk, model=factories.chat_model())
        EndpointModel.objects.filter(pk=new.pk).update(enabled=False)
        new.refresh_from_db()
        with pytest.raises(InvalidInputError, match="switched off"):
            reindexing.start(user=person, store_id=store.pk, model=new)

    def test_one_at_a_time(self, person: User, old: EndpointModel, new: EndpointModel) -> None:
        store = filled(person, old, documents=1)
        reindexing.start(user=person, store_id=store.pk, model=new)
        with pytest.raises(ConflictError, match="being indexed anew"):
            reindexing.start(user=person, store_id=store.pk, model=new)
        with pytest.raises(ConflictError, match="being indexed anew"):
            reindexing.rechunk(user=person, store_id=store.pk, chunk_tokens=64, chunk_overlap=8)
        store.refresh_from_db()
        assert store.chunk_tokens == 32

    def test_nobody_switches_a_store_that_lacks_vectors(
        self, person: User, old: EndpointModel, new: EndpointModel
    ) -> None:
        store = filled(person, old, documents=1)
        with pytest.raises(IntegrityError, match="every chunk has a vector"), transaction.atomic():
            VectorStore.objects.filter(pk=store.pk).update(embedding_model=new)
        empty = factories.store(owner=person, model=old)
        assert VectorStore.objects.filter(pk=empty.pk).update(embedding_model=new) == 1


class TestChunking:
    def test_documents_are_cut_anew_and_answer_meanwhile(
        self, person: User, old: EndpointModel, upstream: ResponsesServer
    ) -> None:
        store = filled(person, old)
        former = set(Chunk.objects.filter(store=store).values_list("pk", flat=True))
        before = answers(store)
        row = reindexing.rechunk(user=person, store_id=store.pk, chunk_tokens=96, chunk_overlap=8)
        assert row is not None
        asked = len(upstream.entries)
        upstream.script({"hold": "slow", "endpoint": "embeddings", "when_text": "buoy 3"})
        with working():
            wait_until(lambda: len(upstream.entries) > asked)
            assert answers(store) == before
            assert set(Document.objects.filter(store=store).values_list("state", flat=True)) == {"ready"}
            upstream.let_go("slow")
            wait_until(lambda: state(row) == "done")
        assert (row.done, row.total) == (3, 3)
        present = Chunk.objects.filter(store=store)
        assert not former & set(present.values_list("pk", flat=True))
        assert 32 < max(present.values_list("tokens", flat=True)) <= 96
        for document in Document.objects.filter(store=store):
            assert_whole(document)
        assert_searchable(store)
        assert not Work.objects.exists()

    def test_killed_in_between_nothing_is_done_twice(
        self, person: User, old: EndpointModel, upstream: ResponsesServer
    ) -> None:
        store = filled(person, old)
        row = reindexing.rechunk(user=person, store_id=store.pk, chunk_tokens=96, chunk_overlap=8)
        assert row is not None
        last = Document.objects.filter(store=store).order_by("pk")[2]
        asked = len(upstream.entries)
        upstream.script({"hold": "never", "endpoint": "embeddings", "when_text": last.name})
        with worker():
            wait_until(lambda: Document.objects.filter(store=store, chunk_tokens=96).count() == 2)
            wait_until(lambda: len(upstream.entries) == asked + 3)
        done = set(Chunk.objects.filter(tokens__gt=32).values_list("pk", flat=True))
        expire()
        work()
        assert state(row) == "done"
        assert done <= set(Chunk.objects.values_list("pk", flat=True))
        for document in Document.objects.filter(store=store):
            assert_whole(document)

    def test_new_sizes_while_it_goes_on(self, person: User, old: EndpointModel) -> None:
        store = filled(person, old, documents=2)
        first = reindexing.rechunk(user=person, store_id=store.pk, chunk_tokens=96, chunk_overlap=8)
        again = reindexing.rechunk(user=person, store_id=store.pk, chunk_tokens=64, chunk_overlap=8)
        assert first
        assert again
        work()
        assert (state(first), state(again)) == ("cancelled", "done")
        assert set(Document.objects.values_list("chunk_tokens", flat=True)) == {64}

    def test_nothing_to_cut(self, person: User, old: EndpointModel) -> None:
        store = factories.store(owner=person, model=old)
        assert reindexing.rechunk(user=person, store_id=store.pk, chunk_tokens=96, chunk_overlap=8) is None
        store.refresh_from_db()
        assert (store.chunk_tokens, store.chunk_overlap) == (96, 8)
        put(store, content(0), "pilots.txt")
        work()
        assert reindexing.rechunk(user=person, store_id=store.pk, chunk_tokens=96, chunk_overlap=8) is None

    @pytest.mark.parametrize(("tokens", "overlap"), [(8, 2), (5000, 0), (64, 40), (64, -1)])
    def test_sizes_that_make_no_sense(self, person: User, tokens: int, overlap: int) -> None:
        store = factories.store(owner=person)
        with pytest.raises(InvalidInputError):
            reindexing.rechunk(user=person, store_id=store.pk, chunk_tokens=tokens, chunk_overlap=overlap)


QUESTION = "Which pilot guides ships past buoy 7 at high tide?"
Answer = tuple[tuple[int, float], ...]


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
