"""The laws of chunks: exact offsets, nothing lost, never too long, in order; and where they keep to structure."""

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.tokens import count_tokens, within_tokens
from retrieval.chunking import Piece, chunk
from retrieval.chunking.header import MAX_TOKENS as HEADER_TOKENS
from retrieval.chunking.header import header_line
from retrieval.extraction import Extraction, Heading, kinds, markdown
from retrieval.extraction.builder import Bounds, TextBuilder

BOUNDS = Bounds(max_chars=10_000_000, max_pages=10_000)
SENTENCE = "The keeper of the light climbs the tower before the sun has set. "


def plain(text: str) -> Extraction:
    return Extraction(mime=kinds.PLAIN, text=text, extractor="test")


def marked_down(text: str) -> Extraction:
    return markdown.read(text.encode(), mime=kinds.MARKDOWN, bounds=BOUNDS)


def paged(*pages: str) -> Extraction:
    builder = TextBuilder(BOUNDS)
    for page in pages:
        builder.begin_page()
        builder.block(page)
        builder.end_page()
    return builder.finish(mime=kinds.PDF, extractor="test")


def check_laws(extraction: Extraction, pieces: list[Piece], max_tokens: int) -> None:
    text = extraction.text
    covered = [False] * len(text)
    for piece in pieces:
        assert piece.text == text[piece.start : piece.end]
        assert piece.text.strip()
        assert 0 < piece.tokens == count_tokens(piece.text) <= max_tokens
        covered[piece.start : piece.end] = [True] * (piece.end - piece.start)
    assert not "".join(char for char, seen in zip(text, covered, strict=True) if not seen).strip()
    spans = [(piece.start, piece.end) for piece in pieces]
    assert spans == sorted(spans)
    # progress: each chunk ends after the one before
    assert all(a[1] < b[1] for a, b in itertools.pairwise(spans))


BLOCKS = ["\n", "\n\n", "# Head\n", "## Sub\n\n", "- item\n", "```\ncode\n```\n", "| a | b |\n"]
INLINE = ["a", "light ", "tower. ", "漢字", "🏳️‍🌈", "é", "x" * 40, "https://e.example/a?b=c ", "3.14", "—"]
SPACES = ["     ", "\t", "\u2028", "\u00a0"]
texts = st.lists(st.sampled_from(BLOCKS + INLINE + SPACES), min_size=1, max_size=200).map("".join).filter(str.strip)
sizes = st.integers(min_value=16, max_value=120)


@settings(deadline=None, max_examples=150)
@given(texts, sizes, st.booleans())
def test_laws(text: str, max_tokens: int, as_markdown: bool) -> None:
    extraction = marked_down(text) if as_markdown else plain(text)
    check_laws(extraction, chunk(extraction, max_tokens=max_tokens), max_tokens)


@settings(deadline=None, max_examples=100)
@given(st.text(min_size=1, max_size=300).filter(str.strip), st.integers(16, 40))
def test_laws_for_any_characters(text: str, max_tokens: int) -> None:
    extraction = plain(text.replace("\0", "x").encode(errors="replace").decode())
    check_laws(extraction, chunk(extraction, max_tokens=max_tokens, overlap=0), max_tokens)


@settings(deadline=None, max_examples=80)
@given(st.lists(texts, min_size=1, max_size=6), sizes)
def test_laws_with_pages(pages: list[str], max_tokens: int) -> None:
    extraction = paged(*pages)
    pieces = chunk(extraction, max_tokens=max_tokens)
    check_laws(extraction, pieces, max_tokens)
    for piece in pieces:
        assert piece.page_start is not None
        assert piece.page_end is not None
        first, last = extraction.pages[piece.page_start - 1], extraction.pages[piece.page_end - 1]
        assert first[0] <= piece.start < first[1]
        assert last[0] < piece.end <= last[1]


@pytest.mark.parametrize("unit", ["a", "漢", "word ", "a\n", "==", "🙂", "ab1.", "\u00e9"])
@pytest.mark.parametrize("as_markdown", [False, True])
def test_one_endless_line_is_split_in_linear_time(unit: str, as_markdown: bool) -> None:
    extraction = plain(unit * (60_000 // len(unit)))
    extraction = marked_down(extraction.text) if as_markdown else extraction
    started = time.process_time()
    pieces = chunk(extraction)
    assert time.process_time() - started < 5
    check_laws(extraction, pieces, 240)


def test_chunks_are_filled() -> None:
    pieces = chunk(plain(SENTENCE * 200))
    # all but the last of each part that is cut before it is split
    assert sum(piece.tokens > 180 for piece in pieces) > 0.85 * len(pieces)


def test_neighbours_overlap_by_sentences() -> None:
    pieces = chunk(plain(SENTENCE * 60))
    for one, other in itertools.pairwise(pieces):
        shared = one.text[other.start - one.start :]
        assert 0 < count_tokens(shared) <= 29
        assert shared.startswith("The keeper")


def test_no_overlap_when_none_is_wanted() -> None:
    pieces = chunk(plain(SENTENCE * 60), overlap=0)
    assert all(a.end <= b.start for a, b in itertools.pairwise(pieces))


def test_chunks_keep_to_pages() -> None:
    pages = [f"Page {n} begins. " + SENTENCE * 20 for n in range(1, 5)]
    pieces = chunk(paged(*pages))
    assert all(piece.page_start == piece.page_end for piece in pieces)
    assert {piece.page_start for piece in pieces} == {1, 2, 3, 4}


def test_very_short_pages_are_read_together() -> None:
    pieces = chunk(paged(*(f"Chapter {n}. On page {n} the keyword is quartz{n}." for n in range(1, 61))))
    assert len(pieces) < 30
    (piece,) = [piece for piece in pieces if "quartz47." in piece.text]
    assert piece.page_start is not None
    assert piece.page_end is not None
    assert piece.page_start <= 47 <= piece.page_end <= piece.page_start + 5


def test_empty_pages_are_counted() -> None:
    pieces = chunk(paged("", SENTENCE * 10, "", SENTENCE * 10))
    assert [piece.page_start for piece in pieces] == [2, 4]


def test_heading_paths() -> None:
    text = "\n\n".join(f"{head}\n\n{SENTENCE * 8}" for head in ("# Tides", "## Spring", "### March", "## Neap"))
    pieces = chunk(marked_down(text), title="tables.md")
    assert [piece.heading_path for piece in pieces] == [
        ("Tides",),
        ("Tides", "Spring"),
        ("Tides", "Spring", "March"),
        ("Tides", "Neap"),
    ]
    assert pieces[2].header == "tables.md — Tides › Spring › March"
    assert pieces[2].embedding_text == f"{pieces[2].header}\n{pieces[2].text}"
    assert pieces[2].text.startswith("### March")


def test_text_before_the_first_heading_has_no_path() -> None:
    text = SENTENCE * 20 + "\n\nHead\n\n" + SENTENCE * 20
    extraction = Extraction(
        mime=kinds.HTML, text=text, headings=(Heading(text.index("Head"), 3, "Head"),), extractor="test"
    )
    pieces = chunk(extraction)
    assert pieces[0].heading_path == ()
    assert pieces[-1].heading_path == ("Head",)


def test_markdown_blocks_stay_whole() -> None:
    code = "```python\n" + "".join(f"value_{n} = compute({n})\n" for n in range(8)) + "```"
    table = "| a | b |\n|---|---|\n" + "".join(f"| {n} | {n * n} |\n" for n in range(8))
    pieces = chunk(marked_down(f"{SENTENCE * 10}\n\n{code}\n\n{SENTENCE * 9}\n\n{table}\n\n{SENTENCE * 9}"))
    assert sum(code in piece.text for piece in pieces) == 1
    assert sum(table.strip() in piece.text for piece in pieces) == 1


@settings(deadline=None, max_examples=80)
@given(st.lists(st.lists(st.tuples(st.integers(0, 3), texts), max_size=4), min_size=1, max_size=5), sizes)
def test_laws_with_pages_and_headings(pages: list[list[tuple[int, str]]], max_tokens: int) -> None:
    builder = TextBuilder(BOUNDS)
    builder.block("It begins before the first page.")
    for page in pages:
        builder.begin_page()
        for level, text in page:
            if level:
                builder.heading(level, text)
            else:
                builder.block(text)
        builder.end_page()
    extraction = builder.finish(mime=kinds.PDF, extractor="test")
    pieces = chunk(extraction, title="Any", max_tokens=max_tokens)
    check_laws(extraction, pieces, max_tokens)
    titles = {heading.title for heading in extraction.headings}
    for piece in pieces:
        above = [heading.title for heading in extraction.headings if heading.offset <= piece.start]
        assert titles.issuperset(piece.heading_path) or " | " in piece.text
        assert not above or piece.heading_path[-1] == above[-1] or " | " in piece.text


def rows(count: int) -> str:
    return "".join(f"| vessel number {n} | {n * 12} EUR | berth {n % 7} of the north pier |\n" for n in range(count))


TABLE = "| Ship | Fee | Berth |\n|---|---|---|\n"


def test_a_table_that_is_cut_keeps_the_names_of_its_columns() -> None:
    text = f"# Fees\n\n{SENTENCE * 3}\n\n{TABLE}{rows(60)}\n# Law\n\n{SENTENCE * 3}"
    pieces = chunk(marked_down(text), title="fees.md")
    parts = [piece for piece in pieces if "vessel number" in piece.text]
    assert len(parts) > 3
    for piece in parts[1:]:
        assert piece.heading_path == ("Fees", "Ship | Fee | Berth")
        assert piece.header == "fees.md — Fees › Ship | Fee | Berth"
        assert "Ship" not in piece.text
        assert piece.text.startswith("| vessel")  # cut between rows
    assert [piece.heading_path for piece in pieces if "keeper" in piece.text] == [("Fees",), ("Law",)]


def test_columns_are_those_of_the_readers_too_but_not_of_code_and_numbers() -> None:
    cells = "Ship | Fee\n" + "".join(f"vessel {n} of the harbour | {n} EUR\n" for n in range(80))
    pieces = chunk(plain(cells))
    assert {piece.heading_path for piece in pieces[1:]} == {("Ship | Fee",)}
    assert pieces[0].heading_path == ()
    for unnamed in (
        Extraction(mime="text/x-source-shell", text=cells, extractor="test"),
        plain(cells.replace("Ship | Fee", "1 | 2")),
        plain(cells.replace(" | ", " / ")),
    ):
        assert {piece.heading_path for piece in chunk(unnamed)} == {()}


def test_of_many_columns_as_many_are_named_as_fit() -> None:
    head = " | ".join(f"Column number {n}" for n in range(40))
    pieces = chunk(plain(f"{head}\n" + ("value | " * 40 + "\n") * 30))
    (path,) = {piece.heading_path for piece in pieces[2:]}
    assert path[0].startswith("Column number 0 | ")
    assert len(path[0]) <= 120


def test_headers() -> None:
    assert header_line("Handbook", ("Lamp", "Wick"), 3, 3) == "Handbook — Lamp › Wick — page 3"
    assert header_line("Handbook", ("handbook", "Wick"), 3, 4) == "Handbook — Wick — pages 3–4"
    assert header_line("", (), None, None) == ""


@given(st.text(max_size=400), st.lists(st.text(min_size=1, max_size=300), max_size=6), st.integers(1, 10_000))
def test_headers_are_one_bounded_line(title: str, path: list[str], page: int) -> None:
    path = [" ".join(part.encode(errors="replace").decode().split()) for part in path]
    line = header_line(title.encode(errors="replace").decode(), tuple(path), page, page)
    assert within_tokens(line, HEADER_TOKENS)
    assert line.endswith(f"page {page}")
    assert "\n" not in line


@pytest.mark.parametrize(("max_tokens", "overlap"), [(15, 0), (100, 100), (100, -1)])
def test_senseless_sizes(max_tokens: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="cannot be made"):
        chunk(plain("x"), max_tokens=max_tokens, overlap=overlap)
