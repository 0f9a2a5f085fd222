"""What is read of a Word document, and what is not."""

import pytest

from retrieval.errors import CorruptFileError, TooLargeError
from retrieval.extraction import Extraction, kinds, word
from retrieval.extraction.builder import Bounds
from retrieval.extraction.numbering import Numbering
from retrieval.extraction.package import parse
from tests.documents import docx, paragraph, zipped

BOUNDS = Bounds(max_chars=100_000, max_pages=100)
NUMBERS = (
    '<w:abstractNum w:abstractNumId="7">'
    '<w:lvl w:ilvl="0"><w:start w:val="3"/><w:numFmt w:val="decimal"/><w:lvlText w:val="§ %1"/></w:lvl>'
    '<w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="%1 (%2)"/></w:lvl>'
    '<w:lvl w:ilvl="2"><w:numFmt w:val="bullet"/><w:lvlText w:val="o"/></w:lvl></w:abstractNum>'
    '<w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num>'
)
STYLES = (
    '<w:style w:styleId="Rubrik"><w:name w:val="heading 2"/></w:style>'
    '<w:style w:styleId="Own"><w:basedOn w:val="Rubrik"/></w:style>'
    '<w:style w:styleId="T"><w:name w:val="Title"/></w:style>'
    '<w:style w:styleId="Loop"><w:basedOn w:val="Loop"/></w:style>'
    '<w:style w:styleId="Listed"><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
)


def read(body: str, parts: dict[str, str] | None = None) -> Extraction:
    return word.read(docx(body, parts), mime=kinds.DOCX, bounds=BOUNDS)


def in_list(text: str, level: int) -> str:
    return paragraph(text, f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="1"/></w:numPr>')


def styled(text: str, style: str) -> str:
    return paragraph(text, f'<w:pStyle w:val="{style}"/>')


def test_signs_within_a_line() -> None:
    run = "<w:t>day</w:t><w:noBreakHyphen/><w:t>to</w:t><w:softHyphen/><w:tab/><w:t>tab</w:t><w:br/><w:t>line</w:t>"
    assert read(f"<w:p><w:r>{run}</w:r></w:p>").text == "day-to\ttab\nline"


def test_what_was_deleted_or_hidden_is_left_out() -> None:
    body = (
        "<w:p><w:del><w:r><w:delText>GONE</w:delText></w:r></w:del><w:ins><w:r><w:t>kept</w:t></w:r></w:ins>"
        "<w:r><w:rPr><w:vanish/></w:rPr><w:t>HIDDEN</w:t></w:r>"
        '<w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t> and shown</w:t></w:r>'
        "<w:r><w:instrText>PAGE</w:instrText></w:r></w:p>"
    )
    extraction = read(body)
    assert extraction.text == "kept and shown"
    assert extraction.warnings == (word.HIDDEN,)


def test_notes_and_comments_stand_behind_their_paragraph() -> None:
    body = (
        '<w:p><w:r><w:t>Notes</w:t><w:footnoteReference w:id="2"/><w:t> and</w:t><w:endnoteReference w:id="2"/>'
        '<w:commentReference w:id="0"/></w:r></w:p>' + paragraph("Next")
    )
    parts = {
        "footnotes": '<w:footnote w:id="2"><w:p><w:r><w:t>The foot.</w:t></w:r></w:p></w:footnote>',
        "endnotes": '<w:endnote w:id="2"><w:p><w:r><w:t>The end.</w:t></w:r></w:p></w:endnote>',
        "comments": '<w:comment w:id="0" w:author="Ada"><w:p><w:r><w:t>Is it so?</w:t></w:r></w:p></w:comment>',
    }
    assert read(body, parts).text == (
        "Notes[^1] and[^2]\n\n[^1]: The foot.\n\n[^2]: The end.\n\nComment by Ada: Is it so?\n\nNext"
    )


def test_headers_and_footers_come_once() -> None:
    parts = {"header": paragraph("Contract 4711"), "footer": paragraph("12") + paragraph("Confidential")}
    assert read(paragraph("Body"), parts).text == "Contract 4711\n\nBody\n\nConfidential"


def test_numbers_of_paragraphs() -> None:
    body = "".join(
        in_list(text, level)
        for text, level in (("Liability", 0), ("Limits", 1), ("Dot", 2), ("Exceptions", 1), ("Law", 0), ("Again", 1))
    )
    assert read(body, {"numbering": NUMBERS}).text.split("\n") == [
        "§ 3 Liability",
        "3 (a) Limits",
        "- Dot",
        "3 (b) Exceptions",
        "§ 4 Law",
        "4 (a) Again",
    ]


@pytest.mark.parametrize(
    ("kind", "number", "written"),
    [
        ("decimal", 12, "12"),
        ("decimalZero", 3, "03"),
        ("lowerLetter", 28, "bb"),
        ("upperLetter", 1, "A"),
        ("lowerRoman", 49, "xlix"),
        ("upperRoman", 1994, "MCMXCIV"),
        ("upperRoman", 99_999, "99999"),
        ("none", 4, ""),
    ],
)
def test_kinds_of_numbers(kind: str, number: int, written: str) -> None:
    part = parse(
        f'<n><abstractNum abstractNumId="1"><lvl ilvl="0"><start val="{number}"/><numFmt val="{kind}"/>'
        '<lvlText val="%1"/></lvl></abstractNum><num numId="5"><abstractNumId val="1"/></num></n>'.encode()
    )
    assert Numbering.of(part).mark("5", 0) == written


def test_headings_by_style_and_outline() -> None:
    body = (
        styled("The title", "T")
        + styled("By a style that is based on one", "Own")
        + paragraph("By its outline", '<w:outlineLvl w:val="2"/>')
        + styled("In a circle", "Loop")
        + paragraph("Body text", '<w:outlineLvl w:val="9"/>')
    )
    extraction = read(body, {"styles": STYLES})
    assert [heading[1:] for heading in extraction.headings] == [
        (1, "The title"),
        (2, "By a style that is based on one"),
        (3, "By its outline"),
    ]


def test_headings_have_their_numbers() -> None:
    body = paragraph("Terms", '<w:outlineLvl w:val="0"/><w:numPr><w:numId w:val="1"/></w:numPr>')
    extraction = read(body + styled("By style", "Listed"), {"numbering": NUMBERS, "styles": STYLES})
    assert extraction.headings[0].title == "§ 3 Terms"
    assert extraction.text == "§ 3 Terms\n\n§ 4 By style"


def cell(inside: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{inside}</w:tc>"


def test_tables_with_merged_cells_and_tables_within() -> None:
    rows = (
        [cell(paragraph("wide"), '<w:gridSpan w:val="2"/>'), cell(paragraph("three"), '<w:vMerge w:val="restart"/>')],
        [cell(paragraph("a") + paragraph("b")), cell(""), cell(paragraph("HELD"), "<w:vMerge/>")],
        [cell(paragraph("x")), cell(f"<w:tbl><w:tr>{cell(paragraph('inner'))}</w:tr></w:tbl>"), cell(paragraph("y"))],
    )
    caption = '<w:tblPr><w:tblCaption w:val="Fees"/></w:tblPr>'
    lines = "".join(f"<w:tr>{''.join(row)}</w:tr>" for row in rows)
    table = f"<w:tbl>{caption}{lines}</w:tbl>"
    assert read(paragraph("Before") + table + paragraph("After")).text == (
        "Before\n\nFees\n\nwide |  | three\na b\nx | inner | y\n\nAfter"
    )


def test_a_frame_around_text_is_no_table() -> None:
    frame = f"<w:tbl><w:tr>{cell(paragraph('one') + paragraph('two'))}</w:tr></w:tbl>"
    assert read(frame).text == "one\n\ntwo"


def test_text_boxes_come_once_and_pictures_by_their_description() -> None:
    box = "<w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent>"
    drawing = f'<w:drawing><wp:docPr descr="A pier"/>{box}</w:drawing>'
    choice = (
        f"<mc:AlternateContent><mc:Choice>{drawing}</mc:Choice><mc:Fallback><w:pict><v:textbox>{box}"
        "</v:textbox></w:pict></mc:Fallback></mc:AlternateContent>"
    )
    assert read(f"<w:p><w:r><w:t>Around</w:t>{choice}</w:r></w:p>").text == "Around\n\nboxed\n\nA pier"


def test_links_fields_and_controls_give_their_text() -> None:
    body = (
        "<w:sdt><w:sdtContent><w:p><w:hyperlink><w:r><w:t>a link</w:t></w:r></w:hyperlink>"
        '<w:fldSimple w:instr="DATE"><w:r><w:t> 1 May</w:t></w:r></w:fldSimple></w:p></w:sdtContent></w:sdt>'
    )
    assert read(body).text == "a link 1 May"


CHART = (
    "<c:chart><c:title><a:p><a:r><a:t>Ships</a:t></a:r></a:p></c:title><c:plotArea><c:barChart><c:ser>"
    "<c:tx><c:v>2024</c:v></c:tx><c:cat><c:pt idx='0'><c:v>May</c:v></c:pt><c:pt idx='1'><c:v>June</c:v></c:pt></c:cat>"
    "<c:val><c:pt idx='1'><c:v>7</c:v></c:pt></c:val></c:ser></c:barChart></c:plotArea></c:chart>"
)


def test_charts_are_tables() -> None:
    body = '<w:p><w:r><w:drawing><c:chart r:id="chart"/></w:drawing></w:r></w:p>'
    assert read(body, {"chart": CHART}).text == "Ships\n\n | 2024\nJune | 7"


def test_no_document_type_and_no_part_that_swells() -> None:
    with pytest.raises(CorruptFileError, match="document type"):
        word.read(docx("", prologue="<!DOCTYPE x>"), mime=kinds.DOCX, bounds=BOUNDS)
    swollen = docx(paragraph("A" * (65 << 20)))
    assert len(swollen) < 1 << 20
    with pytest.raises(TooLargeError, match="unpacks"):
        word.read(swollen, mime=kinds.DOCX, bounds=BOUNDS)


def test_missing_parts() -> None:
    with pytest.raises(CorruptFileError):
        word.read(zipped({"word/other.xml": "<x/>"}), mime=kinds.DOCX, bounds=BOUNDS)
