"""Drops events that a server or gateway sent twice.

A repeated `sequence_number` alone proves nothing: some gateways give every event the same one. So an event is a
repeat if its number and its content were seen together; a number that comes back with other content shows that the
numbers of this stream mean nothing, and from then on nothing is dropped.
"""

from collections.abc import Mapping
from typing import Any


class Repeats:
    def __init__(self) -> None:
        self._marks: dict[int, int] = {}
        self._trusted = True

    def seen(self, event: Mapping[str, Any]) -> bool:
        number = event.get("sequence_number")
        if not self._trusted or type(number) is not int:
            return False
        mark = hash((_plain(event, "type"), _plain(event, "output_index"), _plain(event, "delta")))
        if number not in self._marks:
            self._marks[number] = mark
            return False
        if self._marks[number] == mark:
            return True
        self._trusted = False
        self._marks.clear()
        return False


def _plain(event: Mapping[str, Any], name: str) -> str | int | None:
    value = event.get(name)
    return value if isinstance(value, str | int) else None
