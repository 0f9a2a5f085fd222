"""Vectors without a model: words, word pairs and letter groups hashed into a fixed number of places.

Lexical only: texts are near each other when they share words, forms of words or parts of them. It needs no
download and no server, gives the same vectors in every process, and fills the vector column where no
embeddings server is configured (feature hashing with signs: Weinberger et al. 2009).
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from core.words import stem, words
from retrieval.embeddings.base import Kind, Vectors, unit_length

DIMENSIONS = 512
MODEL = "hashing-512"

PAIR_WEIGHT = 0.2
GROUP_WEIGHT = 0.8
GROUP_LENGTHS = (3, 4, 5)
# Short words are mostly small ones, which tell little. Without a collection there is no better measure of rarity.
FULL_LENGTH = 8


class HashingEmbedder:
    """Embeds queries and documents alike. Both methods raise nothing, and take some milliseconds per
    chunk.
    """

    def embed(self, texts: Sequence[str], *, kind: Kind) -> Vectors:
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            _fill(row, text)
        return unit_length(vectors)

    async def aembed(self, texts: Sequence[str], *, kind: Kind) -> Vectors:
        return self.embed(texts, kind=kind)


def _fill(row: Vectors, text: str) -> None:
    stems = [stem(word) for word in words(text)]
    for word, count in Counter(stems).items():
        weight = (1 + math.log(count)) * _importance(word)
        places, signs = _places(word)
        row[places[0]] += weight * signs[0]
        if len(places) > 1:
            np.add.at(row, places[1:], weight * GROUP_WEIGHT / math.sqrt(len(places) - 1) * signs[1:])
    for pair in pairwise(stems):
        place, sign = _place("\0".join(pair))
        row[place] += PAIR_WEIGHT * sign * _importance(pair[0]) * _importance(pair[1])
    if not row.any():
        # A text without words still needs a direction, and so does one whose features cancel each other out.
        place, sign = _place("\0" + text.strip())
        row[place] = sign


def _importance(word: str) -> float:
    return 1.0 if word.isdigit() else min(len(word), FULL_LENGTH) / FULL_LENGTH


@lru_cache(maxsize=1 << 15)
def _places(word: str) -> tuple[NDArray[np.intp], Vectors]:
    found = [_place(word), *map(_place, _groups(word))]
    return np.array([place for place, _ in found]), np.array([sign for _, sign in found], dtype=np.float32)


def _groups(word: str) -> Iterator[str]:
    marked = f"^{word}$"
    for length in GROUP_LENGTHS:
        for start in range(len(marked) - length + 1):
            yield marked[start : start + length]


def _place(feature: str) -> tuple[int, int]:
    digest = hashlib.blake2b(feature.encode(), digest_size=8).digest()
    return int.from_bytes(digest[:7], "big") % DIMENSIONS, 1 if digest[7] & 1 else -1
