"""Pictures that people attach: what a model server gets of them, what the page says, and who may name which."""

import base64
import hashlib
import io
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.test import AsyncClient
from django.urls import reverse
from PIL import Image
from pytest_django import Settings

from chat.models import Assistant, Conversation, SentRequest, Turn
from chat.providers.extractive import NO_PICTURES
from chat.services.conversations import upload_to_conversation
from chat.turns import pictures as sending
from core.bridge import in_database
from core.models import User
from retrieval import services
from retrieval.models import Document, Picture
from retrieval.pictures import kept
from retrieval.services.uploads import Readable
from tests import factories
from tests.calling import make_assistant
from tests.chat_client import Tab, tab_of
from tests.ingesting import put, work
from tests.pdfs import is_near, opened, picture
from tests.responses_server import ResponsesServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("effects")]

RED, BLUE = (200, 30, 40), (20, 40, 220)
LEFT_OUT = "left out here"


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, settings: Settings) -> Path:
    location = {"location": str(tmp_path / "files"), "base_url": None}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": location}}
    return tmp_path / "files"


@pytest.fixture(autouse=True)
def embedding(transactional_db: None) -> None:
    factories.embedding_model(is_default=True)


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


class Bytes:
    """An upload."""

    def __init__(self, content: bytes) -> None:
        self._left = content

    def read(self, size: int = -1, /) -> bytes:
        taken, self._left = self._left[:size], self._left[size:]
        return taken


def attach(
    person: User, assistant: Assistant, conversation: uuid.UUID, content: bytes, name: str = "picture.png"
) -> Document:
    """Put a file into the conversation and have a worker read it."""
    given: Readable = Bytes(content)
    result = upload_to_conversation(
        user=person, conversation_id=conversation, assistant_id=assistant.pk, name=name, content=given
    )
    work()
    return Document.objects.select_related("file").get(pk=result.document.pk)


async def ask(tab: Tab, conversation: uuid.UUID, text: str, *files: Document) -> tuple[Turn, dict[str, Any]]:
    created = await tab.ask(text, conversation, files=[str(file.pk) for file in files])
    final = await tab.until("turn.final", where=lambda frame: frame["turn"] == created["turn"])
    return await in_database(Turn.objects.get, id=created["turn"]), final


def noise(side: int) -> bytes:
    """A picture that no compression makes much smaller."""
    written = io.BytesIO()
    Image.effect_noise((side, side), 90).save(written, "PNG")
    return written.getvalue()


def images(message: Any) -> list[Image.Image]:
    """The pictures of an input message, decoded from what stands in it."""
    found = []
    for part in message["content"]:
        if part["type"] == "input_image":
            assert set(part) == {"type", "detail", "image_url"}
            head, _, data = part["image_url"].partition(";base64,")
            image = opened(base64.b64decode(data, validate=True))
            assert head == f"data:image/{(image.format or '').lower()}"
            found.append(image)
    return found


def words(message: Any) -> str:
    return "\n".join(part["text"] for part in message["content"] if part["type"] == "input_text")


def colours(message: Any) -> list[Any]:
    return [image.convert("RGB").getpixel((image.width // 2, image.height // 2)) for image in images(message)]


def sent_for(turn: Turn) -> SentRequest:
    return SentRequest.objects.select_related("response").filter(response__turn=turn).latest("created_at")


async def test_a_picture_goes_to_the_model_and_again_with_later_messages(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    conversation = uuid.uuid4()
    red = await in_database(attach, person, assistant, conversation, picture(colour=RED), "red.png")
    blue = await in_database(attach, person, assistant, conversation, picture("TIFF", colour=BLUE), "blue.tiff")
    assert (red.state, red.chunk_count) == ("ready", 0)
    async with tab_of(person) as tab:
        first, _ = await ask(tab, conversation, "Which colours?", blue, red)
        await ask(tab, conversation, "And now?")
    body = upstream.requests[0].body
    assert words(body["input"][-1]) == "Which colours?"
    seen = colours(body["input"][-1])
    assert [is_near(one, wanted) for one, wanted in zip(seen, (BLUE, RED), strict=True)] == [True, True]
    again = upstream.requests[1].body["input"]
    assert again[0] == body["input"][-1]
    assert images(again[-1]) == []
    manifest = (await in_database(sent_for, first)).manifest
    assert [(one["name"], one["why"]) for one in manifest["pictures"]] == [("blue.tiff", ""), ("red.png", "")]
    assert manifest["tokens"]["question"] > 2 * 1_500


async def test_a_body_is_kept_without_the_points_and_made_again_byte_for_byte(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None, storage: Path
) -> None:
    conversation = uuid.uuid4()
    document = await in_database(attach, person, assistant, conversation, noise(1200))
    text = 'Is "image_url":"parley:picture/x" a picture?'
    async with tab_of(person) as tab:
        turn, _ = await ask(tab, conversation, text, document)
    (request,) = upstream.requests
    row = await in_database(sent_for, turn)
    assert len(request.raw) > 1024 * 1024
    assert int(request.headers["content-length"]) == len(request.raw)
    assert row.body is not None
    assert len(row.body) < 2_000
    assert row.manifest["body"]["bytes"] == len(request.raw)
    assert row.sha256 == hashlib.sha256(request.raw).hexdigest()
    assert await in_database(row.exact_body) == request.raw

    def remove() -> None:
        services.delete_document(user=person, document_id=document.pk)
        work()

    await in_database(remove)
    assert await in_database(row.exact_body) is None
    assert text in json.loads(row.kept_body() or b"")["input"][-1]["content"][0]["text"]
    assert files_in(storage) == []
    async with tab_of(person) as tab:
        await ask(tab, conversation, "Once more?")
    assert images(upstream.requests[1].body["input"][0]) == []


async def test_a_model_that_takes_none_is_told_and_so_is_the_person(
    person: User, upstream: ResponsesServer, turns: None
) -> None:
    assistant = await in_database(make_assistant, person, upstream, capabilities={"input_image": False})
    conversation = uuid.uuid4()
    document = await in_database(attach, person, assistant, conversation, picture())
    async with tab_of(person) as tab:
        turn, final = await ask(tab, conversation, "Which colour?", document)
    message = upstream.requests[0].body["input"][-1]
    assert images(message) == []
    assert LEFT_OUT in words(message)
    assert b"parley:" not in upstream.requests[0].raw
    assert "did not see the picture" in final["html"]
    row = await in_database(sent_for, turn)
    assert [one["why"] for one in row.manifest["pictures"]] == [sending.TAKES_NONE]
    assert await in_database(row.exact_body) == upstream.requests[0].raw
    client = AsyncClient()
    await client.aforce_login(person)
    page = (await client.get(reverse("chat:conversation", args=[conversation]))).content.decode()
    assert "did not see the picture" in page
    assert "data-blind" in page


async def test_a_server_that_turns_out_to_take_none_is_asked_again_without(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    refusal = {"error": {"message": "This model does not support image input.", "type": "invalid_request_error"}}
    upstream.script({"status": 400, "body": refusal}, {"text": "I see nothing."})
    conversation = uuid.uuid4()
    document = await in_database(attach, person, assistant, conversation, picture())
    async with tab_of(person) as tab:
        turn, final = await ask(tab, conversation, "Which colour?", document)
    assert final["status"] == "completed"
    first, second = upstream.requests
    assert len(images(first.body["input"][-1])) == 1
    assert images(second.body["input"][-1]) == []
    assert LEFT_OUT in words(second.body["input"][-1])
    assert "did not see the picture" in final["html"]
    assert [one["why"] for one in (await in_database(sent_for, turn)).manifest["pictures"]] == [sending.REFUSED]


async def test_without_a_model_it_is_said_that_nobody_looks(person: User, turns: None) -> None:
    def make() -> Assistant:
        return factories.assistant(owner=person, model=factories.chat_model(), retrieval="off")

    assistant = await in_database(make)
    conversation = uuid.uuid4()
    document = await in_database(attach, person, assistant, conversation, picture())
    async with tab_of(person) as tab:
        _, final = await ask(tab, conversation, "Which colour?", document)
    assert final["status"] == "completed"
    assert NO_PICTURES in final["html"]
    assert "was not looked at" in final["html"]


async def test_regeneration_and_edit_keep_the_picture(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    conversation = uuid.uuid4()
    document = await in_database(attach, person, assistant, conversation, picture())
    async with tab_of(person) as tab:
        turn, _ = await ask(tab, conversation, "Which colour?", document)
        await tab.send(type="turn.retry", turn=turn.pk, client_id=uuid.uuid4())
        await tab.until("turn.final")
        await tab.send(type="turn.edit", turn=turn.pk, client_id=uuid.uuid4(), text="What is it?")
        await tab.until("turn.final")
    assert len(upstream.requests) == 3
    shown = [images(request.body["input"][-1]) for request in upstream.requests]
    assert [len(one) for one in shown] == [1, 1, 1]
    assert words(upstream.requests[2].body["input"][-1]) == "What is it?"


async def test_a_turn_waits_until_its_picture_is_there(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    conversation = uuid.uuid4()

    def begin() -> Document:
        given: Readable = Bytes(picture())
        return upload_to_conversation(
            user=person, conversation_id=conversation, assistant_id=assistant.pk, name="a.png", content=given
        ).document

    document = await in_database(begin)
    async with tab_of(person) as tab:
        created = await tab.ask("Which colour?", conversation, files=[str(document.pk)])
        assert upstream.requests == []
        await in_database(work)
        await tab.until("turn.final", where=lambda frame: frame["turn"] == created["turn"])
    assert len(images(upstream.requests[0].body["input"][-1])) == 1


async def test_a_foreign_picture_cannot_be_named(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
) -> None:
    def foreign() -> tuple[Document, Document]:
        stranger = factories.user()
        other = factories.assistant(owner=stranger, model=assistant.published_version.model)  # type: ignore[union-attr]
        theirs = attach(stranger, other, uuid.uuid4(), picture(colour=BLUE))
        # one's own, but of another place
        mine = put(factories.store(owner=person), picture(colour=RED), "mine.png")
        work()
        return theirs, mine

    conversation = uuid.uuid4()
    document = await in_database(attach, person, assistant, conversation, picture())
    async with tab_of(person) as tab:
        for other in await in_database(foreign):
            await tab.send(
                type="turn.create",
                conversation=conversation,
                client_id=uuid.uuid4(),
                text="Whose?",
                files=[str(document.pk), str(other.pk)],
                ref="foreign",
            )
            assert (await tab.until("error"))["code"] == "not_found"
        # a reference in words is only words
        named = f"parley:picture/{other.file_id}"
        await ask(tab, conversation, named)
    assert len(upstream.requests) == 1
    assert words(upstream.requests[0].body["input"][-1]) == named
    assert images(upstream.requests[0].body["input"][-1]) == []


async def test_a_version_s_own_message_reaches_no_file_of_a_person(
    person: User, upstream: ResponsesServer, turns: None
) -> None:
    def make() -> Assistant:
        stranger = factories.user()
        theirs = put(factories.store(owner=stranger, kind="conversation"), picture(colour=BLUE), "theirs.png")
        work()
        assert Picture.objects.filter(file=theirs.file_id).exists()
        part = {"type": "input_image", "detail": "auto", "image_url": f"parley:picture/{theirs.file_id}"}
        messages = [{"type": "message", "role": "user", "content": [part]}]
        return make_assistant(person, upstream, input_messages=messages)

    assistant = await in_database(make)
    conversation = uuid.uuid4()
    document = await in_database(attach, person, assistant, conversation, picture(colour=RED))
    async with tab_of(person) as tab:
        await ask(tab, conversation, "Which colour?", document)
    raw = upstream.requests[0].raw
    assert raw.count(b"data:image/") == 1


async def test_a_bomb_fails_alone_with_a_sentence(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None, storage: Path
) -> None:
    conversation = uuid.uuid4()
    path = storage.parent / "bomb.png"
    Image.new("1", (30_000, 30_000)).save(path)
    bomb = await in_database(attach, person, assistant, conversation, path.read_bytes(), "bomb.png")
    good = await in_database(attach, person, assistant, conversation, picture())
    assert (bomb.state, bomb.error_code) == ("failed", "too_large")
    assert "30,000 × 30,000" in bomb.error_message
    assert good.state == "ready"
    async with tab_of(person) as tab:
        _, final = await ask(tab, conversation, "Which colour?", bomb, good)
    assert final["status"] == "completed"
    assert len(images(upstream.requests[0].body["input"][-1])) == 1
    assert "30,000 × 30,000" in final["html"]


async def test_what_one_request_has_no_room_for_is_left_out_from_the_oldest_on(
    person: User, assistant: Assistant, upstream: ResponsesServer, turns: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = uuid.uuid4()
    old = await in_database(attach, person, assistant, conversation, picture(colour=BLUE), "old.png")
    new = await in_database(attach, person, assistant, conversation, picture(colour=RED), "new.png")
    size = (await in_database(Picture.objects.get, file=new.file_id)).size
    async with tab_of(person) as tab:
        await ask(tab, conversation, "One?", old)
        monkeypatch.setattr(sending, "MOST_BYTES", size)
        turn, final = await ask(tab, conversation, "Two?", new)
    earlier, newest = upstream.requests[1].body["input"][0], upstream.requests[1].body["input"][-1]
    assert images(earlier) == []
    assert LEFT_OUT in words(earlier)
    assert is_near(colours(newest)[0], RED)
    manifest = (await in_database(sent_for, turn)).manifest
    assert [(one["name"], one["why"]) for one in manifest["pictures"]] == [("old.png", "no_room"), ("new.png", "")]
    # it was about an earlier message
    assert "did not see" not in final["html"]


async def test_a_small_window_leaves_earlier_pictures_out_and_says_so(
    person: User, upstream: ResponsesServer, turns: None
) -> None:
    def make() -> Assistant:
        endpoint = factories.responses_endpoint(upstream.base_url)
        model = factories.chat_model(endpoint=endpoint, context_window=8_000, max_output_tokens=500)
        return factories.assistant(owner=person, model=model, retrieval="off")

    assistant = await in_database(make)
    conversation = uuid.uuid4()
    document = await in_database(attach, person, assistant, conversation, picture())
    async with tab_of(person) as tab:
        await ask(tab, conversation, "One?", document)
        turn, _ = await ask(tab, conversation, "Two?")
    assert len(images(upstream.requests[0].body["input"][-1])) == 1
    earlier = upstream.requests[1].body["input"][0]
    assert images(earlier) == []
    assert LEFT_OUT in words(earlier)
    manifest = (await in_database(sent_for, turn)).manifest
    assert [(one["part"], one["count"]) for one in manifest["shortened"]] == [("window", 1)]


class TestThumbnail:
    async def test_it_is_ours_and_only_its_readers_see_it(
        self, person: User, assistant: Assistant, upstream: ResponsesServer, turns: None
    ) -> None:
        conversation = uuid.uuid4()
        document = await in_database(
            attach, person, assistant, conversation, picture("JPEG", colour=RED, size=(1000, 500)), "a.jpg"
        )
        async with tab_of(person) as tab:
            _, final = await ask(tab, conversation, "Which colour?", document)
        url = reverse("retrieval:small_picture", args=[document.pk])
        whole = reverse("retrieval:picture", args=[document.pk])
        assert f'src="{url}"' in final["html"]
        assert 'width="480"' in final["html"]
        assert 'height="240"' in final["html"]
        own, foreign = AsyncClient(), AsyncClient()
        await own.aforce_login(person)
        await foreign.aforce_login(await in_database(factories.user))
        page = (await own.get(reverse("chat:conversation", args=[conversation]))).content.decode()
        assert f'src="{url}"' in page
        for address, kind, size in ((url, "image/webp", (480, 240)), (whole, "image/jpeg", (1000, 500))):
            response = await own.get(address)
            assert response.headers["Content-Type"] == kind
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
            assert opened(response.content).size == size
            known = await own.get(address, headers={"If-None-Match": response.headers["ETag"]})
            assert (known.status_code, known.content) == (304, b"")
            assert (await foreign.get(address)).status_code == 404
            assert (await AsyncClient().get(address)).status_code == 401

    async def test_a_file_that_is_no_picture_has_none(self, person: User, assistant: Assistant) -> None:
        document = await in_database(attach, person, assistant, uuid.uuid4(), b"Only words.", "a.txt")
        client = AsyncClient()
        await client.aforce_login(person)
        for name in ("picture", "small_picture"):
            assert (await client.get(reverse(f"retrieval:{name}", args=[document.pk]))).status_code == 404


def test_in_the_library_a_picture_without_words_fails_with_a_sentence(person: User) -> None:
    document = put(factories.store(owner=person), picture(), "a.png")
    work()
    document.refresh_from_db()
    assert (document.state, document.error_code) == ("failed", "no_text_found")
    # it can be looked at all the same
    assert kept.read(document.file_id, kept.SMALL)


def test_an_empty_picture_hides_nothing_else_of_its_store(person: User, assistant: Assistant) -> None:
    conversation = uuid.uuid4()
    attach(person, assistant, conversation, picture())
    text = attach(person, assistant, conversation, b"The tide turns at six in the morning.", "tide.txt")
    assert text.chunk_count == 1
    store = Conversation.objects.get(pk=conversation).store
    assert store
    assert Document.objects.filter(store=store, state="ready").count() == 2
