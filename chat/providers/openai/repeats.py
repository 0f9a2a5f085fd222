"""Drops events that a server or gateway sent twice, and remembers how far the stream has come.

A repeated `sequence_number` alone proves nothing: some gateways give every event the same one. So an event is a
repeat if its number and its content were seen together; a number that comes back with other content shows that the
numbers of this stream mean nothing. From then on nothing is dropped, and what was dropped before is owed.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from chat.providers.openai.fields import whole_number

Event: TypeAlias = Mapping[str, Any]

REMEMBERED = 4096
"""Events of the past that are compared with: a repeat comes soon, and a long answer must not grow the memory."""

MOST_OWED = 64


class Repeats:
    """`owed` holds events that turned out to be no repeats: take them before the event that showed it."""

    def __init__(self) -> None:
        self.owed: list[Event] = []
        self._marks: dict[int, tuple[object, ...]] = {}
        self._older: dict[int, tuple[object, ...]] = {}
        self._dropped: list[Event] = []
        self._trusted = True
        self._highest: int | None = None
        self._skipped_to = -1

    @property
    def reached(self) -> int | None:
        """The highest number so far; None where the stream has no numbers that mean something."""
        return self._highest if self._trusted else None

    def resume(self) -> None:
        """A new connection goes on after `reached`: what a server sends again from before is dropped unseen."""
        self._skipped_to = -1 if self._highest is None else self._highest

    def seen(self, event: Event) -> bool:
        number = event.get("sequence_number")
        if type(number) is not int:
            number = whole_number(number)
        if number is None or not self._trusted:
            return False
        if number <= self._skipped_to:
            return True
        mark = (event.get("type"), event.get("output_index"), event.get("delta"))
        before = self._marks.get(number) or self._older.get(number)
        if before is None:
            self._note(number, mark)
            return False
        if before == mark:
            if len(self._dropped) < MOST_OWED:
                self._dropped.append(event)
            return True
        self._trusted = False
        self.owed, self._dropped = self._dropped, []
        self._marks, self._older = {}, {}
        return False

    def _note(self, number: int, mark: tuple[object, ...]) -> None:
        if len(self._marks) >= REMEMBERED:
            self._older, self._marks = self._marks, {}
        self._marks[number] = mark
        if self._highest is None or number > self._highest:
            self._highest = number
