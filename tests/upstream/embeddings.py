"""Embeddings without a model: a hashed bag of words as a unit vector. Texts that share words are near each other."""

import base64
import hashlib
import math
import re
import struct
from typing import Any

from tests.upstream.script import Body

_WORD = re.compile(r"[^\W_]+")


def embed(text: str, dimensions: int) -> list[float]:
    """A unit vector; the same text gives the same vector in every process."""
    vector = [0.0] * dimensions
    for word in _WORD.findall(text.casefold()):
        stem = word[:-1] if len(word) > 3 and word.endswith("s") else word
        digest = hashlib.blake2b(stem.encode(), digest_size=8).digest()
        vector[int.from_bytes(digest[:4], "big") % dimensions] += 1.0 if digest[4] & 1 else -1.0
    length = math.sqrt(sum(value * value for value in vector))
    if length == 0.0:
        return [1.0, *vector[1:]]
    return [value / length for value in vector]


def embeddings_document(body: Body, default_dimensions: int) -> dict[str, Any]:
    """The answer of `POST /embeddings`; `encoding_format: base64` gives little-endian 32-bit floats."""
    given = body.get("input")
    texts = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    dimensions = int(body.get("dimensions") or default_dimensions)
    rows = [_row(at, str(text), dimensions, body.get("encoding_format")) for at, text in enumerate(texts)]
    tokens = sum(max(1, len(str(text)) // 4) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": rows, "model": body.get("model"), "usage": usage}


def _row(index: int, text: str, dimensions: int, encoding: object) -> dict[str, Any]:
    vector = embed(text, dimensions)
    packed = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode() if encoding == "base64" else vector
    return {"object": "embedding", "index": index, "embedding": packed}
