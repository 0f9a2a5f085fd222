"""How long a refused request was and how long it may be, where a server says so, in fields or in words.

There is no form for it: OpenAI, vLLM, llama.cpp, Mistral, xAI, Google and gateways each have a sentence of their own,
some several.
"""

import re
from collections.abc import Mapping
from typing import Any

from chat.providers.openai.fields import whole_number

# From the most exact on: some servers name the input, the answer and the sum of both in one sentence.
_COUNTED = (
    r"resulted in (\d+) tokens",
    r"(\d+) (?:tokens )?(?:in|of) (?:the |your )?(?:text )?(?:messages|prompt|input)\b",
    r"(\d+) input tokens",
    r"input token count (?:of )?\(?(\d+)",
    r"(?:request|prompt)[^.\d]{0,40}(\d+) tokens",
)
_LIMIT = (
    r"maximum (?:input|prompt) length[^.\d]{0,20}(\d+)",
    r"context (?:length|size|window)[^.\d]{0,20}(\d+)",
    r"(\d+) maximum\b",
    r"maximum number of tokens allowed[^.\d]{0,20}(\d+)",
)
_COMMA = re.compile(r"(?<=\d),(?=\d{3}\b)")


def counted_in(message: str, fields: Mapping[str, Any]) -> int | None:
    """The tokens that the server counted in the request, without those kept for its answer."""
    # llama.cpp
    return whole_number(fields.get("n_prompt_tokens")) or _found(_COUNTED, message)


def limit_in(message: str, fields: Mapping[str, Any]) -> int | None:
    """The tokens that the server's model takes."""
    return whole_number(fields.get("n_ctx")) or _found(_LIMIT, message)


def _found(patterns: tuple[str, ...], message: str) -> int | None:
    plain = _COMMA.sub("", message)
    matches = (re.search(pattern, plain, re.IGNORECASE) for pattern in patterns)
    return next((int(match[1]) or None for match in matches if match), None)
