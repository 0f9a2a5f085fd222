"""Pages of PDFs as pictures made by us: who sees them, what a browser may do with them, and what is kept of them."""

import asyncio
import json
import threading
import uuid
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.http import HttpResponse
from django.test import AsyncClient
from django.urls import reverse
from pytest_django import Settings

from core.bridge import in_database
from core.models import User
from core.models.grants import Role
from retrieval import services
from retrieval.models import Document, File
from retrieval.pictures import kept, pages
from tests import factories
from tests.ingesting import put, put_file, work
from tests.pdfs import opened, pdf, plain_pdf
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

LINES = [[("The harbour opens at ", False), ("six in the morning", True), (".", False)]]


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    location = {"location": str(tmp_path / "files"), "base_url": None}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": location}}
    pages._drawings.cache_clear()
    yield tmp_path / "files"
    pages._drawings.cache_clear()


@pytest.fixture
def cast() -> factories.Cast:
    return factories.cast()


@pytest.fixture
def document(cast: factories.Cast) -> Document:
    """A PDF of two pages, read, in a store that the teammate may read."""
    store = factories.store(owner=cast.owner)
    factories.grant(store, cast.team, Role.READER)
    made = put(store, pdf([LINES, [[("Second page.", False)]]]), "harbour.pdf")
    work()
    made = Document.objects.select_related("file", "store__owner", "revision").get(pk=made.pk)
    assert made.state == "ready"
    return made


@pytest.fixture
async def readers(cast: factories.Cast) -> dict[str, AsyncClient]:
    clients = {"nobody": AsyncClient()}
    for name, person in (("owner", cast.owner), ("teammate", cast.teammate), ("outsider", cast.outsider)):
        clients[name] = await as_(person)
    return clients


async def as_(person: User) -> AsyncClient:
    client = AsyncClient()
    await client.aforce_login(person)
    return client


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def page_url(document: Document | uuid.UUID, number: int = 1) -> str:
    return reverse("retrieval:page_picture", args=[getattr(document, "pk", document), number])


async def ask(client: AsyncClient, url: str, **query: Any) -> HttpResponse:
    headers = query.pop("headers", {})
    response: Any = await client.get(url, query, headers=headers)
    return response  # type: ignore[no-any-return]


async def test_a_reader_sees_the_page_and_a_browser_runs_nothing(
    document: Document, readers: dict[str, AsyncClient]
) -> None:
    response = await ask(readers["teammate"], page_url(document))
    assert response.status_code == HTTPStatus.OK
    assert response.headers["Content-Type"] == "image/webp"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response.headers["Cache-Control"] == "private, no-cache"
    image = opened(response.content)
    assert (image.format, image.width) == ("WEBP", 900)
    wide = await ask(readers["owner"], page_url(document), width=1800)
    assert opened(wide.content).width == 1800


async def test_a_foreign_one_answers_like_a_missing_one(document: Document, readers: dict[str, AsyncClient]) -> None:
    marks = reverse("retrieval:page_marks", args=[document.pk])
    for url, query in ((page_url(document), {}), (marks, {"start": 0, "end": 5})):
        # the picture is there already: it is not the drawing that refuses
        assert (await ask(readers["owner"], url, **query)).status_code == HTTPStatus.OK
        foreign = await ask(readers["outsider"], url, **query)
        missing = await ask(readers["outsider"], url.replace(str(document.pk), str(uuid.uuid4())), **query)
        assert foreign.status_code == missing.status_code == HTTPStatus.NOT_FOUND
        assert foreign.content == missing.content
        assert "no-store" in foreign.headers["Cache-Control"]
        nobody = await ask(readers["nobody"], url, **query)
        assert nobody.status_code == HTTPStatus.UNAUTHORIZED


async def test_a_right_that_was_taken_away_counts_for_what_a_browser_has_too(
    document: Document, readers: dict[str, AsyncClient]
) -> None:
    client = readers["teammate"]
    first = await ask(client, page_url(document))
    known = {"If-None-Match": first.headers["ETag"]}
    again = await ask(client, page_url(document), headers=known)
    assert (again.status_code, again.content) == (HTTPStatus.NOT_MODIFIED, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    await in_database(document.store.grants.all().delete)
    assert (await ask(client, page_url(document), headers=known)).status_code == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize(("number", "width"), [(3, 900), (0, 900), (1, 901), (1, 100_000)])
async def test_what_is_no_page_or_no_width_is_not_found(
    document: Document, readers: dict[str, AsyncClient], number: int, width: int
) -> None:
    response = await ask(readers["owner"], page_url(document, number), width=width)
    assert response.status_code == HTTPStatus.NOT_FOUND


async def test_only_pdfs_have_pages(cast: factories.Cast, readers: dict[str, AsyncClient]) -> None:
    def make() -> Document:
        return put(factories.store(owner=cast.owner), b"<html><script>alert(1)</script>", "page.pdf")

    made = await in_database(make)
    assert (await ask(readers["owner"], page_url(made))).status_code == HTTPStatus.NOT_FOUND


async def test_a_page_that_cannot_be_drawn_is_said_so(cast: factories.Cast, readers: dict[str, AsyncClient]) -> None:
    def make() -> Document:
        return put(factories.store(owner=cast.owner), b"%PDF-1.7\nnothing of it", "broken.pdf")

    response = await ask(readers["owner"], page_url(await in_database(make)))
    assert response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert b"damaged" in response.content
    assert "no-store" in response.headers["Cache-Control"]


async def test_a_page_is_drawn_once_and_goes_with_its_document(
    document: Document, readers: dict[str, AsyncClient], storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await ask(readers["owner"], page_url(document))
    made = [path for path in files_in(storage) if path.suffix == ".webp"]
    assert len(made) == 1
    # without the original nothing can be drawn: this is the one that was kept
    (storage / document.file.storage_name).rename(storage / "elsewhere")
    second = await ask(readers["owner"], page_url(document))
    assert second.content == first.content
    (storage / "elsewhere").rename(storage / document.file.storage_name)
    # a machine that went down while it was written
    made[0].write_bytes(made[0].read_bytes()[:200])
    third = await ask(readers["owner"], page_url(document))
    assert third.content == first.content == made[0].read_bytes()

    def remove() -> None:
        services.delete_document(user=document.store.owner, document_id=document.pk)
        work()

    await in_database(remove)
    assert not await in_database(File.objects.exists)
    assert files_in(storage) == []
    assert (await ask(readers["owner"], page_url(document))).status_code == HTTPStatus.NOT_FOUND


async def test_nothing_is_kept_of_a_file_that_is_gone(document: Document, storage: Path) -> None:
    file = document.file

    def remove() -> None:
        services.delete_document(user=document.store.owner, document_id=document.pk)
        work()
        default_storage.save(file.storage_name, ContentFile(plain_pdf("Here again.")))

    await in_database(remove)
    with pytest.raises(Exception, match="not there any more"):
        await pages.page_picture(file, number=1, width=900)
    assert kept.read(file.pk, "page-1-900-1.webp") is None


async def test_marks_lie_on_the_words_of_the_revision(document: Document, readers: dict[str, AsyncClient]) -> None:
    assert document.revision
    start = document.revision.text.index("six in the morning")
    url = reverse("retrieval:page_marks", args=[document.pk])
    answer = await ask(readers["teammate"], url, start=start, end=start + len("six in the morning"))
    (page,) = json.loads(answer.content)["pages"]
    ((x, y, width, height),) = page["boxes"]
    assert page["page"] == 1
    image = opened((await ask(readers["teammate"], page_url(document))).content).convert("RGB")
    box = (
        int(x * image.width),
        int(y * image.height),
        int((x + width) * image.width),
        int((y + height) * image.height),
    )
    red = [colour for _, colour in image.crop(box).getcolors(1 << 20) if colour[0] > 150 > 120 > colour[1]]
    outside = image.copy()
    outside.paste("white", tuple(value + grown for value, grown in zip(box, (-2, -2, 3, 3), strict=True)))
    assert red
    assert not [one for _, one in outside.getcolors(1 << 20) if one[0] > 150 > 120 > one[1]]


async def test_marks_of_pages_that_follow_each_other(document: Document, readers: dict[str, AsyncClient]) -> None:
    assert document.revision
    url = reverse("retrieval:page_marks", args=[document.pk])
    answer = await ask(readers["owner"], url, start=3, end=len(document.revision.text))
    pages_marked = json.loads(answer.content)["pages"]
    assert [(page["page"], len(page["boxes"])) for page in pages_marked] == [(1, 1), (2, 1)]


@pytest.mark.parametrize("query", [{"start": 5, "end": 5}, {"start": "x", "end": 9}, {"start": -1, "end": 9}, {}])
async def test_marks_need_a_text(document: Document, readers: dict[str, AsyncClient], query: dict[str, Any]) -> None:
    response = await ask(readers["owner"], reverse("retrieval:page_marks", args=[document.pk]), **query)
    assert response.status_code == HTTPStatus.BAD_REQUEST


async def test_where_too_many_wait_one_is_asked_to_come_again(
    document: Document, readers: dict[str, AsyncClient], settings: Settings
) -> None:
    settings.PAGES_DRAWN_AT_ONCE, settings.PAGES_WAITING = 1, 2
    let_go = threading.Event()
    drawn = await ask(readers["owner"], page_url(document))
    waiting = [asyncio.create_task(pages._drawings().drawn(number, let_go.wait)) for number in range(3)]
    await until(lambda: len(pages._drawings()._known) == 3)
    refused = await ask(readers["owner"], page_url(document, 2))
    assert refused.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert int(refused.headers["Retry-After"]) >= 1
    # what is there already needs no drawing
    assert (await ask(readers["owner"], page_url(document))).content == drawn.content
    let_go.set()
    await asyncio.gather(*waiting)
    assert (await ask(readers["owner"], page_url(document, 2))).status_code == HTTPStatus.OK


class TestOriginal:
    async def test_it_is_never_shown(self, document: Document, readers: dict[str, AsyncClient]) -> None:
        response = await readers["teammate"].get(reverse("retrieval:file", args=[document.pk]))
        assert response.headers["Content-Type"] == "application/octet-stream"
        assert response.headers["Content-Disposition"].startswith("attachment")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert response.headers["Cache-Control"] == "private, no-store"

    @pytest.mark.parametrize(
        ("asked", "first", "past"), [("bytes=5-9", 5, 10), ("bytes=100-", 100, None), ("bytes=-7", -7, None)]
    )
    async def test_a_part_of_it(
        self, document: Document, readers: dict[str, AsyncClient], asked: str, first: int, past: int | None
    ) -> None:
        content = pdf([LINES, [[("Second page.", False)]]])
        response = await readers["owner"].get(reverse("retrieval:file", args=[document.pk]), headers={"Range": asked})
        assert response.status_code == HTTPStatus.PARTIAL_CONTENT
        body = b"".join([block async for block in response.streaming_content])  # type: ignore[attr-defined]
        assert body == content[first:past]
        place = content.index(body)
        assert response.headers["Content-Range"] == f"bytes {place}-{place + len(body) - 1}/{len(content)}"
        assert response.headers["Content-Length"] == str(len(body))

    @pytest.mark.parametrize("asked", ["bytes=9-5", "bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=x-"])
    async def test_what_is_no_part_is_the_whole(
        self, document: Document, readers: dict[str, AsyncClient], asked: str
    ) -> None:
        response = await readers["owner"].get(reverse("retrieval:file", args=[document.pk]), headers={"Range": asked})
        assert response.status_code == HTTPStatus.OK

    async def test_a_part_behind_its_end(self, document: Document, readers: dict[str, AsyncClient]) -> None:
        url = reverse("retrieval:file", args=[document.pk])
        response = await readers["owner"].get(url, headers={"Range": f"bytes={document.file.size}-"})
        assert response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        assert response.headers["Content-Range"] == f"bytes */{document.file.size}"
        other = await readers["owner"].get(url, headers={"Range": "bytes=5-9", "If-Range": '"another"'})
        assert other.status_code == HTTPStatus.OK

    @pytest.mark.parametrize(
        ("who", "status"), [("outsider", HTTPStatus.NOT_FOUND), ("nobody", HTTPStatus.UNAUTHORIZED)]
    )
    async def test_others_get_no_part_either(
        self, document: Document, readers: dict[str, AsyncClient], who: str, status: HTTPStatus
    ) -> None:
        headers = {"Range": "bytes=0-9", "Accept": "application/json"}
        response = await readers[who].get(reverse("retrieval:file", args=[document.pk]), headers=headers)
        assert response.status_code == status

    async def test_one_that_is_lost(self, document: Document, readers: dict[str, AsyncClient], storage: Path) -> None:
        (storage / document.file.storage_name).unlink()
        for url in (reverse("retrieval:file", args=[document.pk]), page_url(document)):
            response = await readers["owner"].get(url, headers={"Accept": "application/json"})
            assert response.status_code == HTTPStatus.NOT_FOUND


def test_a_scanned_page_is_shown_too(cast: factories.Cast) -> None:
    document = put_file(factories.store(owner=cast.owner), "scanned.pdf")
    assert pages.has_pages(document.file)
