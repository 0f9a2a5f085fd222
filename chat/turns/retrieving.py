"""Which passages a turn's question comes with: all that there are, where they are few, else those that search finds."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from chat.context.assembly import assemble
from chat.context.materials import Materials
from chat.context.passages import NumberedPassage, number
from chat.errors import InputTooLongError
from chat.providers.registry import Providers
from chat.selectors.targets import ModelChoice
from chat.turns.job import Job
from chat.turns.rewriting import standalone
from core.bridge import in_database
from core.models import Endpoint
from retrieval.search import QueryVectors, Whole, in_reading_order, retrieve, whole


@dataclass(frozen=True, slots=True)
class Retrieved:
    """`note` says for the manifest how the passages were come by; empty where the version has set nothing about it."""

    passages: tuple[NumberedPassage, ...]
    note: Mapping[str, Any]


NOT_TRIED = Retrieved((), {})


def may_go_whole(job: Job) -> bool:
    """Whether the version lets documents go in whole."""
    return bool(_limit(job))


async def all_there_is(job: Job, first_step: Callable[[], Awaitable[Materials]]) -> Retrieved:
    """Return all documents of the turn where they go in whole; without passages the note says why they do not.

    `first_step` gives what the first step is made from, but for passages.
    """
    there = await in_database(_whole, job)
    passages = tuple(number(there.passages, whole=True))
    if not (why := _why_not(job, there) or await _without_room(job, passages, first_step)):
        return Retrieved(passages, {"how": "whole", "tokens": there.tokens})
    return Retrieved((), {"how": "search", "why": why})


async def searched(job: Job, vectors: QueryVectors, providers: Providers, note: Mapping[str, Any]) -> Retrieved:
    """Return what search finds. Raises EmbeddingError where the question cannot be embedded."""
    query, rewriting = await standalone(job, providers)
    if query is not None:
        vectors = QueryVectors(query)
    found = await retrieve(
        vectors.query, scope=job.scope, limit=job.version.passages, vectors=vectors, filter=job.wanted
    )
    return Retrieved(tuple(number(in_reading_order(found))), {**note, **rewriting})


def _limit(job: Job) -> int:
    return int(job.version.retrieval_parameters.get("whole_tokens") or 0)


def _whole(job: Job) -> Whole:
    return whole(job.scope, limit=_limit(job), filter=job.wanted)


def _why_not(job: Job, there: Whole) -> str:
    if there.tokens > _limit(job):
        return "too_long"
    if not there.passages:
        return "nothing_there"
    only_quotes = any(choice.target.provider == Endpoint.Provider.EXTRACTIVE for choice in job.models)
    return "quoted_only" if only_quotes else ""


async def _without_room(
    job: Job, passages: tuple[NumberedPassage, ...], first_step: Callable[[], Awaitable[Materials]]
) -> str:
    """Any of the version's models may be asked, and all see the same passages under the same numbers."""
    materials = replace(await first_step(), passages=passages)
    return "" if all(_fits(materials, choice) for choice in job.models) else "no_room"


def _fits(materials: Materials, choice: ModelChoice) -> bool:
    try:
        return assemble(materials, choice=choice, step=0).passages == materials.passages
    except InputTooLongError:
        return False
