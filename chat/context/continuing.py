"""What a model gets to see where an answer goes on that stopped before its end."""

from collections.abc import Iterable

from chat.models import Item
from chat.providers.items import Item as Wire
from chat.providers.items import without_reasoning
from chat.providers.joining import joined

# The person wrote none of it, so it is part of the request and no item: nothing shows it as their words. It comes as a
# user message all the same: templates of open models refuse a system message in the middle and know no developer.
INSTRUCTION = (
    "(A note of the application.) Your answer above stopped before its end. Go on exactly where it stops, as if there "
    "had been no break: repeat nothing, begin nothing anew, say nothing about the break. Your first character is the "
    "one that comes next, also where that is a blank, a line break or in the middle of a word."
)


def going_on(parts: Iterable[Iterable[Item]]) -> tuple[Wire, ...]:
    """Return what follows the question: the answer so far, given the items of its turns in order, and the wish.

    Its sealed reasoning stays out: what it led to may be among what is missing.
    """
    said = without_reasoning(joined([item.payload for item in part] for part in parts))
    note = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": INSTRUCTION}]}
    return (*said, note)
