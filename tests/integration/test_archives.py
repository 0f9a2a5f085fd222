"""Zip archives in a store: each file a document as if it came alone, whatever the archive holds and whoever dies."""

import io
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from core.models import Work
from retrieval import selectors, services
from retrieval.errors import EncryptedFileError, UnsupportedTypeError
from retrieval.extraction import sniff
from retrieval.extraction.kinds import ZIP
from retrieval.models import Archive, Document, VectorStore
from retrieval.services import archives
from tests import factories
from tests.ingesting import FILES

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def files(tmp_path: Path, settings: Settings) -> Path:
    """A storage of the test's own."""
    location = {"location": str(tmp_path / "files"), "base_url": None}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": location}}
    return tmp_path / "files"


@pytest.fixture
def store() -> VectorStore:
    return factories.store(owner=factories.user())


def packed(*entries: tuple[str | zipfile.ZipInfo, bytes | str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return out.getvalue()


def take(store: VectorStore, content: bytes, name: str = "papers.zip") -> Archive:
    assert store.owner
    taken = services.take(user=store.owner, store=store, name=name, content=io.BytesIO(content))
    assert isinstance(taken, Archive)
    return taken


def unpacked(store: VectorStore, content: bytes) -> Archive:
    """The archive when a worker is done with it."""
    archive = take(store, content)
    Work.objects.filter(kind=archives.UNPACK).delete()
    archives.unpack(factories.claim(archives.UNPACK, archive.pk))
    archive.refresh_from_db()
    return archive


def results(archive: Archive) -> dict[str, tuple[str, str]]:
    return {entry.name: (entry.state, entry.error_message) for entry in archive.entries.all()}


def kept(files: Path) -> int:
    return sum(path.is_file() for path in (files / "archives").rglob("*")) if (files / "archives").exists() else 0


def test_each_file_is_a_document_with_its_way(store: VectorStore, files: Path) -> None:
    archive = unpacked(store, packed(("tides.txt", "Spring tides."), ("light/lamp.txt", "The lamp."), ("empty/", "")))
    assert archive.state == "done"
    assert results(archive) == {"tides.txt": ("added", ""), "light/lamp.txt": ("added", "")}
    documents = {document.name: document for document in Document.objects.all()}
    assert documents["tides.txt"].attributes == {"path": "papers.zip/tides.txt"}
    assert documents["lamp.txt"].attributes == {"path": "papers.zip/light/lamp.txt"}
    assert {work.subject for work in Work.objects.filter(kind="retrieval.ingest")} == {
        document.pk for document in documents.values()
    }
    assert kept(files) == 0


def test_what_is_wrong_is_said_of_each_file(store: VectorStore, settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES = 2 * 1024 * 1024
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = unpacked(
        store,
        packed(
            ("good.txt", "Good."),
            ("same.txt", "Good."),
            ("program.exe", b"\x7fELF\x02\x01" + bytes(200)),
            ("empty.txt", ""),
            ("inner.zip", packed(("a.txt", "x"))),
            ("disguised.txt", packed(("a.txt", "x"))),
            (link, "/etc/passwd"),
            ("bomb.txt", b"x" * 2_000_000),
            ("large.bin", b"x" * 2_100_000),
            (".DS_Store", "x"),
            ("__MACOSX/good.txt", "x"),
        ),
    )
    told = results(archive)
    assert told["good.txt"] == ("added", "")
    assert told["same.txt"] == ("duplicate", "")
    assert told["empty.txt"] == ("refused", "This file is empty.")
    assert told["inner.zip"] == ("refused", "Archives within archives are not unpacked.")
    assert "Archives are not unpacked here" in told["disguised.txt"][1]
    assert told["link.txt"] == ("refused", "This is a link, not a file.")
    assert "more than 200 times" in told["bomb.txt"][1]
    assert "larger than 2 MB" in told["large.bin"][1]
    assert told["program.exe"][0] == "refused"
    assert (archive.state, archive.hidden, Document.objects.count()) == ("done", 2, 1)
    assert store.owner
    (view,) = selectors.archive_views(store.owner, store, [archive.pk])
    assert view.label == "1 added, 1 there already, 7 refused, 2 hidden ones left out"
    assert "same.txt: in the store already, as “good.txt”" in view.message.splitlines()
    assert len(view.message.splitlines()) == 8


def test_names_lead_nowhere_and_are_told_apart(store: VectorStore) -> None:
    archive = unpacked(
        store, packed(("../../etc/passwd", "1"), ("/abs/a.txt", "2"), ("C:\\x\\b.txt", "3"), ("abs/a.txt", "4"))
    )
    assert set(results(archive)) == {"etc/passwd", "abs/a.txt", "abs/a (2).txt", "C:/x/b.txt"}
    assert all(state == "added" for state, _ in results(archive).values())


def test_a_name_in_utf8_that_does_not_say_so(store: VectorStore) -> None:
    without = bytearray(packed(("hafen-größe.txt", "Groß.")))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = without.index(mark) + at
        without[place : place + 2] = b"\x00\x00"
    assert set(results(unpacked(store, bytes(without)))) == {"hafen-größe.txt"}


def test_too_many_files_are_too_many(store: VectorStore, settings: Settings, files: Path) -> None:
    settings.UPLOAD_MAX_FILES = 3
    archive = unpacked(store, packed(*((f"{number}.txt", str(number)) for number in range(4))))
    assert (archive.state, archive.error_message) == (
        "failed",
        "This archive holds 4 files; at most 3 are taken at once.",
    )
    assert not Document.objects.exists()
    assert kept(files) == 0


def test_beyond_the_room_for_all_files_they_are_refused(store: VectorStore, settings: Settings) -> None:
    settings.ARCHIVE_MAX_BYTES = 1024 * 1024
    text = bytes(range(32, 127)) * 6_000
    told = results(unpacked(store, packed(("a.txt", text), ("b.txt", b"b" + text), ("c.txt", "short"))))
    assert told["a.txt"][0] == told["c.txt"][0] == "added"
    assert told["b.txt"][1] == "Only 1 MB of an archive are unpacked, and this is beyond them."


def test_a_file_that_lies_about_its_size_is_refused(store: VectorStore) -> None:
    content = packed(("liar.txt", "x" * 5_000), ("good.txt", "Good."))
    lying = content.replace((5_000).to_bytes(4, "little"), (50).to_bytes(4, "little"))
    assert lying != content
    told = results(unpacked(store, lying))
    assert told["liar.txt"][0] == "refused"
    assert told["good.txt"] == ("added", "")


def test_damaged_bytes_in_the_middle_cost_one_file(store: VectorStore) -> None:
    texts = [bytes((number * 7 + at * at) % 251 for at in range(4_000)) for number in range(3)]
    content = bytearray(packed(*((f"{number}.txt", "text " + text.hex()) for number, text in enumerate(texts))))
    at = content.index(b"1.txt") + 60
    content[at : at + 20] = bytes(20)
    told = results(unpacked(store, bytes(content)))
    assert [told[f"{number}.txt"][0] for number in range(3)] == ["added", "refused", "added"]


def test_a_broken_archive_says_so(store: VectorStore, files: Path) -> None:
    content = packed(("a.txt", "x" * 100))
    start = content.index(b"PK\x01\x02")
    archive = unpacked(store, content[:start] + b"PK\x09\x09" + content[start + 4 :])
    assert (archive.state, archive.error_code) == ("failed", "corrupt_file")
    assert kept(files) == 0


def test_what_needs_a_password_is_refused_at_once(store: VectorStore) -> None:
    content = bytearray(packed(("a.txt", "secret")))
    content[6] |= 1
    with pytest.raises(EncryptedFileError):
        take(store, bytes(content))


def test_office_files_are_no_archives() -> None:
    assert sniff(packed(("a.txt", "x")), "a.docx") == ZIP
    assert sniff(FILES / "harbour.docx", "harbour.zip") != ZIP


@pytest.mark.parametrize(
    "first", [("mimetype", "application/vnd.oasis.opendocument.spreadsheet"), ("META-INF/MANIFEST.MF", "x")]
)
def test_other_packages_are_no_archives(first: tuple[str, str]) -> None:
    with pytest.raises(UnsupportedTypeError):
        sniff(packed(first, ("content.xml", "<x/>")), "x.ods")


def test_in_a_conversation_archives_are_not_unpacked() -> None:
    person = factories.user()
    store = factories.store(owner=person, kind=VectorStore.Kind.CONVERSATION)
    with pytest.raises(UnsupportedTypeError, match="upload the files in it"):
        services.take(user=person, store=store, name="a.zip", content=io.BytesIO(packed(("a.txt", "x"))))


def test_sent_twice_it_is_one_and_again_later_nothing_is_added(store: VectorStore) -> None:
    content = packed(("a.txt", "A."), ("b.txt", "B."))
    assert take(store, content) == take(store, content)
    unpacked(store, content)
    again = unpacked(store, content)
    assert [state for state, _ in results(again).values()] == ["duplicate", "duplicate"]
    assert Document.objects.count() == 2


def test_it_expires_with_its_bytes(store: VectorStore, files: Path) -> None:
    archive = take(store, packed(("a.txt", "A.")))
    archives.expire_archive(factories.claim(archives.EXPIRE, archive.pk))
    assert Archive.objects.exists(), "it is still to be unpacked"
    archives.give_up_archive(archive.pk)
    assert Archive.objects.get().error_code == "worker_lost"
    archives.expire_archive(factories.claim(archives.EXPIRE, archive.pk))
    assert not Archive.objects.exists()
    assert kept(files) == 0


class TestOverHttp:
    def ask(self, store: VectorStore, url: str, data: dict[str, Any]) -> Any:
        client = Client()
        assert store.owner
        client.force_login(store.owner)
        return client.post(reverse(f"retrieval:{url}", args=[store.pk]), data, headers={"Accept": "application/json"})

    def test_taken_and_told(self, store: VectorStore) -> None:
        body = io.BytesIO(packed(("a.txt", "A.")))
        body.name = "papers.zip"
        answer = self.ask(store, "upload", {"file": body})
        ident = answer.json()["archive"]
        assert answer.status_code == 202
        told = self.ask(store, "states", {"ids": ident}).json()[ident]
        assert (told["state"], told["label"]) == ("queued", "Waiting to be unpacked")
        archives.unpack(factories.claim(archives.UNPACK, Archive.objects.get().pk))
        told = self.ask(store, "states", {"ids": ident}).json()[ident]
        assert (told["state"], told["label"], told["message"]) == ("ready", "1 added", "")

    def test_only_ones_own_archives_are_told(self, store: VectorStore) -> None:
        archive = take(store, packed(("a.txt", "A.")))
        factories.grant(store, None)
        assert selectors.archive_views(factories.user(), store, [archive.pk]) == []
