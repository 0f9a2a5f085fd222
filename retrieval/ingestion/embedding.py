"""Chunks to vectors: the chunks of several documents share requests, and some requests are under way at once."""

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from core.models import EndpointModel
from core.tokens import count_tokens
from retrieval.chunking import Piece
from retrieval.embeddings import Vectors, embedder_for
from retrieval.embeddings.batches import MAX_TEXTS, MAX_TOKENS
from retrieval.errors import EmbeddingDimensionError, EmbeddingError
from retrieval.ingestion.job import Job
from retrieval.ingestion.targets import second_model
from retrieval.models import Revision
from retrieval.selectors import embedding_target

logger = logging.getLogger(__name__)

# One vector per piece under each model; None where they are staged.
VectorsByModel: TypeAlias = Mapping[uuid.UUID, Vectors | None]

# Requests of one worker under way at once; each holds its texts and its answer in memory.
REQUESTS = 4
# What halfvec can hold where an index reaches it (see EndpointModel.dimensions).
MAX_DIMENSIONS = 4000
_PROBE = "Which way is the harbour?"


@dataclass(eq=False, slots=True)
class Draft:
    """A document's chunks on their way to being found.

    `done` of them have vectors, in memory or, where `is_long`, in the database. `paused`: it gives way. `error`: why it
    cannot go on. `ended`: it is ready, or nobody wants it any more.
    """

    job: Job
    revision: Revision
    language: str
    pieces: Sequence[Piece]
    is_long: bool
    vectors: Vectors = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    done: int = 0
    paused: bool = False
    error: Exception | None = None
    ended: bool = False

    @property
    def is_stopped(self) -> bool:
        """Whether no more is to be asked for."""
        return self.ended or self.paused or self.error is not None

    @property
    def is_whole(self) -> bool:
        return self.done == len(self.pieces)

    @property
    def model(self) -> EndpointModel:
        return self.job.document.store.embedding_model

    def take(self, positions: Sequence[int], vectors: Vectors) -> None:
        """Keep the vectors of the pieces at `positions` in memory."""
        if not len(self.vectors):
            self.vectors = np.empty((len(self.pieces), vectors.shape[1]), dtype=np.float32)
        self.vectors[positions] = vectors
        self.done += len(positions)


@dataclass(eq=False, slots=True)
class Batch:
    """The pieces that one request embeds, by document."""

    model: EndpointModel
    places: dict[Draft, list[int]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    tokens: int = 0

    def has_room_for(self, tokens: int) -> bool:
        return not self.texts or (len(self.texts) < MAX_TEXTS and self.tokens + tokens <= MAX_TOKENS)

    def add(self, draft: Draft, position: int, text: str, tokens: int) -> None:
        self.places.setdefault(draft, []).append(position)
        self.texts.append(text)
        self.tokens += tokens

    def shares(self, vectors: Vectors) -> Iterator[tuple[Draft, list[int], Vectors]]:
        """Each document with its positions and their vectors."""
        start = 0
        for draft, positions in self.places.items():
            yield draft, positions, vectors[start : start + len(positions)]
            start += len(positions)

    def alone(self) -> "Iterator[Batch]":
        """The same with one document each."""
        start = 0
        for draft, positions in self.places.items():
            yield Batch(self.model, {draft: positions}, self.texts[start : start + len(positions)])
            start += len(positions)


Answered = Callable[[Batch, "Future[Vectors]"], None]


class Requests:
    """Fills batches and has them embedded in threads.

    `sending` is asked before a batch goes out, and may say no; `answered` gets each that came back, both in the
    caller's thread: the threads touch no rows.
    """

    def __init__(self, sending: Callable[[Batch], bool], answered: Answered) -> None:
        self._sending = sending
        self._answered = answered
        self._open: dict[uuid.UUID, Batch] = {}
        self._running: dict[Future[Vectors], Batch] = {}
        self._pool = ThreadPoolExecutor(REQUESTS, "embedding")

    def __enter__(self) -> "Requests":
        return self

    def __exit__(self, *_error: object) -> None:
        # not waited for where there was an error: they write nothing
        self._pool.shutdown(wait=False, cancel_futures=True)

    def add(self, draft: Draft, positions: Sequence[int]) -> None:
        """Ask for the vectors of these pieces, sooner or later; waits while enough is under way."""
        for position in positions:
            text = draft.pieces[position].embedding_text
            tokens = count_tokens(text)
            batch = self._open.get(draft.model.pk)
            if batch is not None and not batch.has_room_for(tokens):
                self._send(draft.model.pk)
                batch = None
            if draft.is_stopped:
                return
            if batch is None:
                batch = self._open[draft.model.pk] = Batch(draft.model)
            batch.add(draft, position, text, tokens)

    def flush(self) -> None:
        """Send what is there, and wait for every answer."""
        for model in list(self._open):
            self._send(model)
        while self._running:
            self.collect(None)

    def collect(self, timeout: float | None = 0) -> None:
        """Hand over what came back, waiting at most so many seconds for something to come; None is for ever."""
        ended, _ = wait(self._running, timeout, FIRST_COMPLETED)
        for future in ended:
            self._answered(self._running.pop(future), future)

    def again(self, batch: Batch) -> None:
        """Send a batch as it is."""
        self._running[self._pool.submit(_embed, batch)] = batch

    def _send(self, model: uuid.UUID) -> None:
        while len(self._running) >= REQUESTS:
            self.collect(None)
        batch = self._open.pop(model)
        if self._sending(batch):
            self.again(batch)


def _embed(batch: Batch) -> Vectors:
    return embedder_for(embedding_target(batch.model)).embed(batch.texts, kind="document")


def embed_texts(model: EndpointModel, texts: Sequence[str]) -> Vectors:
    """Return one vector per text, which is kept under `model`, whose endpoint should be loaded. Raises EmbeddingError.

    Patient, and blocks: for workers.
    """
    vectors = embedder_for(embedding_target(model)).embed(texts, kind="document")
    learn_dimensions(model, vectors.shape[1])
    return vectors


def embedded_beside(draft: Draft) -> VectorsByModel:
    """The vectors of a document under the model that its store is on its way to; empty where it is on no way.

    Empty also where they cannot be had now: what lacks them gets them later, before the store switches.
    """
    model = second_model(draft.job.document.store_id)
    if model is None:
        return {}
    try:
        return {model.pk: embed_texts(model, [piece.embedding_text for piece in draft.pieces])}
    except EmbeddingError as error:
        logger.warning("A document gets its vectors under another model later: %s", error)
        return {}


def probe(model: EndpointModel) -> None:
    """Have the model embed one text. Raises EmbeddingError where it does not, or not as it did before.

    Impatient: for somebody who waits for the page.
    """
    vectors = embedder_for(embedding_target(model)).embed([_PROBE], kind="query")
    learn_dimensions(model, vectors.shape[1])


def learn_dimensions(model: EndpointModel, length: int) -> None:
    """Keep the length of the first answer; all vectors of a model have one length. Raises EmbeddingDimensionError."""
    if model.dimensions is None:
        if length > MAX_DIMENSIONS:
            raise EmbeddingDimensionError(
                f"The embeddings server answers with vectors of {length} numbers; at most {MAX_DIMENSIONS} can be kept."
            )
        EndpointModel.objects.filter(pk=model.pk, dimensions=None).update(dimensions=length)
        model.refresh_from_db(fields=["dimensions"])
    if model.dimensions != length:
        raise EmbeddingDimensionError(
            f"The embeddings server answers with vectors of {length} numbers; they had {model.dimensions} so far."
        )
