"""Another embedding model for a store that is in use: made beside the old one, switched to at once, never lost."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from core import outbox
from core.errors import ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError
from core.models import EndpointModel, User, Work
from core.models.grants import Role
from core.tokens import count_tokens
from retrieval import services
from retrieval.ingestion import reindexing as machinery
from retrieval.models import Chunk, ChunkEmbedding, Document, Reindexing, VectorStore
from retrieval.services import reindexing
from tests import factories
from tests.ingesting import assert_whole, let_time_pass, put, work
from tests.reindexing import (
    AWAY,
    DIMENSIONS,
    QUESTION,
    answers,
    answers_elsewhere,
    assert_searchable,
    content,
    count,
    filled,
    ready,
    searching,
    state,
    working,
)
from tests.responses_server import ResponsesServer
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


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
