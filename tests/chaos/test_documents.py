"""Workers killed with -9 at each point of a document's way: another goes on, nothing is lost, doubled or stuck."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.utils import timezone

from core import outbox
from core.models import EndpointModel, Work
from retrieval import services
from retrieval.ingestion.staging import LONG
from retrieval.models import Chunk, Document, File, Revision, StagedVector, VectorStore
from tests import backends, factories
from tests.chaos.tally import Fault, Tallied, Tally
from tests.ingesting import assert_whole, put, work
from tests.killed_workers import worker
from tests.responses_server import ResponsesServer
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.chaos, pytest.mark.timeout(2400)]

# any number that nobody else locks
_LOCK = 20_615_417
_FUNCTION = f"""
CREATE OR REPLACE FUNCTION hold_document() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_advisory_xact_lock_shared({_LOCK}); RETURN NEW; END $$
"""
_KEPT = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
# The state that a worker is kept from writing, the state that is committed by then, and whether a text is kept.
POINTS = {
    "claimed, not begun": ("extracting", "queued", False),
    "read, text not kept": ("chunking", "extracting", False),
    "chunking": ("embedding", "chunking", True),
    "chunks in, state not": ("ready", "embedding", True),
}
GROUP = 3
# Rounds beyond those wanted: a round that did not land where it should is made again.
SPARE = 3


@dataclass(frozen=True, slots=True)
class Scene:
    """A store whose embeddings come from the scripted server, and texts by the number of the round."""

    store: VectorStore
    upstream: ResponsesServer

    def put_group(self, round_: int) -> list[Document]:
        texts = (f"Of buoy {round_}-{number} in the bay we know little." for number in range(GROUP))
        return [put(self.store, text.encode(), f"{number}.txt") for number, text in enumerate(texts)]

    def put_long(self, round_: int) -> Document:
        lines = [f"Of buoy {round_}-{line} in the bay of Korsund nothing more is known." for line in range(4 * LONG)]
        return put(self.store, "\n\n".join(lines).encode(), "long.txt")


@pytest.fixture
def scene(upstream: ResponsesServer) -> Scene:
    model: EndpointModel = factories.embedding_model(endpoint=factories.responses_endpoint(upstream.base_url))
    return Scene(factories.store(owner=factories.user(), model=model, chunk_tokens=32, chunk_overlap=0), upstream)


@contextmanager
def kept_from(state: str) -> Iterator[None]:
    """Let nobody write this state in the block."""
    with connection.cursor() as cursor:
        cursor.execute(_FUNCTION)
        cursor.execute(
            "CREATE TRIGGER hold_document BEFORE UPDATE ON retrieval_document FOR EACH ROW"
            f" WHEN (NEW.state = '{state}') EXECUTE FUNCTION hold_document()"
        )
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        try:
            yield
        finally:
            # what the killed worker had sent is carried out now, and undone: nobody commits it
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
            backends.await_end(backends.database_url(), {"worker"})
            cursor.execute("DROP TRIGGER hold_document ON retrieval_document")


def somebody_is_kept() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted", [_LOCK]
        )
        return bool(cursor.fetchone()[0])


def states(documents: Sequence[Document]) -> list[str]:
    return list(Document.objects.filter(pk__in=[document.pk for document in documents]).values_list("state", flat=True))


def take_over() -> None:
    """What sweeps do when the dead worker's leases have run out, until nothing is left to do."""
    backends.await_end(backends.database_url(), {"worker"})
    Work.objects.filter(state="running").update(lease_until=timezone.now() - timedelta(seconds=1))
    outbox.relay()
    work()


def judge(point: str, documents: Sequence[Document]) -> Iterator[Fault]:
    """What is wrong with the documents, which all should be ready by now."""
    for document in documents:
        document.refresh_from_db()
        if document.state != "ready":
            yield Fault("unfinished", point, f"{document.state} {document.error_message}")
            continue
        assert_whole(document)
        if Revision.objects.filter(document=document).count() != 1:
            yield Fault("doubled", point, "revisions")
        if not default_storage.exists(document.file.storage_name):
            yield Fault("lost", point, "the file")
    texts = list(Chunk.objects.filter(document__in=documents).values_list("text", flat=True))
    if len(texts) != len(set(texts)):
        yield Fault("doubled", point, "chunks")
    if Work.objects.exists() or StagedVector.objects.exists():
        yield Fault("unfinished", point, "work or vectors are left")


def rounds(tally: Tally, point: str, times: int, one: Callable[[int], str]) -> None:
    """Make rounds, each of which says where the fault struck, until it struck often enough at the point."""
    for number in range(times + SPARE):
        if tally.line(point).landed == times:
            break
        tally.landed(point, one(number))
    tally.assert_clean([point], times)


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_killed_with_a_group_in_hand(point: str, scene: Scene, times: int, tallied: Tallied) -> None:
    tally = tallied("worker killed")
    prevented, committed, has_text = POINTS[point]

    def one(number: int) -> str:
        documents = scene.put_group(number)
        with kept_from(prevented), worker():
            wait_until(somebody_is_kept)
            is_there = set(states(documents)) == {committed}
            texts = Revision.objects.filter(document__in=documents).count()
            is_there = is_there and bool(texts) == has_text
            found = states(documents)
        take_over()
        tally.blame(judge(point, documents))
        return point if is_there else f"{found}, {texts} texts"

    rounds(tally, point, times, one)


def test_a_worker_killed_between_two_requests_for_a_long_document(scene: Scene, times: int, tallied: Tallied) -> None:
    """What it had been given is asked for by nobody again."""
    tally, point = tallied("worker killed"), "embedding, between two strides"

    def one(number: int) -> str:
        document = scene.put_long(number)
        before = len(scene.upstream.entries)
        scene.upstream.script(*[{"endpoint": "embeddings"}] * 2, *[{"hold": f"{number}", "endpoint": "embeddings"}] * 4)
        with worker():
            wait_until(lambda: StagedVector.objects.count() > 0 and len(scene.upstream.entries) >= before + 5)
        backends.await_end(backends.database_url(), {"worker"})
        kept = StagedVector.objects.count()
        held = [text for entry in scene.upstream.entries[before:] for text in entry.body["input"]]
        scene.upstream.let_go(f"{number}")
        after = len(scene.upstream.entries)
        take_over()
        tally.blame(judge(point, [document]))
        asked = [text for entry in scene.upstream.entries[after:] for text in entry.body["input"]]
        if len(asked) != document.chunk_count - kept:
            tally.blame([Fault("doubled", point, f"{kept} kept, asked for {len(asked)} of {document.chunk_count}")])
        return point if 0 < kept < document.chunk_count and len(held) > kept else f"{kept} kept"

    rounds(tally, point, times, one)


@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_a_worker_killed_after_its_document_was_changed(
    change: str, scene: Scene, times: int, tallied: Tallied
) -> None:
    tally, point = tallied("worker killed"), f"embedding, {change} meanwhile"
    owner = scene.store.owner
    assert owner

    def one(number: int) -> str:
        changed, *others = scene.put_group(number)
        before = len(scene.upstream.entries)
        scene.upstream.script({"hold": f"{number}", "endpoint": "embeddings"})
        with worker():
            scene.upstream.await_requests(before + 1)
            found = set(states([changed, *others]))
            if change == "deleted":
                services.delete_document(user=owner, document_id=changed.pk)
            else:
                content = io.BytesIO(f"Of lighthouse {number} we know all.".encode())
                services.replace_document(user=owner, document_id=changed.pk, name="new.txt", content=content)
        scene.upstream.let_go(f"{number}")
        take_over()
        tally.blame(judge(point, others if change == "deleted" else [changed, *others]))
        if change == "deleted":
            if Document.objects.filter(pk=changed.pk).exists() or File.objects.filter(pk=changed.file_id).exists():
                tally.blame([Fault("unfinished", point, "it is not gone")])
        elif "lighthouse" not in (changed.revision.text if changed.revision else ""):
            tally.blame([Fault("lost", point, "the new content")])
        return point if found == {"embedding"} else str(found)

    rounds(tally, point, times, one)
