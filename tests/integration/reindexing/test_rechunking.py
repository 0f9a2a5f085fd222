"""Other sizes of chunks for a store that is in use: its documents are cut anew, and answer meanwhile."""

import pytest

from core.errors import InvalidInputError
from core.models import EndpointModel, User, Work
from retrieval.models import Chunk, Document
from retrieval.services import reindexing
from tests import factories
from tests.ingesting import assert_whole, put, work
from tests.killed_workers import expire, worker
from tests.reindexing import answers, assert_searchable, content, filled, state, working
from tests.responses_server import ResponsesServer
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


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
