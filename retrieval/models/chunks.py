"""What search reads: chunks, one vector per chunk and embedding model, and lexical weights."""

import uuid
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q
from pgvector.django import HalfVectorField, SparseVectorField

from core.models import EndpointModel
from retrieval.models.documents import Document, Revision
from retrieval.models.stores import VectorStore

# A term's id is a hash below this number: the most dimensions a sparsevec can have (pgvector, "sparsevec").
TERM_SPACE = 1_000_000_000


class Chunk(models.Model):
    """A span of a revision: `revision.text[start:end] == text`. Pages count from 1."""

    id = models.BigAutoField(primary_key=True)
    # its index is the one below, which also gives a store's chunks in order
    store = models.ForeignKey(VectorStore, on_delete=models.CASCADE, related_name="chunks", db_index=False)
    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="chunks")
    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="chunks")
    position = models.PositiveIntegerField()
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    page_start = models.PositiveIntegerField(null=True, blank=True)
    page_end = models.PositiveIntegerField(null=True, blank=True)
    heading = models.TextField(blank=True, default="", help_text="The path of headings above it.")
    header = models.TextField(blank=True, default="", help_text="The line put before the text for indexing only.")
    tokens = models.PositiveIntegerField()
    text = models.TextField()

    if TYPE_CHECKING:
        store_id: uuid.UUID
        document_id: uuid.UUID
        revision_id: uuid.UUID

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["revision", "position"], name="chunk_position"),
            models.CheckConstraint(name="chunk_span", condition=Q(end__gt=models.F("start"))),
        ]
        # the unique constraint serves look-ups by revision; search goes through the two tables below
        indexes = [models.Index(fields=["store", "id"], name="chunk_of_store")]

    def __str__(self) -> str:
        return f"chunk {self.position} of {self.document_id}"


class ChunkEmbedding(models.Model):
    """The vector of a chunk under one embedding model; unit length. The store is repeated for search."""

    id = models.BigAutoField(primary_key=True)
    chunk = models.ForeignKey(Chunk, on_delete=models.CASCADE, related_name="embeddings")
    store = models.ForeignKey(VectorStore, on_delete=models.CASCADE, related_name="+")
    model = models.ForeignKey(EndpointModel, on_delete=models.PROTECT, related_name="+")
    embedding = HalfVectorField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chunk", "model"], name="chunk_embedding_once")]
        indexes = [models.Index(fields=["store", "model"], name="chunk_embedding_scope")]

    def __str__(self) -> str:
        return f"vector of chunk {self.pk}"


class StagedVector(models.Model):
    """The vector of a chunk of a long document before the chunk is there (`retrieval.ingestion.staging`).

    `digest` is of the text that was embedded: a vector counts only for the same text at the same position.
    """

    id = models.BigAutoField(primary_key=True)
    revision = models.ForeignKey(Revision, on_delete=models.CASCADE, related_name="+")
    model = models.ForeignKey(EndpointModel, on_delete=models.CASCADE, related_name="+")
    position = models.PositiveIntegerField()
    digest = models.BigIntegerField()
    embedding = HalfVectorField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["revision", "model", "position"], name="staged_vector_once"),
        ]

    def __str__(self) -> str:
        return f"vector of place {self.position} of revision {self.revision_id}"


class ChunkWeights(models.Model):
    """The BM25 weights of a chunk's terms, without idf: that is applied at query time, so rows stay valid.

    `language` is the one whose stems they are of; a question is compared by its stems in the same language.
    """

    chunk = models.OneToOneField(Chunk, primary_key=True, on_delete=models.CASCADE, related_name="weights")
    store = models.ForeignKey(VectorStore, on_delete=models.CASCADE, related_name="+")
    language = models.CharField(max_length=20, blank=True, default="")
    weights = SparseVectorField(dimensions=TERM_SPACE)

    class Meta:
        indexes = [models.Index(fields=["store"], name="chunk_weights_scope")]
        verbose_name_plural = "chunk weights"

    def __str__(self) -> str:
        return f"weights of chunk {self.pk}"


class StoreLanguage(models.Model):
    """How many of a store's chunks are indexed in a language: known without counting them."""

    id = models.BigAutoField(primary_key=True)
    store = models.ForeignKey(VectorStore, on_delete=models.CASCADE, related_name="languages")
    language = models.CharField(max_length=20, blank=True, default="")
    chunks = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["store", "language"], name="store_language_once")]

    def __str__(self) -> str:
        return f"{self.language or 'unknown'}: {self.chunks}"


class TermFrequency(models.Model):
    """In how many of a store's chunks a term stands."""

    id = models.BigAutoField(primary_key=True)
    store = models.ForeignKey(VectorStore, on_delete=models.CASCADE, related_name="+")
    term = models.BigIntegerField()
    chunks = models.PositiveIntegerField()

    class Meta:
        verbose_name_plural = "term frequencies"
        constraints = [models.UniqueConstraint(fields=["store", "term"], name="term_frequency_once")]

    def __str__(self) -> str:
        return f"{self.term}: {self.chunks}"
