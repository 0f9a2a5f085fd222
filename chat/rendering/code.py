"""Code blocks: a header with the language and the place of the copy button, Pygments classes in the body."""

from functools import lru_cache
from html import escape

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

# Lexers are piles of regular expressions: above this size their time is no longer small.
MAX_HIGHLIGHTED = 30_000
_FORMATTER = HtmlFormatter[str](nowrap=True)


@lru_cache(maxsize=256)
def code_block(code: str, language: str, *, finished: bool = True) -> str:
    """The HTML (not yet sanitised) of a code block; `language` as the author wrote it, perhaps empty.

    Code still being written is not highlighted: its colours would change with every line.
    """
    lexer = _lexer(language) if language else None
    name = str(lexer.name) if lexer is not None else language
    if lexer is None or not finished or len(code) > MAX_HIGHLIGHTED:
        body = escape(code, quote=False)
    else:
        body = highlight(code, lexer, _FORMATTER)
    return (
        f'<div class="code"><div class="code__header"><span class="code__language">{escape(name)}</span>'
        f'<parley-copy></parley-copy></div><pre class="code__body" tabindex="0"><code>{body}</code></pre></div>'
    )


def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
