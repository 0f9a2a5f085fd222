"""Stores that expire or are deleted: not searched from then on, removed in the background, and no byte stays behind."""

import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from chat.models import Citation, Conversation
from core.errors import ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError
from core.models import Grant, User, Work
from core.models.grants import Role
from core.outbox import Claim, LostClaimError
from retrieval import ingestion, selectors, services
from retrieval.ingestion import store_removal
from retrieval.models import (
    Chunk,
    ChunkEmbedding,
    ChunkWeights,
    Document,
    File,
    Revision,
    StoreLanguage,
    TermFrequency,
    VectorStore,
)
from retrieval.search import Query, retrieve_now, whole
from retrieval.services.stores import delete_expired
from tests import factories
from tests.ingesting import put, work

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
OF_STORES = (
    Chunk, ChunkEmbedding, ChunkWeights, Document, File, Revision, StoreLanguage, TermFrequency, VectorStore,
)  # fmt: skip


@pytest.fixture(autouse=True)
def files(tmp_path: Path, settings: Settings) -> Path:
    """A storage of the test's own."""
    location = {"location": str(tmp_path / "files"), "base_url": None}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": location}}
    return tmp_path / "files"


@pytest.fixture
def cast() -> factories.Cast:
    return factories.cast()


@pytest.fixture
def store(cast: factories.Cast) -> VectorStore:
    """A store of the owner's that the teammate may change, with two documents that can be searched."""
    made = factories.store(owner=cast.owner, name="Harbour papers")
    factories.grant(made, cast.teammate, Role.EDITOR)
    put(made, b"Spring tides rise 2.4 metres at the north pier.", "tides.txt")
    services.upload(
        user=cast.teammate, store=made, name="pilots.txt", content=io.BytesIO(b"Pilots answer on channel 13.")
    )
    work()
    return made


def stored(files: Path) -> int:
    return sum(path.is_file() for path in files.rglob("*"))


def found(*, limit: int = 8) -> list[str]:
    """What a search for tides and pilots finds in all stores there are."""
    passages = retrieve_now(Query.of("spring tides pilots channel"), scope=VectorStore.objects.all(), limit=limit)
    in_full = whole(VectorStore.objects.all(), limit=1000).passages
    assert {one.document_id for one in passages} == {one.document_id for one in in_full}
    return sorted(one.document_name for one in passages)


def expire(store: VectorStore, *, ago: timedelta = timedelta(seconds=1)) -> None:
    VectorStore.objects.filter(pk=store.pk).update(expires_at=timezone.now() - ago)


class TestExpiry:
    def test_what_expired_is_not_searched_from_that_moment_and_still_seen(
        self, store: VectorStore, cast: factories.Cast
    ) -> None:
        assert found() == ["pilots.txt", "tides.txt"]
        expire(store)
        assert found() == []
        assert selectors.get_store(cast.owner, store.pk).is_expired
        assert whole(VectorStore.objects.all(), limit=1000).tokens == 0
        services.keep_store(user=cast.owner, store_id=store.pk, days=30)
        assert found() == ["pilots.txt", "tides.txt"]

    def test_after_the_days_of_grace_it_is_deleted(self, store: VectorStore, settings: Settings, files: Path) -> None:
        settings.EXPIRED_STORES_DAYS = 3
        expire(store, ago=3 * DAY - timedelta(minutes=5))
        assert delete_expired() == 0
        expire(store, ago=3 * DAY + timedelta(minutes=5))
        assert (delete_expired(), delete_expired()) == (1, 0)
        work()
        assert not any(model._default_manager.exists() for model in OF_STORES)
        assert stored(files) == 0

    def test_one_that_is_kept_after_its_last_use_is_kept_by_it(self, store: VectorStore, cast: factories.Cast) -> None:
        services.keep_store(user=cast.owner, store_id=store.pk, days=10)
        search: Callable[[], object]
        for search in (found, lambda: whole(VectorStore.objects.all(), limit=1)):
            expire(store, ago=-8 * DAY)
            search()
            store.refresh_from_db()
            assert store.expires_at is not None
            assert abs(store.expires_at - timezone.now() - 10 * DAY) < timedelta(hours=1)
        before = store.expires_at
        found()
        store.refresh_from_db()
        assert store.expires_at == before, "it is written down once a day"
        other = factories.store(expires_at=timezone.now() + DAY)
        factories.indexed_document(other, text="Neap tides.")
        found()
        other.refresh_from_db()
        assert other.expires_at is not None
        assert other.expires_at < timezone.now() + 2 * DAY, "one with a fixed date stays as it is"

    def test_adding_to_it_is_use(self, store: VectorStore, cast: factories.Cast) -> None:
        services.keep_store(user=cast.owner, store_id=store.pk, days=10)
        expire(store, ago=-DAY)
        put(store, b"Ebb", "ebb.txt")
        store.refresh_from_db()
        assert store.expires_at is not None
        assert store.expires_at > timezone.now() + 9 * DAY

    def test_only_owners_decide_and_only_for_the_future(self, store: VectorStore, cast: factories.Cast) -> None:
        with pytest.raises(PermissionDeniedError):
            services.keep_store(user=cast.teammate, store_id=store.pk)
        with pytest.raises(NotFoundError):
            services.keep_store(user=cast.outsider, store_id=store.pk)
        for wrong in ({"until": timezone.now() - DAY}, {"days": 0}, {"days": 4000}):
            with pytest.raises(InvalidInputError):
                services.keep_store(user=cast.owner, store_id=store.pk, **wrong)
        kept = services.keep_store(user=cast.owner, store_id=store.pk, until=timezone.now() + 5 * DAY)
        assert kept.expires_soon
        assert not services.keep_store(user=cast.owner, store_id=store.pk).expires_soon

    def test_files_of_conversations_expire_by_the_setting(self, settings: Settings, cast: factories.Cast) -> None:
        factories.embedding_model(is_default=True)
        assert services.create_conversation_store(user=cast.owner, name="x").expires_at is None
        settings.CONVERSATION_FILES_DAYS = 30
        made = services.create_conversation_store(user=cast.owner, name="x")
        assert made.keep_days == 30
        assert made.expires_at is not None
        assert services.create_store(user=cast.owner, name="x").expires_at is None


@dataclass(frozen=True, slots=True)
class LostSoon(Claim):
    """A claim that somebody takes over after two steps; a step that removed nothing is none."""

    steps: list[int] = field(default_factory=list)

    def guard(self) -> None:
        self.steps.append(1)
        if len(self.steps) > 7:
            raise LostClaimError("Taken over.")


class TestDeletion:
    def test_at_once_nobody_finds_it_and_then_nothing_is_left(
        self, store: VectorStore, cast: factories.Cast, files: Path
    ) -> None:
        citation = self._cited(store, cast.owner)
        services.delete_store(user=cast.owner, store_id=store.pk)
        for person in (cast.owner, cast.teammate, factories.superuser()):
            with pytest.raises(NotFoundError):
                selectors.get_store(person, store.pk)
            assert not Document.objects.visible_to(person).exists()
        assert found() == []
        assert stored(files) == 2, "the rest is done by a worker"
        work()
        assert not any(model._default_manager.exists() for model in OF_STORES)
        assert not Grant.objects.filter(object_id=store.pk).exists()
        assert stored(files) == 0
        citation.refresh_from_db()
        assert (citation.revision, citation.quote) == (None, "Spring tides rise")

    def _cited(self, store: VectorStore, person: User) -> Citation:
        turn = factories.turn(factories.conversation(person), answer="They rise.")
        document = store.documents.get(name="tides.txt")
        return Citation.objects.create(
            item=turn.items.get(position=1), number=1, position=0, revision=document.revision,
            document_name=document.name, start=0, end=17, quote="Spring tides rise", support=1.0,
        )  # fmt: skip

    def test_a_file_that_lies_in_another_store_too_stays(
        self, store: VectorStore, cast: factories.Cast, files: Path
    ) -> None:
        other = factories.store(owner=cast.owner)
        kept = put(other, b"Spring tides rise 2.4 metres at the north pier.", "copy.txt")
        services.delete_store(user=cast.owner, store_id=store.pk)
        work()
        assert found() == ["copy.txt"]
        assert File.objects.get() == kept.file
        assert stored(files) == 1

    def test_who_may(self, store: VectorStore, cast: factories.Cast) -> None:
        with pytest.raises(PermissionDeniedError):
            services.delete_store(user=cast.teammate, store_id=store.pk)
        with pytest.raises(NotFoundError):
            services.delete_store(user=cast.outsider, store_id=store.pk)
        Grant.objects.filter(user=cast.teammate).update(role=Role.OWNER)
        services.delete_store(user=cast.teammate, store_id=store.pk)

    def test_what_belongs_to_a_conversation_is_not_deleted_alone(self, cast: factories.Cast) -> None:
        held = factories.store(owner=cast.owner, kind=VectorStore.Kind.CONVERSATION)
        with pytest.raises(ConflictError):
            services.delete_store(user=cast.owner, store_id=held.pk)

    def test_who_works_on_a_document_of_it_writes_nothing_more(self, store: VectorStore, cast: factories.Cast) -> None:
        late = put(store, b"Ebb and flood", "ebb.txt")
        services.delete_store(user=cast.owner, store_id=store.pk)
        ingestion.remove_store(factories.claim(ingestion.REMOVE_STORE, store.pk))
        ingestion.ingest([factories.claim(ingestion.INGEST, late.pk)])
        assert not any(model._default_manager.exists() for model in (Document, Chunk, Revision))

    def test_an_attempt_that_was_killed_is_gone_on_with(
        self, store: VectorStore, cast: factories.Cast, monkeypatch: pytest.MonkeyPatch, files: Path
    ) -> None:
        """Between any two of its steps the claim may be lost; whoever has it next removes the rest."""
        monkeypatch.setattr(store_removal, "_ROWS", 1)
        monkeypatch.setattr(store_removal, "_DOCUMENTS", 1)
        services.delete_store(user=cast.owner, store_id=store.pk)
        lost = 0
        while VectorStore.objects.exists():
            claim = LostSoon(**asdict(factories.claim(ingestion.REMOVE_STORE, store.pk)))
            with suppress(LostClaimError):
                ingestion.remove_store(claim)
                break
            lost += 1
        assert lost >= 10
        Work.objects.filter(state="running").delete()
        work()
        assert not any(model._default_manager.exists() for model in OF_STORES)
        assert stored(files) == 0

    def test_a_mark_alone_is_enough(self, store: VectorStore) -> None:
        """Whoever writes it, SQL by hand included: the database asks for the work."""
        VectorStore.objects.filter(pk=store.pk).update(deleted_at=timezone.now())
        assert Work.objects.get(kind=ingestion.REMOVE_STORE).subject == store.pk
        work()
        assert not VectorStore.objects.exists()


class TestWhatGoesWithWhat:
    @pytest.fixture
    def held(self, cast: factories.Cast) -> Conversation:
        """A conversation with a file."""
        made = factories.conversation(cast.owner)
        made.store = factories.store(owner=cast.owner, kind=VectorStore.Kind.CONVERSATION)
        made.save()
        put(made.store, b"Dropped into the chat", "dropped.txt")
        work()
        return made

    @pytest.mark.parametrize("how", ["deleted", "marked", "with the person"])
    def test_the_files_of_a_conversation_go_with_it(
        self, held: Conversation, how: str, files: Path, cast: factories.Cast
    ) -> None:
        kept = factories.store(owner=cast.teammate)
        put(kept, b"Of somebody else", "kept.txt")
        work()
        if how == "deleted":
            held.delete()
        elif how == "marked":
            held.deleted_at = timezone.now()
            held.save()
        else:
            held.user.delete()
        work()
        assert list(VectorStore.objects.all()) == [kept]
        assert File.objects.get().owner == cast.teammate
        assert stored(files) == 1

    def test_a_conversation_that_goes_on_keeps_its_files(self, held: Conversation) -> None:
        held.title = "Renamed"
        held.save()
        work()
        assert VectorStore.objects.get() == held.store

    def test_what_a_person_put_into_anothers_store_stays_when_they_go(
        self, store: VectorStore, cast: factories.Cast, files: Path
    ) -> None:
        cast.teammate.delete()
        work()
        assert found() == ["pilots.txt", "tides.txt"]
        assert sorted(str(file.owner) for file in File.objects.all()) == sorted(["None", cast.owner.email])
        assert stored(files) == 2
        cast.owner.delete()
        work()
        assert not any(model._default_manager.exists() for model in OF_STORES)
        assert stored(files) == 0
