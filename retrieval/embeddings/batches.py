"""Groups texts into requests."""

from collections.abc import Iterator, Sequence

from core.tokens import count_tokens

MAX_TEXTS = 256
# OpenAI takes 300,000 tokens in a request; smaller ones fail less expensively.
MAX_TOKENS = 100_000


def batches(texts: Sequence[str], *, max_texts: int = MAX_TEXTS, max_tokens: int = MAX_TOKENS) -> Iterator[range]:
    """Ranges of indices of `texts`, in order, each with at most so many texts and tokens; a longer text
    stands alone.
    """
    start = tokens = 0
    for index, text in enumerate(texts):
        size = count_tokens(text)
        if index > start and (index - start == max_texts or tokens + size > max_tokens):
            yield range(start, index)
            start, tokens = index, 0
        tokens += size
    if texts:
        yield range(start, len(texts))
