"""Another embedding model that does not come about: what fails, is taken over or cancelled, and loses nothing."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from core import outbox
from core.errors import ConflictError
from core.models import EndpointModel, User, Work
from retrieval import services
from retrieval.errors import EmbeddingError
from retrieval.ingestion.reindexing import lane, vectors
from retrieval.models import Chunk, Reindexing, VectorStore
from retrieval.services import reindexing
from tests import factories
from tests.ingesting import let_time_pass, put, work
from tests.killed_workers import expire, worker
from tests.reindexing import AWAY, DIMENSIONS, REFUSED, answers, assert_searchable, count, filled, state, working
from tests.responses_server import ResponsesServer
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


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
