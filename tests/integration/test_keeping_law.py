"""The law of keeping documents: whatever is done to them in whatever order, the counts of every store are a recount.

Long random sequences of what people do, with real ingestion in between, some of it asked for again before it was done.
"""

import io
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from django.core.files.storage import default_storage

from core.errors import ConflictError
from core.models import User, Work
from retrieval import services
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
from tests import factories
from tests.ingesting import assert_whole, counted, frequencies, indexed, languages, let_time_pass, put, work

pytestmark = pytest.mark.django_db(transaction=True)

WORDS = ["anchor", "buoy", "chart", "deck", "ebb", "ferry", "gale", "harbour", "island", "jetty", "keel", "quay"]
BROKEN = b"%PDF-1.7\nthis is no PDF at all"
STEPS = 50


@dataclass
class Keeper:
    """Somebody who does things at random. `done` counts them, so that the test sees that each was done."""

    dice: random.Random
    owner: User
    stores: list[VectorStore]
    done: Counter[str] = field(default_factory=Counter)

    def text(self) -> bytes:
        if self.dice.random() < 0.1:
            return BROKEN + str(self.dice.random()).encode()
        title = b"# A title of its own\n\n" if self.dice.random() < 0.3 else b""
        return title + b"\n\n".join(
            " ".join(self.dice.choices(WORDS, k=self.dice.randint(3, 30))).encode() + b"."
            for _ in range(self.dice.randint(1, 5))
        )

    def document(self) -> Document | None:
        documents = list(Document.objects.live().order_by("created_at", "id"))
        return self.dice.choice(documents) if documents else None

    def upload(self) -> None:
        put(self.dice.choice(self.stores), self.text(), f"{self.dice.choice(WORDS)}.md")

    def rename(self, document: Document) -> None:
        name = f"{self.dice.choice(WORDS)} {self.dice.random()}.md"
        services.rename_document(user=self.owner, document_id=document.pk, name=name)

    def move(self, document: Document) -> None:
        store = self.dice.choice(self.stores)
        services.move_document(user=self.owner, document_id=document.pk, store_id=store.pk)

    def replace(self, document: Document) -> None:
        content = io.BytesIO(self.text())
        services.replace_document(user=self.owner, document_id=document.pk, name="", content=content)

    def dismiss(self, document: Document) -> None:
        services.dismiss_replacement(user=self.owner, document_id=document.pk)

    def retry(self, document: Document) -> None:
        services.retry_document(user=self.owner, document_id=document.pk)

    def delete(self, document: Document) -> None:
        services.delete_document(user=self.owner, document_id=document.pk)

    def step(self) -> None:
        what = self.dice.choice(
            [*["upload"] * 3, "rename", *["move"] * 3, *["replace"] * 3, "dismiss", "retry", "delete"]
        )
        document = None if what == "upload" else self.document()
        try:
            if what == "upload":
                self.upload()
            elif document is not None:
                getattr(self, what)(document)
        except ConflictError:
            return  # it could not be done now, and nothing was
        self.done[what] += 1
        if self.dice.random() < 0.4:
            let_time_pass()
            work()


@pytest.mark.parametrize("seed", [1, 2])
def test_counts_are_a_recount_and_nothing_is_left_over(seed: int) -> None:
    owner, model = factories.user(), factories.embedding_model()
    small = {"chunk_tokens": 32, "chunk_overlap": 4}
    stores = [factories.store(owner=owner, model=model, **small) for _ in range(2)]
    stores.append(factories.store(owner=owner, model=model, chunk_tokens=64, chunk_overlap=0))
    stores.append(factories.store(owner=owner, **small))
    keeper = Keeper(random.Random(seed), owner, stores)  # noqa: S311 - not for secrets
    for _ in range(STEPS):
        keeper.step()
        for store in stores:
            assert frequencies(store) == counted(store)
    while Work.objects.exists():
        let_time_pass()
        work()
    for name in ("upload", "rename", "move", "replace", "delete"):
        assert keeper.done[name], f"{name} was never done"
    assert_everything_fits(stores)
    for document in Document.objects.live():
        services.delete_document(user=owner, document_id=document.pk)
    work()
    for left in (Document, Revision, Chunk, ChunkEmbedding, ChunkWeights, TermFrequency, StoreLanguage, File, Work):
        assert not left._default_manager.exists(), left.__name__


def assert_everything_fits(stores: list[VectorStore]) -> None:
    """Every document came to an end, what is stored is theirs, and what is counted is there."""
    for store in stores:
        assert frequencies(store) == counted(store)
        assert languages(store) == dict(Counter(language for language, _ in indexed(store)))
    assert not Document.objects.exclude(life__in=["live", "pending"]).exists()
    for pending in Document.objects.filter(life="pending").select_related("replaces"):
        assert pending.state == "failed"
        assert pending.replaces
        assert pending.replaces.notice
    for document in Document.objects.live().exclude(state="failed"):
        assert_whole(document)
    kept = Chunk.objects.filter(document__life="live").count()
    assert Chunk.objects.count() == ChunkEmbedding.objects.count() == ChunkWeights.objects.count() == kept
    ready = Revision.objects.filter(document__state="ready")
    assert not ready.filter(current_for=None).exists(), "what a document had before is gone"
    assert set(File.objects.values_list("pk", flat=True)) == set(Document.objects.values_list("file", flat=True))
    assert all(default_storage.exists(name) for name in File.objects.values_list("storage_name", flat=True))
