"""What is changed in a request that a server refused, so that it may take the next one."""

import logging
import math
import uuid
from dataclasses import replace

from chat.context.assembly import Assembled
from chat.context.tokens import items_tokens
from chat.errors import ContextLengthError
from chat.providers.base import Usage
from chat.providers.items import without_reasoning
from chat.selectors.targets import ModelChoice
from chat.turns.measuring import HIGHEST, MEASURE, STEP, ratio_of
from core import statements
from core.bridge import in_database

logger = logging.getLogger(__name__)

# How many times shorter the next request is where the server gives no numbers to go by.
SHORTER = 1.25


class Lengths:
    """What one run of a turn has learned about how long the requests of its models may be."""

    def __init__(self) -> None:
        self._ratios: dict[uuid.UUID, float] = {}

    def of(self, choice: ModelChoice) -> ModelChoice:
        """The model with what was learned of it."""
        return choice.with_ratio(self._ratios.get(choice.row.pk, 1.0))

    def note(self, choice: ModelChoice, usage: Usage | None, assembled: Assembled) -> None:
        """Learn from what a server counted, for the next steps; `recorder` stores it for other turns."""
        if usage is not None and (ratio := ratio_of(usage, counted=assembled.tokens, ceiling=assembled.ceiling)):
            self._learn(choice, ratio)

    async def refused(self, choice: ModelChoice, error: ContextLengthError, assembled: Assembled) -> None:
        """Learn that this request was too long.

        Stored for other turns as far as a tokenizer can be the reason. Where it cannot, the server's window is smaller
        than the model's row says: for an administrator to mend.
        """
        answer = assembled.request.parameters["max_output_tokens"]
        ratio = refused_ratio(choice, error, counted=assembled.tokens, answer=answer)
        self._learn(choice, ratio)
        if error.limit is not None and error.limit < choice.row.context_window:
            logger.warning(
                "The server of %s takes %d tokens; its row says %d",
                choice.row.name, error.limit, choice.row.context_window,
            )  # fmt: skip
        if ratio <= HIGHEST:
            await in_database(statements.execute, MEASURE, {"model": choice.row.pk, "ratio": ratio})

    def _learn(self, choice: ModelChoice, ratio: float) -> None:
        self._ratios[choice.row.pk] = max(ratio, self._ratios.get(choice.row.pk, 1.0))


def refused_ratio(choice: ModelChoice, error: ContextLengthError, *, counted: int, answer: int) -> float:
    """The ratio that makes the next request short enough, after one of `counted` tokens (by our count) was refused.

    From the server's numbers, in whole steps; where there are none, or they explain nothing, the request becomes
    `SHORTER`.
    """
    ratio, window = choice.ratio, choice.row.context_window
    if error.counted is not None:
        ratio = max(ratio, error.counted / counted)
    if error.limit is not None and answer < error.limit < window:
        ratio *= (window - answer) / (error.limit - answer)
    if choice.with_ratio(ratio).ceiling(answer) >= counted:
        ratio = choice.ratio_for(max(1, int(counted / SHORTER)), answer)
    return round(math.ceil(round(ratio / STEP, 6)) * STEP, 2)


def without_sealed(assembled: Assembled) -> Assembled:
    """The request without reasoning that the server cannot read; the same object where it has none."""
    sent = assembled.request.input
    stripped = without_reasoning(sent)
    if not (count := len(sent) - len(stripped)):
        return assembled
    note = {"count": count, "why": "the server could not read its sealed form"}
    tokens = dict(assembled.manifest["tokens"])
    # reasoning is replayed only within its turn
    tokens["steps"] -= items_tokens(sent) - items_tokens(stripped)
    manifest = {**assembled.manifest, "stripped_reasoning": note, "tokens": tokens}
    return replace(assembled, request=replace(assembled.request, input=stripped), manifest=manifest)
