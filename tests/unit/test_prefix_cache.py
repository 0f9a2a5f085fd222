"""The upstream's cache of beginnings finds what a real one finds, and nothing more: benchmarks rest on it."""

from typing import Any

import pytest

from tests.upstream.caching import LEAST, STEP, PrefixCache
from tests.upstream.prose import prose


def body(*texts: str, **fields: Any) -> dict[str, Any]:
    items = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]} for text in texts]
    return {"model": "m", "prompt_cache_key": "one", "instructions": "Be brief.", "input": items, **fields}


def counts(cache: PrefixCache, asked: dict[str, Any]) -> tuple[int, int]:
    usage = cache.counted(asked)
    return usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"]


LONG, NEXT = prose("a long text", 100), prose("another one", 30)


def test_the_same_again_is_cached_in_whole_steps() -> None:
    cache = PrefixCache()
    sent, cached = counts(cache, body(LONG))
    assert sent > LEAST + STEP
    assert cached == 0
    again, cached = counts(cache, body(LONG))
    assert again == sent
    assert 0 <= sent - cached < STEP
    assert (cached - LEAST) % STEP == 0


def test_what_goes_on_finds_its_beginning() -> None:
    cache = PrefixCache()
    sent, _ = counts(cache, body(LONG))
    more, cached = counts(cache, body(LONG, NEXT))
    assert sent - STEP < cached <= sent < more


def test_a_short_one_is_never_cached() -> None:
    cache = PrefixCache()
    for _ in range(2):
        sent, cached = counts(cache, body("Hello?"))
        assert (sent < LEAST, cached) == (True, 0)


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "other"},
        {"prompt_cache_key": "two"},
        {"instructions": "Be long."},
        {"tools": [{"type": "function", "name": "clock"}]},
        {"text": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
    ],
)
def test_what_begins_otherwise_is_not_cached(changed: dict[str, Any]) -> None:
    cache = PrefixCache()
    cache.counted(body(LONG))
    assert counts(cache, body(LONG, **changed))[1] == 0
    assert counts(cache, body(LONG))[1] > 0, "the control"


def test_a_first_item_that_goes_takes_all_with_it() -> None:
    """What a window that moves by one turn does to a cache."""
    cache = PrefixCache()
    cache.counted(body("First.", LONG, NEXT))
    assert counts(cache, body(LONG, NEXT))[1] == 0
    assert counts(cache, body("First.", LONG, "Otherwise."))[1] > LEAST, "the control"
