"""The passages of one run of a turn, numbered on as tools find more.

A number means one passage for the whole turn; the same passage found again keeps its number. A passage that a tool
found counts only once the call has ended with a result: before that the model has not seen it.
"""

from collections.abc import Sequence

from chat.context.passages import NumberedPassage, number
from retrieval.search import Passage


class Numbering:
    """Belongs to one event loop."""

    def __init__(self, passages: Sequence[NumberedPassage] = ()) -> None:
        self._known = {_place(passage): passage for passage in passages}
        self._shown = {passage.number: passage for passage in passages}
        self._cited: dict[str, list[NumberedPassage]] = {}
        self._next = max(self._shown, default=0) + 1

    @property
    def shown(self) -> tuple[NumberedPassage, ...]:
        """What the model has before it, or had in an earlier step, by number."""
        return tuple(self._shown[number] for number in sorted(self._shown))

    @property
    def found(self) -> tuple[NumberedPassage, ...]:
        """Those of them that tools found."""
        return tuple(passage for passage in self.shown if passage.call)

    def cite(self, call_id: str, found: Sequence[Passage]) -> list[int]:
        """Number what a call found, and return the numbers in the same order."""
        numbers = []
        for passage in number(found, call=call_id):
            known = self._known.get(_place(passage))
            if known is None:
                known = passage.numbered(self._next)
                self._known[_place(known)] = known
                self._next += 1
            self._cited.setdefault(call_id, []).append(known)
            numbers.append(known.number)
        return numbers

    def show(self, call_id: str) -> tuple[NumberedPassage, ...]:
        """Count what a call found, now that it has ended, and return it."""
        cited = tuple(self._cited.pop(call_id, ()))
        self._shown.update({passage.number: passage for passage in cited})
        return cited


def _place(passage: NumberedPassage) -> tuple[object, int, int]:
    return passage.revision, passage.start, passage.end
