"""Markdown taken off a text, so that its sentences can be quoted."""

import re

_HEADING = re.compile(r"\s{0,3}#{1,6}\s")
_RULE = re.compile(r"[|:\-\s]*-{3,}[|:\-\s]*")
_LIST_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+")
_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*\)")


def unmarked(text: str) -> str:
    """Return the words without the marks. Headings and fences, which are no sentences, are left out."""
    lines = []
    for line in text.splitlines():
        if _HEADING.match(line) or _RULE.fullmatch(line.strip()) or line.lstrip().startswith(("```", "~~~")):
            lines.append("")
            continue
        item = _LIST_ITEM.match(line)
        words = line[item.end() :] if item else line
        if words.strip().startswith("|"):
            cells = [cell.strip() for cell in words.strip().strip("|").split("|")]
            words = "\n" + " – ".join(cell for cell in cells if cell) + "\n"
        lines.append(("\n" if item else "") + _LINK.sub(r"\1", words.replace("**", "")))
    return "\n".join(lines)
