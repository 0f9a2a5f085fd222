"""Documents get other names and other stores: what search reads goes along, or is made anew while the old answers."""

import pytest

from core.errors import ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError
from core.models import User, Work
from core.models.grants import Role
from retrieval import services
from retrieval.models import Chunk, ChunkEmbedding, Document, Reindexing, Revision, VectorStore
from retrieval.search import Query, retrieve_now
from tests import factories
from tests.ingesting import assert_whole, counted, frequencies, indexed, languages, let_time_pass, put, put_file, work
from tests.responses_server import ResponsesServer
from tests.threads import alongside

REFUSED = {"status": 401, "endpoint": "embeddings", "body": {"error": {"message": "Incorrect API key"}}}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner() -> User:
    return factories.user()


def assert_counted(*stores: VectorStore) -> None:
    for store in stores:
        assert frequencies(store) == counted(store)
        found = [language for language, _ in indexed(store)]
        assert languages(store) == {language: found.count(language) for language in set(found)}


def finds(store: VectorStore, words: str) -> set[str]:
    scope = VectorStore.objects.filter(pk=store.pk)
    return {one.document_name for one in retrieve_now(Query.of(words), scope=scope, limit=5)}


class TestMove:
    def test_where_both_index_alike_everything_goes_along(self, owner: User) -> None:
        model = factories.embedding_model()
        one, two = factories.store(owner=owner, model=model), factories.store(owner=owner, model=model)
        moved, stays, there = put_file(one, "tides.md"), put_file(one, "pilots.html"), put_file(two, "harbour.docx")
        work()
        chunks = list(Chunk.objects.filter(document=moved).order_by("id").values_list("id", flat=True))
        revision = Revision.objects.get(document=moved)
        services.move_document(user=owner, document_id=moved.pk, store_id=two.pk)
        assert not Work.objects.exists()
        assert list(Chunk.objects.filter(document=moved).order_by("id").values_list("id", flat=True)) == chunks
        moved.refresh_from_db()
        assert moved.store == two
        assert moved.revision == revision
        for document in (moved, stays, there):
            assert_whole(document)
        assert_counted(one, two)
        assert ChunkEmbedding.objects.filter(chunk__document=moved, store=two).count() == len(chunks)
        assert finds(two, "spring tides") == {"tides.md"}
        assert "tides.md" not in finds(one, "spring tides")

    def test_else_it_answers_where_it_is_until_it_is_indexed_there(
        self, owner: User, upstream: ResponsesServer
    ) -> None:
        model = factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url))
        one, two = factories.store(owner=owner), factories.store(owner=owner, model=model, name="Far")
        moved, stays = put_file(one, "tides.md"), put_file(one, "pilots.html")
        work()
        Document.objects.filter(pk=moved.pk).update(attributes={"sea": "north"})
        revision = Revision.objects.get(document=moved)
        upstream.script(REFUSED)
        services.move_document(user=owner, document_id=moved.pk, store_id=two.pk)
        assert finds(one, "spring tides") == {"tides.md"}
        work()
        moved.refresh_from_db()
        assert (moved.store, moved.notice_kind) == (one, "retryable")
        assert moved.notice.startswith("It could not be moved to “Far”: ")
        assert_whole(moved)
        assert not finds(two, "spring tides")
        services.retry_document(user=owner, document_id=moved.pk)
        work()
        moved = Document.objects.get(pk=moved.pk)
        assert (moved.store, moved.notice, moved.attributes) == (two, "", {"sea": "north"})
        assert moved.revision == revision, "what answers quoted is the same text"
        assert_whole(moved)
        assert_whole(stays)
        assert_counted(one, two)
        assert finds(two, "spring tides") == {"tides.md"}
        assert Document.objects.count() == 2
        assert not Work.objects.exists()

    def test_a_store_on_its_way_to_another_index_is_not_given_rows_of_the_former(self, owner: User) -> None:
        model = factories.embedding_model()
        one, two = factories.store(owner=owner, model=model), factories.store(owner=owner, model=model)
        document = put_file(one, "tides.md")
        work()
        opened = Reindexing.objects.create(
            store=two, kind="model", state="failed", error_code="x", error_message="It failed.", from_model=model,
            to_model=factories.embedding_model(),
        )  # fmt: skip
        assert opened.state in Reindexing.OPEN
        moved = services.move_document(user=owner, document_id=document.pk, store_id=two.pk)
        assert (moved.store, moved.notice_kind) == (one, "running")
        work()
        document = Document.objects.get()
        assert document.store == two
        assert_whole(document)
        assert_counted(one, two)

    def test_not_yet_read_it_is_read_there(self, owner: User) -> None:
        one, two = factories.store(owner=owner), factories.store(owner=owner, chunk_tokens=64)
        document = put_file(one, "tides.md")
        services.move_document(user=owner, document_id=document.pk, store_id=two.pk)
        work()
        document = Document.objects.get()
        assert document.store == two
        assert_whole(document)
        assert_counted(one, two)

    def test_what_is_there_already_is_named(self, owner: User) -> None:
        one, two = factories.store(owner=owner), factories.store(owner=owner, name="Far")
        document = put(one, b"The same.", "here.txt")
        put(two, b"The same.", "there.txt")
        with pytest.raises(ConflictError, match=r"in “Far” already, as “there\.txt”"):
            services.move_document(user=owner, document_id=document.pk, store_id=two.pk)
        with pytest.raises(ConflictError, match="already"):
            services.move_document(user=owner, document_id=document.pk, store_id=one.pk)

    def test_editor_of_both(self, owner: User) -> None:
        one, two = factories.store(owner=owner), factories.store(owner=owner)
        document = put_file(one, "tides.md")
        person = factories.user()
        with pytest.raises(NotFoundError):
            services.move_document(user=person, document_id=document.pk, store_id=two.pk)
        here = factories.grant(one, person, Role.READER)
        with pytest.raises(PermissionDeniedError):
            services.move_document(user=person, document_id=document.pk, store_id=two.pk)
        here.role = Role.EDITOR
        here.save()
        with pytest.raises(NotFoundError):
            services.move_document(user=person, document_id=document.pk, store_id=two.pk)
        there = factories.grant(two, person, Role.READER)
        with pytest.raises(PermissionDeniedError):
            services.move_document(user=person, document_id=document.pk, store_id=two.pk)
        there.role = Role.EDITOR
        there.save()
        services.move_document(user=person, document_id=document.pk, store_id=two.pk)
        assert Document.objects.get().store == two


class TestRename:
    def test_a_text_without_a_title_is_found_by_its_new_name(self, owner: User) -> None:
        store = factories.store(owner=owner)
        document = put(store, b"It is painted red.", "lighthouse.txt")
        other = put(store, b"It is painted green.", "buoy.txt")
        work()
        chunk = Chunk.objects.get(document=document)
        services.rename_document(user=owner, document_id=document.pk, name="pilot boat.txt")
        assert Chunk.objects.get(document=document) == chunk, "it answers from its former chunks meanwhile"
        assert finds(store, "lighthouse") == {"pilot boat.txt"}
        work()
        assert "pilot boat.txt" in Chunk.objects.get(document=document).header
        assert finds(store, "pilot boat") == {"pilot boat.txt"}
        assert not finds(store, "lighthouse")
        for one in (document, other):
            assert_whole(one)

    def test_a_text_with_a_title_of_its_own_stays_as_it_is(self, owner: User) -> None:
        document = put_file(factories.store(owner=owner), "pilots.html")
        work()
        assert Revision.objects.get().title
        before = list(Chunk.objects.values_list("id", "header"))
        services.rename_document(user=owner, document_id=document.pk, name="other.html")
        assert not Work.objects.exists()
        assert list(Chunk.objects.values_list("id", "header")) == before

    def test_renamed_while_it_is_read(self, owner: User, upstream: ResponsesServer) -> None:
        model = factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url))
        document = put(factories.store(owner=owner, model=model), b"It is painted red.", "lighthouse.txt")

        upstream.script({"hold": "embedding", "endpoint": "embeddings"})
        with alongside(work):
            upstream.await_requests(1)
            services.rename_document(user=owner, document_id=document.pk, name="buoy.txt")
            upstream.let_go("embedding")
        assert "renamed" in Document.objects.get().error_message
        let_time_pass()
        work()
        assert "buoy.txt" in Chunk.objects.get().header
        assert_whole(document)

    def test_names_are_cleaned_and_needed(self, owner: User) -> None:
        document = put_file(factories.store(owner=owner), "tides.md")
        services.rename_document(user=owner, document_id=document.pk, name="../a\u202eb\n.md")
        assert Document.objects.get().name == "ab .md"
        with pytest.raises(InvalidInputError):
            services.rename_document(user=owner, document_id=document.pk, name="  ")
        reader = factories.user()
        factories.grant(document.store, reader)
        with pytest.raises(PermissionDeniedError):
            services.rename_document(user=reader, document_id=document.pk, name="mine.md")
