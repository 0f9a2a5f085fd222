"""What the parser's HTML lacks: formulas, code headers, scrollable tables, callouts, links for bare addresses.

Works on the parser's own output, which holds no raw HTML (`source`), and comes before the sanitiser.
"""

import re
from html import escape, unescape

from django.utils.translation import gettext

from chat.rendering.code import code_block
from chat.rendering.sanitiser import CALLOUTS
from chat.rendering.source import OPEN_BRACKET
from chat.rendering.tex import mathml

_PIECE = re.compile(
    r"""
    <pre><code(?:\ class="language-(?P<language>[^"]*)")?>(?P<code>.*?)</code></pre>
    | <code>.*?</code>
    | <span\ class="math\ math-(?P<math>inline|display)">(?P<tex>.*?)</span>
    | <a\ (?P<link>.*?</a>)
    | <img\ src="(?P<source>[^"]*)"\ alt="(?P<alt>[^"]*)"[^>]*>
    | <input\ disabled=""\ type="checkbox"(?P<checked>\ checked="")?/>\n?
    | <blockquote\ class="markdown-alert-(?P<callout>\w+)">
    | <(?P<closing>/?)h(?P<level>[1-6])>
    | <(?P<cell>t[hd])\ style="text-align:\ (?P<side>\w+)">
    | (?P<table></?table>)
    | <[^>]*>
    | OPEN\^(?P<footnote>[^\]\s]{1,64})\](?P<definition>:?)
    | (?P<address>https?://[^\s<>"]{1,2000})
    """.replace("OPEN", OPEN_BRACKET),
    re.VERBOSE | re.DOTALL,
)
# most blocks are plain paragraphs and lists, which this finds out in a tenth of the time
_UNDRESSED = re.compile(f"<(?:pre|img|input|table|t[hd] style|h[1-6]|span|blockquote class)|://|{OPEN_BRACKET}")
_IMAGE_IN_LINK = re.compile(r'<img src="[^"]*" alt="([^"]*)"[^>]*>')
# an address in a sentence does not own the sentence's punctuation
_NOT_AT_THE_END = ".,:;!?'*_~]"
_QUOTED = re.compile("&(?:lt|gt|quot|#39);")


def decorate(html: str, *, open_code: bool = False) -> str:
    """`html` with its parts dressed. `open_code`: the text ends inside a code block, which is not highlighted yet."""
    if not _UNDRESSED.search(html):
        return html
    last_code = html.rfind("<pre>") if open_code else -1
    dressed = _PIECE.sub(lambda piece: _dress(piece, last_code), html)
    return dressed.replace(OPEN_BRACKET, "[")


def _dress(piece: re.Match[str], last_code: int) -> str:  # noqa: C901 - one branch for each kind of piece
    kind = piece.lastgroup
    if piece["code"] is not None:
        language = unescape(piece["language"] or "")
        code = unescape(piece["code"]).replace(OPEN_BRACKET, "[")
        return code_block(code, language, finished=piece.start() != last_code)
    if piece["math"] is not None:
        return _formula(piece)
    match kind:
        case "link":
            return _IMAGE_IN_LINK.sub(r"\1", piece[0])
        case "alt":
            return f'<a href="{piece["source"]}">{piece["alt"] or piece["source"]}</a>'
        case "callout" if piece["callout"] in CALLOUTS:
            name = piece["callout"]
            title = escape(callout_title(name))
            return f'<blockquote class="callout callout--{name}"><p class="callout__title">{title}</p>'
        case "level":
            # the page's own headings are the first and second level
            return f"<{piece['closing']}h{min(int(piece['level']) + 2, 6)}>"
        case "side":
            return f'<{piece["cell"]} class="align-{piece["side"]}">'
        case "table":
            return _table(opening=piece[0] == "<table>")
        case "definition":
            return f'<sup class="footnote-reference">{piece["footnote"]}</sup>'
        case "address":
            return _address(piece["address"])
    if piece[0].startswith("<input"):
        return '<span class="task task--done">☑</span> ' if piece["checked"] else '<span class="task">☐</span> '
    return piece[0]


def callout_title(name: str) -> str:
    """The word over a callout, in the language that is active."""
    return {
        "note": gettext("Note"),
        "tip": gettext("Tip"),
        "important": gettext("Important"),
        "warning": gettext("Warning"),
        "caution": gettext("Caution"),
    }[name]


def _formula(piece: re.Match[str]) -> str:
    display = piece["math"] == "display"
    following = piece.string[piece.end() : piece.end() + 1]
    # "$5-$10" is money: a closing sign is never followed by a digit
    if not display and following.isdigit():
        return f"${piece['tex']}$"
    return mathml(unescape(piece["tex"]), display=display)


def _table(*, opening: bool) -> str:
    if not opening:
        return "</table></div>"
    label = escape(gettext("Table"))
    return f'<div class="table" role="region" aria-label="{label}" tabindex="0"><table>'


def _address(address: str) -> str:
    quoted = _QUOTED.search(address)
    end = quoted.start() if quoted else len(address)
    surplus = address.count(")", 0, end) - address.count("(", 0, end)
    while address[end - 1] in _NOT_AT_THE_END or (address[end - 1] == ")" and surplus > 0):
        surplus -= address[end - 1] == ")"
        end -= 1
    kept = address[:end]
    if kept.endswith("/") and kept.count("/") == 2:
        return address
    return f'<a href="{kept}">{kept}</a>{address[end:]}'
