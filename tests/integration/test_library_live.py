"""Hints over the channel layer: sent after the commit, from threads and loops alike, leaving no connection behind."""

import asyncio
import io
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from asgiref.sync import sync_to_async
from channels.layers import channel_layers
from django.db import transaction
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from core.bridge import in_database
from retrieval import services
from retrieval.models import VectorStore
from retrieval.realtime import document_changed, send_hint, store_group
from tests import factories
from tests.waiting import PATIENCE, wait_until


@pytest.fixture
def server(settings: Settings) -> Iterator["redis.Redis"]:
    client = redis.Redis.from_url(settings.REDIS_CHANNEL_URL)
    yield client
    client.close()


def clients(server: "redis.Redis") -> int:
    """Connections to this process's own part of the server that are open now."""
    own = str(server.connection_pool.connection_kwargs["db"])
    return sum(client["db"] == own for client in server.client_list())  # type: ignore[union-attr]


@pytest.mark.django_db
def test_hints_of_synchronous_code_leave_no_connection(
    server: "redis.Redis", django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    before, store = clients(server), uuid.uuid4()
    published = server.info("commandstats").get("cmdstat_publish", {}).get("calls", 0)  # type: ignore[union-attr]
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(200):
            document_changed(uuid.uuid4(), store)
    # other tests use the server at the same time
    assert server.info("commandstats")["cmdstat_publish"]["calls"] >= published + 200  # type: ignore[index]
    assert clients(server) < before + 100


async def received(store: uuid.UUID, count: int, send: Any) -> list[dict[str, Any]]:
    """What a watcher of the store gets while `send` runs."""
    layer = channel_layers["default"]
    channel = await layer.new_channel()
    await layer.group_add(store_group(store), channel)
    try:
        await send()
        async with asyncio.timeout(PATIENCE):
            return [await layer.receive(channel) for _ in range(count)]
    finally:
        await layer.flush()


async def test_a_watcher_gets_the_ids() -> None:
    document, store = uuid.uuid4(), uuid.uuid4()

    async def send() -> None:
        await send_hint(document, store)
        await send_hint(document, uuid.uuid4())
        await send_hint(document, store)

    hint = {"type": "document.hint", "document": str(document), "store": str(store)}
    assert await received(store, 2, send) == [hint, hint]


@pytest.mark.django_db(transaction=True)
async def test_threads_of_an_asynchronous_process_send_too(server: "redis.Redis") -> None:
    store = uuid.uuid4()

    def change() -> None:
        with transaction.atomic():
            document_changed(uuid.uuid4(), store)

    async def send() -> None:
        await asyncio.gather(*(in_database(change) for _ in range(10)), *(sync_to_async(change)() for _ in range(10)))

    before = clients(server)
    assert len(await received(store, 20, send)) == 20
    wait_until(lambda: clients(server) <= before)


@pytest.mark.django_db(transaction=True)
def test_nothing_is_sent_for_what_was_rolled_back(server: "redis.Redis", settings: Settings) -> None:
    kept = uuid.uuid4()
    with server.pubsub(ignore_subscribe_messages=True) as heard:
        heard.psubscribe(f"{settings.REDIS_PREFIX}*")
        with suppress(InterruptedError), transaction.atomic():
            document_changed(uuid.uuid4(), uuid.uuid4())
            raise InterruptedError
        with transaction.atomic():
            document_changed(kept, uuid.uuid4())
        messages: list[bytes] = []
        wait_until(lambda: (message := heard.get_message()) and not messages.append(message["data"]))
    assert [str(kept).encode() in message for message in messages] == [True]


async def test_a_channel_layer_that_is_away_only_loses_the_hint(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    layers: dict[str, Any] = settings.CHANNEL_LAYERS
    config = {**layers["default"]["CONFIG"], "hosts": ["redis://127.0.0.1:9/0"]}
    settings.CHANNEL_LAYERS = {"default": {**layers["default"], "CONFIG": config}}
    await send_hint(uuid.uuid4(), uuid.uuid4())
    assert "A hint was not sent" in caplog.text


@pytest.mark.django_db(transaction=True)
async def test_an_upload_is_told_to_who_watches_the_store() -> None:
    store: VectorStore = await in_database(lambda: factories.store(owner=factories.user()))
    content = io.BytesIO(b"Tide tables")

    async def send() -> None:
        assert store.owner
        await in_database(services.upload, user=store.owner, store=store, name="tides.txt", content=content)

    (hint,) = await received(store.pk, 1, send)
    assert await store.documents.filter(pk=hint["document"]).aexists()
