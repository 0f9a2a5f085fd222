"""Each reader on a file of its kind: the text, and exactly where pages and headings are."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from retrieval.errors import (
    CorruptFileError,
    EncryptedFileError,
    NoTextFoundError,
    TooLargeError,
    TooManyPagesError,
)
from retrieval.extraction import Extraction, html, kinds, markdown, office, pdf, plain, slides
from retrieval.extraction.builder import Bounds

FILES = Path(__file__).parents[1] / "files"
BOUNDS = Bounds(max_chars=100_000, max_pages=100)


def titles(extraction: Extraction) -> list[tuple[int, str]]:
    for heading in extraction.headings:
        shown = extraction.text[heading.offset :].lstrip("#").split("\n")[0]
        assert heading.title in shown
    return [(heading.level, heading.title) for heading in extraction.headings]


def pdf_of(*pages: str, encrypt: StandardEncryption | None = None) -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer, encrypt=encrypt)
    for page in pages:
        canvas.drawString(72, 700, page)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def test_pdf_pages_and_outline() -> None:
    extraction = pdf.read((FILES / "lighthouse.pdf").read_bytes(), mime=kinds.PDF, bounds=BOUNDS)
    pages = [extraction.text[start:end] for start, end in extraction.pages]
    assert [page.split("\n")[0] for page in pages] == ["Lighthouse handbook", "Keeping the lamp", "In fog"]
    assert pages[1].endswith("Spare wicks are stored in cabinet 7B.")
    assert titles(extraction) == [(1, "Lighthouse handbook"), (2, "Keeping the lamp"), (2, "In fog")]
    assert (extraction.title, extraction.language) == ("Lighthouse handbook", "en")


def test_pdf_with_an_empty_page_keeps_its_count() -> None:
    extraction = pdf.read(pdf_of("one", "", "three"), mime=kinds.PDF, bounds=BOUNDS)
    assert [extraction.text[start:end] for start, end in extraction.pages] == ["one", "", "three"]


def test_pdf_of_pictures_and_of_nothing() -> None:
    with pytest.raises(NoTextFoundError, match="pictures are read only where OCR") as caught:
        pdf.read((FILES / "scanned.pdf").read_bytes(), mime=kinds.PDF, bounds=BOUNDS)
    assert caught.value.retryable
    with pytest.raises(NoTextFoundError, match="empty") as caught:
        pdf.read(pdf_of(""), mime=kinds.PDF, bounds=BOUNDS)
    assert not caught.value.retryable


def test_pdf_with_a_password() -> None:
    locked = pdf_of("secret", encrypt=StandardEncryption("open sesame"))
    with pytest.raises(EncryptedFileError):
        pdf.read(locked, mime=kinds.PDF, bounds=BOUNDS)


def test_pdf_that_is_none() -> None:
    with pytest.raises(CorruptFileError):
        pdf.read(b"%PDF-1.7\nbut not really", mime=kinds.PDF, bounds=BOUNDS)


def test_pdf_with_too_many_pages() -> None:
    with pytest.raises(TooManyPagesError, match="3 pages"):
        pdf.read(pdf_of("a", "b", "c"), mime=kinds.PDF, bounds=Bounds(1000, 2))


def test_markdown_is_kept_as_it_is() -> None:
    source = (FILES / "tides.md").read_bytes()
    extraction = markdown.read(source, mime=kinds.MARKDOWN, bounds=BOUNDS)
    assert extraction.text == source.decode()
    assert titles(extraction) == [(1, "Tide tables"), (2, "Spring tides"), (2, "Neap tides")]
    assert extraction.title == "Tide tables"


def test_markdown_headings_after_wide_characters() -> None:
    text = "漢字🙂\n\n> ## Grüße *aus* `Köln`\n\nx\u2028y\n\n# Zwei\n"
    found = markdown.headings(text)
    assert [(level, title) for _, level, title in found] == [(2, "Grüße aus Köln"), (1, "Zwei")]
    assert [text[offset : offset + 4] for offset, _, _ in found] == ["## G", "# Zw"]


@given(st.text(alphabet="#=-`>* \nabé漢\r\t\u2028", max_size=60))
def test_markdown_headings_are_where_they_say(text: str) -> None:
    for offset, level, title in markdown.headings(text):
        assert 0 <= offset < len(text)
        assert 1 <= level <= 6
        assert title[0] in text[offset:]


def test_html_in_reading_order() -> None:
    extraction = html.read((FILES / "pilots.html").read_bytes(), mime=kinds.HTML, bounds=BOUNDS)
    assert extraction.text == (
        "Pilots of Korsund\n\n"
        "Pilots board ships at buoy No. 4.\n\n"
        "Loose text beside paragraphs counts too.\n\n"
        "Calling a pilot\n\n"
        "- Call on channel 13\n- in English\n\n- Give length & draught\n\n"
        "Ship | Fee\nCoaster | 250 EUR\n\n"
        "Draught\n\nHow deep the keel lies.\n\n"
        "line one\n    line two\n\n"
        "A pilot climbs a ladder"
    )
    assert titles(extraction) == [(1, "Pilots of Korsund"), (2, "Calling a pilot")]
    assert extraction.title == "Pilots of Korsund"


@pytest.mark.parametrize("tag", ["nav", "footer", "button", "svg", "select", "iframe"])
def test_html_element_left_open_does_not_hide_the_page(tag: str) -> None:
    page = f"<title>T<p>before</p><{tag}><p>after</p>"
    assert "after" in html.read(page.encode(), mime=kinds.HTML, bounds=BOUNDS).text


def test_html_headings_with_blocks_inside_and_empty_ones() -> None:
    page = b"<h1><div>Outer</div></h1><p>one</p><h2></h2><p>two</p><li><p>item</p></li><p>three"
    extraction = html.read(page, mime=kinds.HTML, bounds=BOUNDS)
    assert titles(extraction) == [(1, "Outer")]
    assert extraction.text == "Outer\n\none\n\ntwo\n\n- item\nthree"


def test_html_declares_its_encoding() -> None:
    page = "<meta charset=windows-1250><p>Příliš žluťoučký kůň</p>".encode("windows-1250")
    assert html.read(page, mime=kinds.HTML, bounds=BOUNDS).text == "Příliš žluťoučký kůň"


def test_html_without_text() -> None:
    with pytest.raises(NoTextFoundError):
        html.read(b"<html><script>x()</script><nav>menu</nav></html>", mime=kinds.HTML, bounds=BOUNDS)


def test_paragraphs_of_a_cell_stay_apart() -> None:
    page = b"<table><tr><td><p>one</p>two<p>three</p></td><td>four</td></tr></table>"
    assert html.read(page, mime=kinds.HTML, bounds=BOUNDS).text == "one two three | four"


@settings(max_examples=500)
@example(["<tr>", "word", "<td>"])
@given(
    st.lists(st.sampled_from(["<tr>", "<td>", "</td>", "<li>", "<p>", "</table>", "<h1>", "</h1>", "<pre>", "word"]))
)
def test_html_loses_no_word(parts: list[str]) -> None:
    words = [f"word{n}" if part == "word" else part for n, part in enumerate(parts)]
    extraction = html.read(f"<body>first{' '.join(words)}".encode(), mime=kinds.HTML, bounds=BOUNDS)
    kept = [word for word in words if word.startswith("word")]
    assert [word for word in extraction.text.replace("first", " ").split() if word.startswith("word")] == kept


def test_docx_headings_and_tables() -> None:
    extraction = office.read((FILES / "harbour.docx").read_bytes(), mime=kinds.DOCX, bounds=BOUNDS)
    assert titles(extraction) == [(1, "Harbour rules"), (2, "Berths")]
    assert "Guests moor at the east pier\n\nFerries moor at the north pier" in extraction.text
    assert "Length | Fee\nup to 8 m | 12 EUR\nup to 14 m | 19 EUR" in extraction.text
    assert extraction.title == "Harbour rules"


def test_docx_that_is_damaged() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("word/document.xml", "<w:document")
    with pytest.raises((CorruptFileError, NoTextFoundError)):
        office.read(buffer.getvalue(), mime=kinds.DOCX, bounds=BOUNDS)


def test_text_is_kept_as_it_is() -> None:
    source = (FILES / "buoys-cp1252.txt").read_bytes()
    extraction = plain.read(source, mime=kinds.PLAIN, bounds=BOUNDS)
    assert extraction.text == source.decode("windows-1252").replace("\r\n", "\n")
    assert extraction.text.endswith("Grüße aus Köln kosten 25 €.\n")


def test_escaped_json_can_be_found() -> None:
    source = json.dumps({"city": "Köln 漢"}).encode()
    assert "Köln 漢" in plain.read(source, mime=kinds.JSON, bounds=BOUNDS).text
    broken = b'{"city": "K\\u00f6ln"'
    assert plain.read(broken, mime=kinds.JSON, bounds=BOUNDS).text == broken.decode()


def test_text_of_bounded_length() -> None:
    with pytest.raises(TooLargeError):
        plain.read(b"x" * 100_001, mime=kinds.PLAIN, bounds=BOUNDS)


SLIDE = """<p:sld xmlns:p="p" xmlns:a="a"><p:cSld><p:spTree>
<p:sp><p:nvSpPr><p:cNvPr id="3" name="b"/><p:nvPr><p:ph type="body"/></p:nvPr></p:nvSpPr><p:txBody>
<a:p><a:r><a:t>Body of </a:t></a:r><a:r><a:t>{n}</a:t></a:r></a:p>
<a:p><a:r><a:t>second line</a:t></a:r></a:p></p:txBody></p:sp>
<p:sp><p:nvSpPr><p:cNvPr id="2" name="t"/><p:nvPr><p:ph type="title"/></p:nvPr></p:nvSpPr><p:txBody>
<a:p><a:r><a:t>Slide {n}</a:t></a:r></a:p></p:txBody></p:sp>
<p:pic><p:nvPicPr><p:cNvPr id="4" name="x" descr="A picture of {n}"/></p:nvPicPr></p:pic>
</p:spTree></p:cSld></p:sld>"""


def presentation(*order: int) -> bytes:
    """A presentation that shows its slides in `order`, which need not be that of their parts."""
    listed = "".join(f'<p:sldId r:id="r{n}"/>' for n in order)
    related = "".join(f'<Relationship Id="r{n}" Type="o/slide" Target="slides/slide{n}.xml"/>' for n in order)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("ppt/presentation.xml", f'<p:presentation xmlns:p="p" xmlns:r="r">{listed}</p:presentation>')
        archive.writestr("ppt/_rels/presentation.xml.rels", f'<Relationships xmlns="x">{related}</Relationships>')
        for n in order:
            archive.writestr(f"ppt/slides/slide{n}.xml", SLIDE.format(n=n))
    return buffer.getvalue()


def test_slides_are_pages_in_the_order_shown() -> None:
    extraction = slides.read(presentation(2, 1), mime=kinds.PPTX, bounds=BOUNDS)
    pages = [extraction.text[start:end] for start, end in extraction.pages]
    assert pages == [f"Slide {n}\n\nBody of {n}\nsecond line\n\nA picture of {n}" for n in (2, 1)]
    assert titles(extraction) == [(1, "Slide 2"), (1, "Slide 1")]


def test_too_many_slides() -> None:
    with pytest.raises(TooManyPagesError):
        slides.read(presentation(1, 2, 3), mime=kinds.PPTX, bounds=Bounds(1000, 2))


def test_slides_that_are_missing() -> None:
    whole = presentation(1)
    with pytest.raises(CorruptFileError):
        slides.read(whole.replace(b"slides/slide1.xml", b"slides/slide9.xml"), mime=kinds.PPTX, bounds=BOUNDS)
