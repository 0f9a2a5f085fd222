"""A conversation becomes a query without a model call.

Dense: the vectors of the last user turns, each older one at half the weight. Lexical: the last two user turns. On
MTRAG-UN this finds the passage of a follow-up question clearly more often than the last turn alone.
"""

from collections.abc import Sequence

from chat.selectors.branches import PastTurn
from retrieval.search import Query

DECAY = 0.5
# An eighth of a weight changes no ranking that matters.
DENSE_TURNS = 4
LEXICAL_TURNS = 2
# A pasted page is no better a question than its beginning, and an embedder has a window.
MAX_CHARS = 4_000


def make_query(question: str, past: Sequence[PastTurn]) -> Query:
    """Make the query for `question`, asked after `past` (oldest first)."""
    texts = [question, *(turn.user_text for turn in reversed(past))]
    texts = [text.strip()[:MAX_CHARS] for text in texts[:DENSE_TURNS] if text.strip()]
    dense = tuple((text, DECAY**age) for age, text in enumerate(texts))
    return Query(dense=dense, lexical="\n".join(texts[:LEXICAL_TURNS]))
