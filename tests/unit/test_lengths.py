"""Numbers in the sentences of servers that refuse a request as too long, and what follows from them."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.errors import ContextLengthError, Repair
from chat.providers.openai.failures import failure_in_stream, failure_of_status
from chat.turns.measuring import STEP
from chat.turns.repairs import refused_ratio
from tests.materials import choice


def refused(message: str, **fields: Any) -> ContextLengthError:
    body = {"error": {"message": message, "type": "invalid_request_error", "code": None, **fields}}
    failure = failure_of_status(400, {}, json.dumps(body).encode())
    assert isinstance(failure, ContextLengthError)
    return failure


@pytest.mark.parametrize(
    ("message", "counted", "limit"),
    [
        (
            "This model's maximum context length is 16384 tokens. However, you requested 122946 tokens "
            "(112946 in the messages, 10000 in the completion). Please reduce the length.",
            112_946, 16_384,
        ),
        (
            "This model's maximum context length is 4097 tokens, however you requested 5360 tokens "
            "(1360 in your prompt; 4000 for the completion).",
            1_360, 4_097,
        ),
        (
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 12000 tokens "
            "(11000 in the messages, 1000 in the functions).",
            12_000, 8_192,
        ),
        (
            "You passed 5001 input tokens and requested 100 output tokens. However, the model's context length is only "
            "4096 tokens, resulting in a maximum input length of 3996 tokens.",
            5_001, 3_996,
        ),
        ("request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it", 5_000, 4_096),
        ("prompt is too long: 210,000 tokens > 200,000 maximum", 210_000, 200_000),
        (
            "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
            537_812, 131_072,
        ),
        (
            "This endpoint's maximum context length is 131072 tokens. However, you requested about 300000 tokens "
            "(299000 of text input, 1000 in the output).",
            299_000, 131_072,
        ),
        ("The input token count (1200000) exceeds the maximum number of tokens allowed (104857).", 1_200_000, 104_857),
        ("Your input exceeds the context window of this model. Please adjust your input and try again.", None, None),
    ],
)  # fmt: skip
def test_the_numbers_are_found_in_the_sentences_of_servers(
    message: str, counted: int | None, limit: int | None
) -> None:
    failure = refused(message)
    assert (failure.counted, failure.limit) == (counted, limit)
    assert failure.repair is Repair.SHORTEN
    streamed = failure_in_stream({"type": "error", "error": {"code": "context_length_exceeded", "message": message}})
    assert isinstance(streamed, ContextLengthError)
    assert (streamed.counted, streamed.limit) == (counted, limit)


def test_fields_say_it_too() -> None:
    failure = refused("too long", type="exceed_context_size_error", n_prompt_tokens=1_407, n_ctx=256)
    assert (failure.counted, failure.limit) == (1_407, 256)


def test_the_ratio_is_that_of_the_servers_count() -> None:
    model, error = choice(10_000, 1_000), ContextLengthError(counted=12_000)
    assert refused_ratio(model, error, counted=8_000, answer=1_000) == 1.5


def test_a_smaller_window_of_the_server_counts_like_more_tokens() -> None:
    model, error = choice(10_000, 1_000), ContextLengthError(counted=8_000, limit=5_500)
    assert refused_ratio(model, error, counted=8_000, answer=1_000) == 2.0


COUNTS = st.none() | st.integers(0, 10**7)


@given(st.integers(600, 200_000), st.integers(1, 500), st.floats(1, 4), COUNTS, COUNTS, st.floats(0.001, 1))
def test_whatever_a_server_says_the_next_request_is_shorter(
    window: int, answer: int, ratio: float, counted: int | None, limit: int | None, share: float
) -> None:
    model = choice(window, answer, ratio)
    sent = math.ceil(model.ceiling(answer) * share)
    if sent < 2:
        return
    learned = refused_ratio(model, ContextLengthError(counted=counted, limit=limit), counted=sent, answer=answer)
    assert model.with_ratio(learned).ceiling(answer) < sent
    assert learned >= ratio - STEP
    assert math.isclose(learned / STEP, round(learned / STEP), abs_tol=1e-6)
