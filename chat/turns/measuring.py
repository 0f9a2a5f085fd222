"""How far a server's count of tokens is from ours: measured at the end of each response, kept with the model.

The ratio that a ceiling is made with (`ModelChoice.ceiling`) is an exponentially weighted maximum: it rises to what was
seen at once, so that no second request is too long, and falls slowly, since one language or kind of content costs more
than another. It moves in steps and falls every ten minutes at most, so the model's row stays the same for nearly all
turns, and with it what is kept in memory of it (`chat.selectors.targets.prepared`).
"""

import math

from chat.providers.base import Usage

STEP = 0.02
# Bounds against nonsense: what we count too much is no reason for longer requests, and no tokenizer has four times as
# many tokens as ours for what people write.
LOWEST, HIGHEST = 1.0, 4.0
# Tokens from which a request says something: a template around a short one is no measure of a long one.
MEASURED_FROM = 1_000

MEASURE = """
UPDATE core_endpointmodel SET
    token_ratio = greatest(%(ratio)s::float8, token_ratio - greatest(0.02, (token_ratio - %(ratio)s::float8) / 8)),
    token_ratio_at = now()
WHERE id = %(model)s AND (
    token_ratio < %(ratio)s::float8
    OR (token_ratio > %(ratio)s::float8 AND token_ratio_at < now() - interval '10 minutes'))
"""
"""SQL: one measurement of a model; a `ratio` of null is none. Writes nothing where nothing changes."""


def ratio_of(usage: Usage, *, counted: int, ceiling: int) -> float | None:
    """The tokens that a server reports for each one of `counted`, in whole steps; None where that says nothing.

    Of a model with a small window a quarter of its `ceiling` is enough to go by.
    """
    if usage.input_tokens is None or counted < min(MEASURED_FROM, ceiling // 4) or counted <= 0:
        return None
    steps = math.ceil(round(usage.input_tokens / counted / STEP, 6))
    return min(HIGHEST, max(LOWEST, round(steps * STEP, 2)))
