"""The parts of embedding that need no server."""

import base64
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.tokens import count_tokens
from retrieval.embeddings import EmbeddingTarget, embedder_for
from retrieval.embeddings.answers import read_vectors
from retrieval.embeddings.batches import batches
from retrieval.embeddings.hashing import DIMENSIONS, HashingEmbedder
from retrieval.embeddings.retrying import Patience, Refusal, patiently
from retrieval.errors import EmbeddingInvalidError, EmbeddingProviderError, EmbeddingUnavailableError

HASHING = EmbeddingTarget(provider="hashing", model="hashing-512")


def similarity(one: str, other: str) -> float:
    vectors = HashingEmbedder().embed([one, other], kind="document")
    return float(vectors[0] @ vectors[1])


@example(["", "\u0301", "!?", " "])
@given(st.lists(st.text(max_size=60), max_size=5))
def test_hashed_vectors_have_unit_length(texts: list[str]) -> None:
    vectors = HashingEmbedder().embed(texts, kind="document")
    assert vectors.shape == (len(texts), DIMENSIONS)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_hashed_texts_that_share_words_are_near() -> None:
    about = "Spare wicks for the lighthouse lamp are stored in cabinet 7B."
    assert similarity(about, "where are the spare wicks of the lamp?") > 0.3
    assert similarity(about, "Where is lighthouse lamps' storage?") > similarity(about, "When do ferries moor?") + 0.15
    assert similarity("Leuchtturmwärter", "Leuchtturm") > 0.2
    assert similarity(about, about) == pytest.approx(1, abs=1e-5)


def test_hashing_is_the_same_in_every_process() -> None:
    code = "from retrieval.embeddings.hashing import *; v = HashingEmbedder().embed(['a red lamp'], kind='query')[0]; "
    code += "print([int(i) for i in v.nonzero()[0]])"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    here = HashingEmbedder().embed(["a red lamp"], kind="query")[0]
    assert outputs == {f"{[int(i) for i in here.nonzero()[0]]}\n"}


async def test_hashing_queries() -> None:
    asked = await embedder_for(HASHING).aembed(["lamp"], kind="query")
    assert np.array_equal(asked, embedder_for(HASHING).embed(["lamp"], kind="document"))


def test_one_embedder_for_one_target() -> None:
    assert embedder_for(HASHING) is embedder_for(EmbeddingTarget(provider="hashing", model="hashing-512"))


def test_a_provider_nobody_knows() -> None:
    with pytest.raises(EmbeddingProviderError, match="nobody"):
        embedder_for(EmbeddingTarget(provider="nobody", model="x"))


def test_a_target_does_not_show_its_key() -> None:
    shown = repr(EmbeddingTarget(provider="openai", model="m", api_key="sk-hush", headers=(("x", "hush"),)))
    assert "hush" not in shown


@given(
    st.lists(st.sampled_from(["one", "two words", "word " * 30, ""]), max_size=40),
    st.integers(1, 8),
    st.integers(1, 60),
)
def test_batches(texts: list[str], max_texts: int, max_tokens: int) -> None:
    spans = list(batches(texts, max_texts=max_texts, max_tokens=max_tokens))
    assert [index for span in spans for index in span] == list(range(len(texts)))
    for span in spans:
        tokens = sum(count_tokens(texts[index]) for index in span)
        assert 0 < len(span) <= max_texts
        assert tokens <= max_tokens or len(span) == 1
    for one, other in pairwise(spans):
        first = count_tokens(texts[other.start])
        tokens = sum(count_tokens(texts[index]) for index in one)
        assert len(one) == max_texts or tokens + first > max_tokens


def answer(*embeddings: object, order: list[int] | None = None) -> bytes:
    entries = [{"index": index, "embedding": embedding} for index, embedding in enumerate(embeddings)]
    return orjson.dumps({"data": [entries[index] for index in order or range(len(entries))]})


def packed(*values: float) -> str:
    return base64.b64encode(np.array(values, dtype="<f4").tobytes()).decode()


def test_answers_in_any_order_and_form() -> None:
    expected = np.array([[0.6, 0.8], [1, 0]], dtype=np.float32)
    for content in (
        answer([3, 4], [5, 0]),
        answer([3, 4], [5, 0], order=[1, 0]),
        answer(packed(3, 4), packed(5, 0)),
        answer(packed(3, 4), [5.0, 0.0]),
    ):
        assert np.allclose(read_vectors(content, 2), expected)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"data": null}',
        b'{"data": [{"index": 0}]}',
        answer(),
        answer([1, 2], [1, 2]),
        answer([]),
        answer("***"),
        answer("AAA="),
        answer([[1, 2]]),
        answer(["a", "b"]),
        answer([0, 0]),
        answer([None, 1]),
        answer(packed(float("nan"), 1)),
        answer(packed(float("inf"), 1)),
    ],
)
def test_answers_that_are_no_vectors(content: bytes) -> None:
    with pytest.raises(EmbeddingInvalidError):
        read_vectors(content, 1)


def test_answers_of_different_lengths() -> None:
    with pytest.raises(EmbeddingInvalidError):
        read_vectors(answer([1, 2], [1, 2, 3]), 2)


class Flaky:
    """Refuses some times, then answers."""

    def __init__(self, *refusals: Refusal) -> None:
        self.refusals = list(refusals)
        self.times: list[float] = []

    async def __call__(self) -> str:
        self.times.append(time.monotonic())
        if self.refusals:
            raise self.refusals.pop(0)
        return "done"


def busy(after: float | None = None, *, retryable: bool = True) -> Refusal:
    return Refusal(EmbeddingUnavailableError("busy", retryable=retryable), after)


PATIENCE = Patience(attempts=3, first=0.02, longest=0.2)


async def test_patience_is_rewarded() -> None:
    flaky = Flaky(busy(), busy())
    assert await patiently(flaky, PATIENCE) == "done"
    waits = [later - earlier for earlier, later in pairwise(flaky.times)]
    assert 0.009 < waits[0] < 0.1
    assert waits[1] > 0.018


async def test_a_server_that_says_when_is_heard() -> None:
    flaky = Flaky(busy(after=0.15))
    await patiently(flaky, PATIENCE)
    assert flaky.times[1] - flaky.times[0] >= 0.149


@pytest.mark.parametrize(
    ("refusals", "attempts"),
    [([busy(), busy(), busy(), busy()], 3), ([busy(after=5)], 1), ([busy(retryable=False)], 1)],
)
async def test_patience_ends(refusals: list[Refusal], attempts: int) -> None:
    flaky = Flaky(*refusals)
    with pytest.raises(EmbeddingUnavailableError):
        await patiently(flaky, PATIENCE)
    assert len(flaky.times) == attempts
