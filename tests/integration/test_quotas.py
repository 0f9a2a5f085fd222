"""How much people may keep: whose limit holds, what counts, and that no two uploads pass together."""

import io
import threading
import uuid
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from core.models import User
from core.models.grants import Role
from retrieval import quotas, services
from retrieval.errors import QuotaExceededError
from retrieval.models import Document, File, Quota, VectorStore
from retrieval.quotas import Limits
from tests import factories
from tests.ingesting import put, work

pytestmark = pytest.mark.django_db

NONE = Limits(None, None, None)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, settings: Settings) -> Path:
    """A storage of the test's own."""
    location = {"location": str(tmp_path / "files"), "base_url": None}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": location}}
    return tmp_path / "files"


@pytest.fixture
def store() -> VectorStore:
    return factories.store(owner=factories.user())


def owner_of(store: VectorStore) -> User:
    assert store.owner is not None
    return store.owner


def figures(user: User) -> tuple[int, int, int]:
    now = quotas.usage(user)
    return now.files, now.size, now.tokens


class TestWhoseLimitHolds:
    def test_without_any_there_is_none(self, settings: Settings) -> None:
        person = factories.user()
        assert quotas.limits(person) == NONE
        settings.QUOTA_FILES, settings.QUOTA_TOKENS = 9, 900
        assert quotas.limits(person) == Limits(9, None, 900)

    def test_a_persons_own_comes_first_then_their_groups_then_everyones(self, settings: Settings) -> None:
        settings.QUOTA_FILES = 1
        person, two = factories.user(), [Group.objects.create(name=name) for name in ("a", "b")]
        person.groups.set(two)
        Quota.objects.create(everyone=True, files=1000, size=1000)
        assert quotas.limits(person) == Limits(1000, 1000, None)
        Quota.objects.create(group=two[0], files=5, size=50, tokens=500)
        assert quotas.limits(person) == Limits(5, 50, 500)
        Quota.objects.create(group=two[1], files=7, size=40)
        assert quotas.limits(person) == Limits(7, 50, None), "figure by figure the most generous"
        Quota.objects.create(group=Group.objects.create(name="others"), files=99)
        Quota.objects.create(user=factories.user(), files=99)
        assert quotas.limits(person) == Limits(7, 50, None), "not theirs"
        Quota.objects.create(user=person, files=2)
        assert quotas.limits(person) == Limits(2, None, None)

    def test_a_superuser_has_none_unless_of_their_own(self, settings: Settings) -> None:
        settings.QUOTA_FILES = 1
        admin = factories.superuser()
        Quota.objects.create(everyone=True, files=3)
        assert quotas.limits(admin) == NONE
        Quota.objects.create(user=admin, files=4)
        assert quotas.limits(admin) == Limits(4, None, None)


class TestUploading:
    @pytest.mark.parametrize(
        ("limit", "sentence"),
        [
            ({"files": 2}, "You keep 2 of the 2 files that you may keep."),
            ({"size": 20}, "You use 12 bytes of the 20 bytes that your files may take; this would be 9 bytes more."),
        ],
    )
    def test_what_is_too_much_is_refused_and_not_kept(
        self, store: VectorStore, files: Path, limit: dict[str, int], sentence: str
    ) -> None:
        Quota.objects.create(user=store.owner, **limit)
        put(store, b"first.", "a.txt")
        put(store, b"second", "b.txt")
        stored = [path for path in files.rglob("*") if path.is_file()]
        with pytest.raises(QuotaExceededError) as refused:
            put(store, b"the third", "c.txt")
        assert refused.value.message.replace("\xa0", " ").startswith(sentence)
        assert (File.objects.count(), Document.objects.count()) == (2, 2)
        assert [path for path in files.rglob("*") if path.is_file()] == stored

    def test_the_same_content_counts_once(self, store: VectorStore) -> None:
        Quota.objects.create(user=store.owner, files=1)
        put(store, b"Tide tables", "a.txt")
        put(store, b"Tide tables", "b.txt")
        other = factories.store(owner=store.owner)
        put(other, b"Tide tables", "c.txt")
        assert Document.objects.count() == 2
        assert figures(owner_of(store)) == (1, 11, 0)

    def test_what_is_being_deleted_makes_room(self, store: VectorStore) -> None:
        Quota.objects.create(user=store.owner, files=1)
        first = put(store, b"Tide tables", "a.txt")
        services.delete_document(user=owner_of(store), document_id=first.pk)
        put(store, b"Pilot stations", "b.txt")
        assert figures(owner_of(store)) == (1, 14, 0)

    def test_it_counts_for_who_uploads_not_for_whose_store_it_is(self, store: VectorStore) -> None:
        guest = factories.user()
        factories.grant(store, guest, Role.EDITOR)
        Quota.objects.create(user=store.owner, files=0)
        services.upload(user=guest, store=store, name="a.txt", content=io.BytesIO(b"Tide tables"))
        assert (figures(guest), figures(owner_of(store))) == ((1, 11, 0), (0, 0, 0))

    def test_before_the_bytes_are_taken(self, store: VectorStore) -> None:
        person = owner_of(store)
        quotas.check(person, files=500, size=10**12)
        Quota.objects.create(user=person, files=10, size=1000)
        quotas.check(person, files=10, size=1000)
        for more in ({"files": 11}, {"size": 1001}):
            with pytest.raises(QuotaExceededError):
                quotas.check(person, **more)

    def test_the_page_is_told(self, store: VectorStore) -> None:
        Quota.objects.create(user=store.owner, files=0)
        client, content = Client(), io.BytesIO(b"Tide tables")
        client.force_login(owner_of(store))
        address = reverse("retrieval:upload", args=[store.pk])
        answer = client.post(address, {"file": content}, headers={"Accept": "application/json"})
        assert answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        assert (answer.json()["code"], answer.json()["retryable"]) == ("quota_exceeded", False)


class TestTokens:
    def test_a_document_with_too_many_fails_and_can_be_tried_again(self, store: VectorStore) -> None:
        quota = Quota.objects.create(user=store.owner, tokens=10)
        small, large = put(store, b"Tide tables", "a.txt"), put(store, b"ebb and flood " * 50, "b.txt")
        work()
        small.refresh_from_db()
        large.refresh_from_db()
        assert (small.state, large.state, large.error_code) == ("ready", "failed", "quota_exceeded")
        assert large.error_retryable
        assert "of the 10 tokens that your documents may have" in large.error_message
        assert figures(owner_of(store))[2] == small.token_count
        quota.tokens = 1000
        quota.save()
        services.retry_document(user=owner_of(store), document_id=large.pk)
        work()
        large.refresh_from_db()
        assert large.state == "ready"
        assert figures(owner_of(store))[2] == small.token_count + large.token_count

    def test_they_count_from_before_they_are_indexed(self, store: VectorStore) -> None:
        """Else two documents that fit alone would both be paid for."""
        Quota.objects.create(user=store.owner, tokens=10)
        first, second = factories.document(store, state="chunking"), factories.document(store, state="chunking")
        quotas.admit_tokens(first, 6)
        with pytest.raises(QuotaExceededError):
            quotas.admit_tokens(second, 6)
        quotas.admit_tokens(first, 9)


def together(action: Callable[[int], object], times: int) -> list[BaseException | None]:
    """Do it from several threads at once and return how each ended."""
    ended: list[BaseException | None] = [None] * times
    start = threading.Barrier(times)

    def run(number: int) -> None:
        try:
            start.wait(60)
            action(number)
        except QuotaExceededError as error:
            ended[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[number]) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return ended


@pytest.mark.django_db(transaction=True)
def test_uploads_at_the_same_time_do_not_pass_together(store: VectorStore, files: Path) -> None:
    Quota.objects.create(user=store.owner, files=2)
    ended = together(lambda number: put(store, f"Page {uuid.uuid4()}".encode(), f"{number}.txt"), 6)
    assert sum(end is None for end in ended) == 2
    assert (File.objects.count(), Document.objects.count()) == (2, 2)
    assert len([path for path in files.rglob("*") if path.is_file()]) == 2
