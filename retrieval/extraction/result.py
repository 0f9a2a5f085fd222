"""The text of a file and where its pages and headings are. Every offset counts code points of `text`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


class Heading(NamedTuple):
    """A heading that begins at `offset`; `level` counts from 1, the outermost."""

    offset: int
    level: int
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What a reader made of a file.

    `text` is not blank, holds no NUL and no lone surrogate. `pages` are [start, end) spans in order, one per
    page (empty pages have empty spans), none for kinds without pages. `headings` are in the order of the
    text. `pictures` counts the pages that are pictures and were not read. `language` is an ISO 639-1 code, or empty
    where it is not clear.
    """

    mime: str
    text: str
    pages: tuple[tuple[int, int], ...] = ()
    headings: tuple[Heading, ...] = ()
    title: str = ""
    language: str = ""
    extractor: str
    pictures: int = 0
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "headings": [list(heading) for heading in self.headings]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Extraction":
        pages = tuple((int(start), int(end)) for start, end in value["pages"])
        headings = tuple(Heading(int(offset), int(level), str(title)) for offset, level, title in value["headings"])
        return cls(**{**value, "pages": pages, "headings": headings, "warnings": tuple(value["warnings"])})
