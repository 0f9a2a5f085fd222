"""Which provider embeds: an explicit list, by the name that endpoints have."""

from collections.abc import Callable
from functools import cache

from retrieval.embeddings.base import Embedder, EmbeddingTarget
from retrieval.embeddings.hashing import HashingEmbedder
from retrieval.embeddings.openai import OpenAIEmbedder
from retrieval.errors import EmbeddingProviderError

_PROVIDERS: dict[str, Callable[[EmbeddingTarget], Embedder]] = {
    "openai": OpenAIEmbedder,
    "hashing": lambda target: HashingEmbedder(),
}


@cache
def embedder_for(target: EmbeddingTarget) -> Embedder:
    """The embedder of that target; the same one for the same target, so that connections are kept.

    Raises EmbeddingProviderError where no provider has that name.
    """
    if target.provider not in _PROVIDERS:
        raise EmbeddingProviderError(f"There is no embeddings provider named {target.provider}.")
    return _PROVIDERS[target.provider](target)
