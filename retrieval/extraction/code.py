"""Reads source code: exactly as it is, with what it defines as headings.

So a chunk begins where a class or a function does, and its header says what it is part of. Definitions are found by
the form of their first line, as editors without a parser do: what is missed only costs a better boundary.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from retrieval.extraction.builder import Bounds, TextBuilder, clean
from retrieval.extraction.encoding import decode
from retrieval.extraction.languages import BY_MIME
from retrieval.extraction.result import Extraction

EXTRACTOR = "code 1"

_LONGEST_LINE = 300
_TAB = 4
# Data, styles and prose have no definitions.
_WITHOUT = frozenset({"YAML", "TOML", "INI", "CSS", "Diff", "Batch", "Assembly"})

_MODIFIERS = (
    r"pub(?:\([\w:]+\))?|public|private|protected|internal|fileprivate|static|final|abstract|async|unsafe|const|"
    r"extern|export|default|declare|override|virtual|open|sealed|data|inline|partial|readonly|local|suspend|"
    r"companion|case|implicit|lazy|noinline|mutating|typedef|create|or replace|template"
)
_OUTER = (
    "class|interface|enum|struct|trait|impl|module|mod|namespace|object|protocol|extension|record|union|defmodule|"
    "message|service|actor|table|view"
)
_INNER = "def|defp|defmacro|fn|func|fun|function|sub|proc|procedure|trigger|macro|index"
_NAMED = re.compile(
    rf"\s*(?:(?:{_MODIFIERS})\s+)*(?:(?P<outer>{_OUTER})|(?P<inner>{_INNER}))\b\*?"
    r"(?:<[^>]{0,60}>|\s*\([^()]{0,80}\)(?=\s*\w))?\s*"
    r"(?P<name>[A-Za-z_$][\w$.:?!]{0,99})"
    r"\s*(?:[:({<\[=;|]|$|\b(?:extends|implements|inherits|is|where|for|as|do|with|on|throws|permits)\b)",
    re.IGNORECASE,
)
_TYPE = re.compile(
    r"\s*(?:(?:export|pub|declare)\s+)*type\s+(?P<name>\w{1,99})\s*(?:<[^>]{0,60}>)?\s*(?:=|struct\b|interface\b)"
)
_ASSIGNED = re.compile(
    r"\s*(?:(?:export|default|local|const|let|var)\s+)*(?P<name>[A-Za-z_$][\w$.]{0,99})\s*(?:<-|=)\s*"
    r"(?:async\s+)?(?:function\b|\([^()]{0,120}\)\s*(?::[^=]{0,60})?=>|[\w$]+\s*=>|fn\b|\\\()"
)
_SECTION = re.compile(r"\s*\\(?P<outer>(?:sub)*section|chapter|part)\*?\{(?P<name>[^{}]{1,99})\}")
_BEFORE_BRACKET = re.compile(r"(~?[A-Za-z_$][\w$:~]{0,99})\s*(?:<[^<>()]{0,60}>)?\s*\(")
_CONTROL = re.compile(
    r"\s*(?:[})\]]|if|else|for|foreach|while|switch|catch|return|do|try|new|throw|using|lock|with|await|case|"
    r"synchronized|fixed|match|loop|unless|until|when|select|elif|except|finally|yield|assert|print)\b|\s*[})\]]"
)
_BELONGS_TO_NEXT = re.compile(r"\s*(?:#|//|/\*|\*|@|--|\[|;|%|'|\"\"\")")
# A class may follow a class further in, a function within a function is part of it.
_MOST_LEVELS = 4


class _Definition(NamedTuple):
    indent: int
    is_outer: bool
    name: str


def read(data: bytes, *, mime: str, bounds: Bounds) -> Extraction:
    text, encoding = decode(data)
    builder = TextBuilder(bounds)
    builder.block(text)
    if BY_MIME[mime].name not in _WITHOUT:
        for offset, level, name in definitions(clean(text)):
            builder.mark_heading(offset, level, name)
    if "\N{REPLACEMENT CHARACTER}" in text:
        builder.warn(f"Some characters could not be read as {encoding}.")
    return builder.finish(mime=mime, extractor=EXTRACTOR, no_text="There is nothing but white space in this file.")


def definitions(text: str) -> Iterator[tuple[int, int, str]]:
    """Offset (of the comments and decorators above it, where it has some), level and name of each definition."""
    lines = text.split("\n")
    around: list[_Definition] = []
    offset = above = 0
    for number, line in enumerate(lines):
        following = lines[number + 1].strip() if number + 1 < len(lines) else ""
        found = _definition(line, following) if len(line) <= _LONGEST_LINE else None
        if found:
            around = [each for each in around if each.indent < found.indent]
            if len(around) < _MOST_LEVELS and all(each.is_outer for each in around):
                yield above, len(around) + 1, found.name
            around.append(found)
        offset += len(line) + 1
        if found or not _BELONGS_TO_NEXT.match(line):
            above = offset


def _definition(line: str, following: str) -> _Definition | None:
    indent = len(line.expandtabs(_TAB)) - len(line.expandtabs(_TAB).lstrip())
    if found := _SECTION.match(line) or _NAMED.match(line):
        return _Definition(indent, bool(found["outer"]), found["name"].rstrip(":."))
    if found := _TYPE.match(line) or _ASSIGNED.match(line):
        return _Definition(indent, False, found["name"])
    # languages of the family of C name no keyword: a name with brackets, before a brace
    stripped = line.rstrip()
    if stripped.endswith("{") or (following == "{" and stripped.endswith(")")):
        before = line.partition("(")[0]
        named = _BEFORE_BRACKET.search(line)
        if named and not _CONTROL.match(line) and "=" not in before and "." not in before and "=>" not in line:
            return _Definition(indent, False, named[1].rpartition("::")[2] or named[1])
    return None
