"""Markdown to safe HTML, for the stored page and for the stream alike.

The steps: the source is made fit (`source`), pulldown-cmark parses it, `decoration` adds formulas, code headers and
the like, `sanitiser` reduces the result to a strict list, and last `citations` turns markers into chips.
"""

from collections.abc import Sequence
from html import escape

from django.utils.safestring import SafeString, mark_safe

from chat.rendering.citations import add_chips
from chat.rendering.decoration import decorate
from chat.rendering.sanitiser import sanitise
from chat.rendering.shapes import CitationView
from chat.rendering.source import PARSER, clean, prepare, restore

# A text beyond this is shown as it is: no answer is that long, and parsing must stay within milliseconds.
MAX_LENGTH = 400_000


def render(text: str, citations: Sequence[CitationView] = ()) -> SafeString:
    """The HTML of a Markdown `text`. Never raises, whatever the text is.

    Raw HTML is shown as text, images become links, TeX becomes MathML (or stays source where it cannot), `[n]`
    becomes a chip where `citations` holds n. Nothing in the result runs or loads anything.
    """
    return mark_safe(render_piece(clean(text), citations))  # noqa: S308 - sanitised


def render_piece(text: str, citations: Sequence[CitationView] = (), *, open_code: bool = False) -> str:
    """`render` for a piece of `clean` text; `open_code` as in `decorate`."""
    if len(text) > MAX_LENGTH:
        return str(render_plain(text))
    html = restore(PARSER.html(prepare(text)))
    return add_chips(sanitise(decorate(html, open_code=open_code)), citations)


def render_plain(text: str) -> SafeString:
    """A person's own words: escaped, paragraphs at blank lines, line breaks kept."""
    paragraphs = [part.strip("\n") for part in clean(text).split("\n\n")]
    html = "".join(f"<p>{escape(part).replace(chr(10), '<br>')}</p>" for part in paragraphs if part.strip())
    return mark_safe(html)  # noqa: S308 - escaped here
