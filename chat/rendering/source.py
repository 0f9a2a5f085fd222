"""Makes a Markdown source fit for the parser: clean characters, no raw HTML, TeX in one spelling, bounded nesting.

Every change keeps block boundaries where they are: a line stays a line, and a blank line stays blank. The streamed
answer is cut at blank lines (`splitting`), and its pieces must give what the whole text gives.
"""

import re

import pyromark

OPTIONS = (
    pyromark.Options.ENABLE_TABLES
    | pyromark.Options.ENABLE_STRIKETHROUGH
    | pyromark.Options.ENABLE_TASKLISTS
    | pyromark.Options.ENABLE_MATH
    | pyromark.Options.ENABLE_GFM
)
PARSER = pyromark.Markdown(options=OPTIONS)

# Noncharacters stand for signs that the parser must not see; no text of a person contains them.
LESS_THAN = "\ufdd0"
OPEN_BRACKET = "\ufdd1"
_RESERVED = re.compile("[\ufdd0-\ufdd3]")

# The sanitiser's time is quadratic in depth, and nobody reads thirty nested quotes.
MAX_NESTING = 24
_CONTAINER = r"[ \t]*(?:>|[-*+](?=[ \t])|\d{1,9}[.)](?=[ \t]))"
_NESTED = re.compile(rf"(?m)^((?:{_CONTAINER}){{{MAX_NESTING}}}[ \t]*)(?=[>\-*+\d])")

# `<https://…>` and `<a@b.c>` are Markdown; every other `<` is a sign like any other.
_RAW_HTML = re.compile(r"<(?!(?:https?://|mailto:)[^\s<>]*>|[\w.+-]+@[\w-]+(?:\.[\w-]+)+>)")
_FOOTNOTE = re.compile(r"\[(?=\^[^\]\s]{1,64}\])")

# Within a formula: no blank line, no second opening sign, and a backslash takes the next sign with it.
_LINE_END = r"\n(?![ \t]*\n)"
# The length is bounded so that a stray sign cannot make the search quadratic.
_TEX = re.compile(
    rf"\\\[(?P<display>(?!\d+(?:\s*,\s*\d+)*\\\])(?:[^\\\n]|\\[^\[\n]|\\(?=\n)|{_LINE_END}){{1,2000}}?)\\\]"
    rf"|\\\((?P<inline>(?:[^\\\n]|\\[^(\n]|\\(?=\n)|{_LINE_END}){{1,600}}?)\\\)"
    rf"|\$\$(?P<dollars>(?:[^$\\\n]|\\[^\n]|\\(?=\n)|{_LINE_END}){{1,2000}}?)\$\$"
    # an escaped sign opens nothing, and neither does a run of three
    r"|\\.|\${3,}",
    re.DOTALL,
)


def clean(text: str) -> str:
    """`text` with Unix line ends and without what UTF-8 cannot carry or what `prepare` uses itself."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        # joins surrogate pairs that came in two pieces and replaces those that stay alone
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        text = _RESERVED.sub("\ufffd", text)
    return text


def prepare(text: str) -> str:
    """`text` (already `clean`) as the parser gets it."""
    text = _NESTED.sub(r"\1\\", text)
    if "<" in text:
        text = _RAW_HTML.sub(LESS_THAN, text)
    if "[^" in text:
        text = _FOOTNOTE.sub(OPEN_BRACKET, text)
    if "\\[" in text or "\\(" in text or "$$" in text:
        text = _unify_tex(text)
    return text


def restore(html: str) -> str:
    """The HTML of a prepared text with the stand-in of `<` turned back; `decoration` needs the other one."""
    return html.replace(LESS_THAN, "&lt;")


def _unify_tex(text: str) -> str:
    """`\\(…\\)` and `\\[…\\]` as `$…$` and `$$…$$`, each on one line, outside code."""
    pieces: list[str] = []
    end = 0
    for start, stop in _code_spans(text):
        pieces += [_TEX.sub(_one_spelling, text[end:start]), text[start:stop]]
        end = stop
    return "".join([*pieces, _TEX.sub(_one_spelling, text[end:])])


def _one_spelling(match: re.Match[str]) -> str:
    inline = match["inline"]
    if inline is not None:
        return f"${' '.join(inline.split())}$" if inline.strip() else match[0]
    display = match["display"] or match["dollars"]
    if display is None or not display.strip():
        return match[0]
    # a line break inside would let `+ c` start a list and `=` make a heading
    return f"$${' '.join(display.split())}$$"


def _code_spans(text: str) -> list[tuple[int, int]]:
    """Where `text` holds code, as character offsets in order: there TeX is only text."""
    if "`" not in text and "~~~" not in text and "    " not in text and "\t" not in text:
        return []
    encoded = text.encode()
    spans: list[tuple[int, int]] = []
    characters = position = 0
    for event, where in PARSER.events_with_range(text, merge_text=False):
        if not _is_code(event):
            continue
        start = characters + len(encoded[position : where["start"]].decode())
        stop = start + len(encoded[where["start"] : where["end"]].decode())
        spans.append((start, stop))
        characters, position = stop, where["end"]
    return spans


def _is_code(event: object) -> bool:
    match event:
        case {"Code": _} | {"Start": {"CodeBlock": _}}:
            return True
    return False
