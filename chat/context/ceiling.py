"""What yields first where not everything fits: all that may yield stands in one line, and the line is cut once.

The line begins with what is given up last: the summary, facts about the person, then passages (best first) and earlier
turns (newest first). These two stand side by side, whichever has had fewer tokens so far coming next: earlier turns
yield to passages until both have the same room, and neither drives the other out. Since the line does not
depend on the room, more room never drops what less room kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from chat.context import facts as fact_texts
from chat.context.passages import BLOCK_TOKENS, NumberedPassage, is_whole, passage_tokens
from chat.context.replay import replayable
from chat.context.shortening import LEAST
from chat.context.tokens import PER_ITEM, items_tokens
from chat.selectors.branches import PastTurn
from chat.selectors.memory import RecalledFact

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Piece(Generic[T]):
    """Something that goes in whole or not at all."""

    value: T
    tokens: int


Line = Sequence[Piece[PastTurn] | Piece[NumberedPassage] | Piece[RecalledFact]]


@dataclass(frozen=True, slots=True)
class Kept:
    """What of a line fits, with its tokens: turns from the oldest on, facts from the best on, passages by number."""

    facts: tuple[RecalledFact, ...]
    turns: tuple[PastTurn, ...]
    passages: tuple[NumberedPassage, ...]
    fact_tokens: int
    window_tokens: int
    passage_tokens: int


def turn_pieces(turns: Iterable[PastTurn], limit: int | None) -> list[Piece[PastTurn]]:
    """The last of `turns` that have at most `limit` tokens together, from the newest on.

    Where the newest one alone has more, its texts are shortened: what was said last is never left out whole.
    """
    pieces: list[Piece[PastTurn]] = []
    spent = 0
    for turn in reversed(tuple(turns)):
        piece = Piece(turn, items_tokens(turn.items))
        if limit is not None and piece.tokens > limit and not pieces:
            # a question and an answer
            short = replayable(turn, max(LEAST, limit // 2 - PER_ITEM))
            piece = Piece(short, items_tokens(short.items))
        spent += piece.tokens
        if limit is not None and spent > limit:
            break
        pieces.append(piece)
    return pieces


def begun_alike(pieces: list[Piece[PastTurn]], depth: int) -> list[Piece[PastTurn]]:
    """Leave out so many of the oldest turns (the last of `pieces`) that this is needed in some turns only.

    A window that moved with every turn would begin otherwise each time, and no server's prompt cache would know its
    request. Less than a quarter is left out, and nothing where all of the branch's `depth` turns are there.
    """
    stride = 1 << max(0, (len(pieces) // 4).bit_length() - 1)
    early = -(depth - len(pieces)) % stride
    return pieces[: len(pieces) - early]


def fact_pieces(facts: Iterable[RecalledFact]) -> list[Piece[RecalledFact]]:
    """The facts, best first; the first one pays for the block around them."""
    return [
        Piece(fact, fact_texts.fact_tokens(fact) + (0 if place else fact_texts.BLOCK_TOKENS))
        for place, fact in enumerate(facts)
    ]


def passage_pieces(passages: Iterable[NumberedPassage]) -> list[Piece[NumberedPassage]]:
    """The passages, best first; the first one pays for the block around them, and for a message where it has its own.

    Their numbers follow the order in which they are read, which is another.
    """
    ranked = sorted(passages, key=lambda passage: (-passage.score, passage.number))
    around = BLOCK_TOKENS + (PER_ITEM if is_whole(ranked) else 0)
    return [Piece(passage, passage_tokens(passage) + (0 if place else around)) for place, passage in enumerate(ranked)]


def in_line(
    turns: Sequence[Piece[PastTurn]], passages: Sequence[Piece[NumberedPassage]], *, turns_first: bool = False
) -> Line:
    """Put turns (newest first) and passages (best first) into the order in which they are kept."""
    if turns_first:
        return [*turns, *passages]
    line: list[Piece[PastTurn] | Piece[NumberedPassage]] = []
    said = quoted = turn = passage = 0
    while turn < len(turns) and passage < len(passages):
        if quoted <= said:
            line.append(passages[passage])
            quoted += passages[passage].tokens
            passage += 1
        else:
            line.append(turns[turn])
            said += turns[turn].tokens
            turn += 1
    return [*line, *turns[turn:], *passages[passage:]]


def kept_of(line: Line, budget: int) -> Kept:
    """Cut the line behind the last piece that fits into `budget` tokens together with all before it."""
    facts: list[RecalledFact] = []
    turns: list[PastTurn] = []
    passages: list[NumberedPassage] = []
    known = said = quoted = 0
    for piece in line:
        if known + said + quoted + piece.tokens > budget:
            break
        if isinstance(piece.value, PastTurn):
            turns.insert(0, piece.value)
            said += piece.tokens
        elif isinstance(piece.value, RecalledFact):
            facts.append(piece.value)
            known += piece.tokens
        else:
            passages.append(piece.value)
            quoted += piece.tokens
    read = tuple(sorted(passages, key=lambda passage: passage.number))
    return Kept(tuple(facts), tuple(turns), read, known, said, quoted)
