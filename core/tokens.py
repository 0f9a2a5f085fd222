"""How many tokens a text has for the o200k tokenizer, which is what every budget of ours is counted in.

Other models' tokenizers differ by some percent; a budget that must hold for them keeps a margin of its own.
"""

from functools import cache
from typing import Protocol, cast

from rs_bpe import openai


class _Tokenizer(Protocol):
    def count(self, text: str) -> int: ...

    def count_till_limit(self, text: str, limit: int) -> int | None: ...


@cache
def _tokenizer() -> _Tokenizer:
    # Loading takes about 70 ms: paid by the first count, not by every process that imports this module.
    return cast(_Tokenizer, openai.o200k_base())


def count_tokens(text: str) -> int:
    """The number of o200k tokens of `text`. Raises UnicodeEncodeError for lone surrogates."""
    return _tokenizer().count(text)


def within_tokens(text: str, limit: int) -> bool:
    """Whether `text` has at most `limit` tokens; stops counting there, so a huge text costs no more."""
    # No token is shorter than a byte, and no character longer than four: most texts need no look.
    return 4 * len(text) <= limit or _tokenizer().count_till_limit(text, limit) is not None
