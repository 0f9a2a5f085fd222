"""One question to a version's utility model, outside of every turn: what summaries, titles and facts are made with.

For workers: it waits for the whole answer, at most `DEADLINE` seconds. What it cost is written down
(`chat.services.background_calls`).
"""

import asyncio
import re
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from django.conf.locale import LANG_INFO

from chat.errors import ContentFilteredError, GenerationFailedError, UpstreamTimeoutError
from chat.models import AssistantVersion
from chat.providers.base import Finished, Request, Target, output_text, refusal
from chat.providers.registry import Providers
from chat.selectors.targets import ModelChoice, chat_model, choice_of
from chat.services.background_calls import background_call
from chat.turns.costs import Occasion
from core.errors import UnavailableError
from core.models import Endpoint
from retrieval.extraction.language import detect_language

# Seconds for a whole answer. Nobody waits for it, but other work may wait for the worker.
DEADLINE = 90.0

_CHINESE = {"zh": "Chinese"}  # Django knows it by its scripts only


@dataclass(frozen=True, slots=True)
class Said:
    """What the model said; `whole` is false where it came to the limit of its answer."""

    text: str
    whole: bool


def utility_model(version: AssistantVersion) -> ModelChoice | None:
    """The model that a version's summaries, titles and facts are made with; None where it can only quote.

    Raises `NoModelError` for one that is switched off.
    """
    model = version.utility_model or chat_model(version)
    return None if model.endpoint.provider == Endpoint.Provider.EXTRACTIVE else choice_of(model)


def ask(
    *,
    instructions: str,
    text: str,
    choice: ModelChoice,
    max_output_tokens: int,
    occasion: Occasion,
    form: Mapping[str, Any] | None = None,
) -> Said:
    """Ask, and wait for the answer. Not within a transaction: what it costs is kept, whatever comes of it.

    `form` is a strict JSON schema for the answer, as the API has it under `text.format`; it goes along where the server
    is known to keep to one, so the instructions have to say the same.
    Raises ProviderError, or UnavailableError where the model said nothing; a refusal is a ContentFilteredError.
    """
    parameters: dict[str, Any] = {"max_output_tokens": min(max_output_tokens, choice.row.max_output_tokens)}
    if form is not None and choice.target.capabilities.has("json_schema"):
        parameters["text"] = {"format": form}
    request = Request(
        instructions=instructions,
        input=({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]},),
        parameters=parameters,
    )
    with background_call(occasion, choice) as call:
        call.finished = asyncio.run(_finished(request, choice.target))
        return _said(call.finished)


def _said(finished: Finished) -> Said:
    if finished.error is not None:
        raise finished.error
    if finished.status == "failed":
        raise GenerationFailedError
    if finished.incomplete_reason == "content_filter":
        raise ContentFilteredError
    if refusal(finished.output) is not None:
        raise ContentFilteredError("The model refused.")
    text = output_text(finished.output).replace("\x00", "").strip()
    if not text:
        raise UnavailableError("The model said nothing.")
    return Said(text, whole=finished.status == "completed")


async def _finished(request: Request, target: Target) -> Finished:
    providers = Providers()
    try:
        async with (
            asyncio.timeout(DEADLINE),
            aclosing(providers.get(target.provider).stream(request, target)) as stream,
        ):
            async for event in stream:
                if isinstance(event, Finished):
                    return event
    except TimeoutError as error:
        raise UpstreamTimeoutError from error
    finally:
        await providers.aclose()
    raise RuntimeError("a provider's stream ended without Finished")


def quoted(tag: str, text: str) -> str:
    """Return text as data between tags, which it cannot close."""
    inside = _CLOSING.sub(r"<\\/", text)
    return f"<{tag}>\n{inside}\n</{tag}>"


_CLOSING = re.compile(r"</(?=\s*(?:record|turn|user|assistant|summary|known)\b)", re.IGNORECASE)


def in_language_of(*texts: str) -> str:
    """Return the sentence that tells a model its language: that of the first of these texts where it is clear."""
    for text in texts:
        code = detect_language(text)
        name = LANG_INFO.get(code, {}).get("name") or _CHINESE.get(code)
        if name:
            return f"Write in {name}."
    return "Write in the language of the conversation."
