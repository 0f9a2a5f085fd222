"""Bytes that a killed process left in the storage without a row: they go when they are old, and nothing else does."""

import logging
import os
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, default_storage
from django.utils import timezone
from pytest_django import Settings

from core.models import User
from retrieval import tasks
from retrieval.models import Archive, File, Upload, UploadPart, VectorStore
from retrieval.pictures import kept
from retrieval.services import orphans
from tests import factories
from tests.ingesting import put, work

pytestmark = pytest.mark.django_db

OLD = timedelta(days=2)
YOUNG = timedelta(hours=23)


class Unlisted(FileSystemStorage):
    """A storage that cannot say what it has, as Django lets them be."""

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        raise NotImplementedError


class Late(FileSystemStorage):
    """A storage during whose looking somebody commits a row for what is looked at."""

    def get_modified_time(self, name: str) -> datetime:
        file(name)
        return super().get_modified_time(name)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Settings) -> Path:
    """A storage of the test's own."""
    use(settings, tmp_path)
    return tmp_path / "files"


def use(settings: Settings, folder: Path, storage: type[FileSystemStorage] = FileSystemStorage) -> None:
    backend = {
        "BACKEND": f"{storage.__module__}.{storage.__qualname__}",
        "OPTIONS": {"location": str(folder / "files"), "base_url": None},
    }
    settings.STORAGES = {**configured.STORAGES, "default": backend}


@pytest.fixture
def store() -> VectorStore:
    """A store of somebody who has been here for a week."""
    person = factories.user()
    User.objects.update(date_joined=timezone.now() - timedelta(days=7))
    return factories.store(owner=person)


def save(name: str, age: timedelta = OLD) -> str:
    saved = default_storage.save(name, ContentFile(b"Tide tables"))
    grow_old(Path(default_storage.path(saved)), age)
    return saved


def grow_old(path: Path, age: timedelta) -> None:
    at = (timezone.now() - age).timestamp()
    os.utime(path, (at, at))


def file(name: str) -> File:
    owner = User.objects.get()
    return File.objects.create(
        owner=owner, sha256=uuid.uuid4().hex * 2, size=11, mime_type="text/plain", storage_name=name
    )


def somewhere() -> str:
    name = uuid.uuid4().hex
    return f"{name[:2]}/{name[2:]}"


def stored(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def sweep() -> int:
    return sum(orphans.sweep(portion) for portion in orphans.PORTIONS)


def test_what_a_row_names_stays_and_the_rest_goes(store: VectorStore, folder: Path) -> None:
    document = put(store, b"Pilots answer on channel 13.", "pilots.txt")
    work()
    kept.keep(document.file.pk, "page-1.webp", b"a picture of a page")
    upload = Upload.objects.create(
        owner=store.owner, client_id=uuid.uuid4(), store=store, name="a.txt", size=40, expires_at=timezone.now()
    )
    part = save(f"uploads/{upload.pk.hex}/0-{uuid.uuid4().hex}")
    UploadPart.objects.create(upload=upload, start=0, size=11, sha256="0" * 64, storage_name=part)
    archive = save(f"archives/{uuid.uuid4().hex}")
    Archive.objects.create(store=store, owner=store.owner, name="a.zip", sha256="0" * 64, storage_name=archive)
    for path in folder.rglob("*"):
        grow_old(path, OLD)
    named = stored(folder)
    assert len(named) == 4

    made, sent = uuid.uuid4().hex, uuid.uuid4().hex
    save(somewhere())
    save(f"archives/{uuid.uuid4().hex}")
    save(f"uploads/{sent}/0-{uuid.uuid4().hex}")
    save(f"made/{made[:2]}/{made}/page-1.webp")
    save(f"made/{made[:2]}/{made}/page-2.webp")
    assert sweep() == 5
    assert stored(folder) == named
    assert not (folder / "uploads" / sent).exists()
    assert not (folder / "made" / made[:2] / made).exists()
    assert sweep() == 0


def test_what_is_young_stays(store: VectorStore, folder: Path) -> None:
    sent = uuid.uuid4().hex
    names = {save(somewhere(), YOUNG), save(f"uploads/{sent}/1-{uuid.uuid4().hex}", YOUNG)}
    save(f"uploads/{sent}/0-{uuid.uuid4().hex}")
    assert sweep() == 1
    assert stored(folder) == names


def test_what_is_older_than_the_first_user_stays(store: VectorStore, folder: Path) -> None:
    """Somebody has begun with an empty database by mistake, and the files of the other are still there."""
    names = {save(somewhere(), timedelta(days=30))}
    assert sweep() == 0
    User.objects.all().delete()
    names.add(save(somewhere()))
    assert sweep() == 0
    assert stored(folder) == names


def test_what_lies_elsewhere_is_not_ours(store: VectorStore, folder: Path) -> None:
    names = {save(name) for name in ("lost+found", "abc/def", "made/notes.txt", "uploads/fine/0-1", "ab.txt")}
    assert sweep() == 0
    assert stored(folder) == names


def test_a_row_that_is_committed_meanwhile_keeps_its_bytes(
    store: VectorStore, folder: Path, tmp_path: Path, settings: Settings
) -> None:
    name = save(somewhere())
    use(settings, tmp_path, Late)
    assert sweep() == 0
    assert stored(folder) == {name}
    assert File.objects.get().storage_name == name


def test_more_than_are_asked_about_at_once(store: VectorStore, folder: Path) -> None:
    names = [save(f"ab/{number}") for number in range(1201)]
    File.objects.bulk_create(
        File(owner=store.owner, sha256=f"{number:064x}", size=11, mime_type="text/plain", storage_name=name)
        for number, name in enumerate(names)
        if number % 2
    )
    assert orphans.sweep("b") == 0
    assert orphans.sweep("a") == 601
    assert stored(folder) == set(names[1::2])


def test_a_storage_that_cannot_be_listed_is_left_alone(
    store: VectorStore, folder: Path, tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    name = save(somewhere())
    use(settings, tmp_path, Unlisted)
    with caplog.at_level(logging.WARNING):
        assert sweep() == 0
    assert stored(folder) == {name}
    (said,) = caplog.messages
    assert "cannot be listed" in said


def test_an_empty_storage(store: VectorStore, folder: Path) -> None:
    assert not folder.exists()
    assert sweep() == 0


def test_beat_comes_round_within_a_day(store: VectorStore, folder: Path, settings: Any) -> None:
    entry = settings.CELERY_BEAT_SCHEDULE["sweep-storage"]
    assert entry["task"] == tasks.sweep_storage.name
    assert entry["schedule"] * len(orphans.PORTIONS) < 24 * 3600
    hour = int(timezone.now().timestamp() // 3600)
    turns = {orphans.PORTIONS[(hour + late) % 16] for late in range(2)}  # the hour may end in between
    for portion in orphans.PORTIONS:
        save(f"{portion}0/{uuid.uuid4().hex}")
    tasks.sweep_storage()
    assert len(stored(folder)) == 15
    gone = set(orphans.PORTIONS) - {name[0] for name in stored(folder)}
    assert gone < turns
