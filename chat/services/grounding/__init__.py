"""Whether a text that a model wrote is founded on what it was given: its numbers, quotations and names.

No proof of truth. A text whose numbers, quotations and names all stand in its sources may still turn them round; one
that has some which stand nowhere has made them up, and that is what is looked for here.

Measured with extracts (every third sentence, shuffled) of 529 texts: abstracts of scifact, passages and conversations
of MTRAG-UN, the corpora of Chroma's chunking evaluation, and a long article. No number and no name was a false alarm;
five extracts (0.9 %) were, each for a quotation that the extract itself had cut apart. Of names put in the place of
others 98 % were found (275 of 280), of numbers changed by up to 20 in one place 88 % (239 of 272): the rest happened to
stand elsewhere in the text. Thirteen summaries in other words, in seven languages with German among them, pass
(`tests/unit/test_grounding.py`). What is not seen: a name alone in German, at the beginning of a sentence, or in a
script without capitals.
"""

from collections.abc import Iterable

from chat.services.grounding.found import Unfounded
from chat.services.grounding.names import unfounded_names
from chat.services.grounding.numbers import unfounded_numbers
from chat.services.grounding.quotations import stands_in, unfounded_quotations

__all__ = ["Unfounded", "stands_in", "unfounded"]


def unfounded(text: str, sources: Iterable[str]) -> tuple[Unfounded, ...]:
    """Return what `text` says that occurs in none of `sources`, each once, in the order of its kind and place."""
    source = "\n".join(sources)
    found = (
        *(Unfounded("number", number) for number in unfounded_numbers(text, source)),
        *(Unfounded("quotation", quotation) for quotation in unfounded_quotations(text, source)),
        *(Unfounded("name", name) for name in unfounded_names(text, source)),
    )
    return tuple(dict.fromkeys(found))
