"""OpenDocument, e-books, e-mail, notebooks, tables, workbooks, JSON and XML: what is read of each."""

import json
from email.message import EmailMessage

import pytest

from retrieval.errors import CorruptFileError, EncryptedFileError, TooManyPagesError
from retrieval.extraction import Extraction, book, kinds, mail, notebook, office, opendocument, plain, table
from retrieval.extraction.builder import Bounds
from tests.documents import eml, epub, odt, xlsx

BOUNDS = Bounds(max_chars=100_000, max_pages=100)


def read_odt(body: str, **more: str) -> Extraction:
    return opendocument.read(odt(body, **more), mime=kinds.ODT, bounds=BOUNDS)


def test_odt_text() -> None:
    inside = "<text:note-citation>1</text:note-citation><text:note-body><text:p>Foot.</text:p></text:note-body>"
    note = f"<text:note>{inside}</text:note>"
    body = (
        "<text:tracked-changes><text:p>DELETED</text:p></text:tracked-changes>"
        '<text:h text:outline-level="2">Head</text:h>'
        f'<text:p>One<text:tab/>two<text:s text:c="3"/>three<text:line-break/>four{note} five</text:p>'
        "<text:p><office:annotation><text:p>Really?</text:p></office:annotation>Six</text:p>"
        "<text:section><text:p>Seven</text:p></text:section>"
    )
    extraction = read_odt(body)
    assert extraction.text == (
        "Head\n\nOne\ttwo   three\nfour[^1] five\n\n[^1]: Foot.\n\nSix\n\nComment: Really?\n\nSeven"
    )
    assert [heading[1:] for heading in extraction.headings] == [(2, "Head")]


def test_odt_lists_tables_and_frames() -> None:
    item = "<text:list-item><text:p>%s</text:p>%s</text:list-item>"
    within = f"<text:list>{item % ('b', '')}</text:list>"
    body = (
        f"<text:list>{item % ('a', within)}{item % ('c', '')}</text:list>"
        "<table:table><table:table-header-rows><table:table-row><table:table-cell><text:p>x</text:p><text:p>y</text:p>"
        "</table:table-cell><table:table-cell><text:p>z</text:p></table:table-cell></table:table-row>"
        "</table:table-header-rows><table:table-row>"
        '<table:table-cell table:number-columns-repeated="2"><text:p>r</text:p></table:table-cell>'
        '<table:table-cell table:number-columns-repeated="16000"/></table:table-row></table:table>'
        "<text:p>End<draw:frame><svg:desc>A pier</svg:desc></draw:frame>"
        "<draw:frame><draw:text-box><text:p>boxed</text:p></draw:text-box></draw:frame></text:p>"
    )
    assert read_odt(body).text == "- a\n  - b\n- c\n\nx y | z\nr | r\n\nEnd\n\nA pier\n\nboxed"


def test_odt_headers_and_passwords() -> None:
    styles = "<style:header><text:p>Contract 4711</text:p></style:header>" * 2
    assert read_odt("<text:p>Body</text:p>", styles=styles).text == "Contract 4711\n\nBody"
    with pytest.raises(EncryptedFileError):
        read_odt("", manifest="<m><file-entry><encryption-data/></file-entry></m>")


def test_epub_in_the_order_of_reading() -> None:
    chapters = {
        "z.xhtml": "<h1>First</h1>Loose<br/>text",
        "a%20b.xhtml": "<h2>Second</h2><p>More</p>",
        "x.xhtml": "OFF",
    }
    whole = epub(chapters, spine=["z.xhtml", "a%20b.xhtml"])
    extraction = book.read(whole, mime=kinds.EPUB, bounds=BOUNDS)
    assert extraction.text == "First\n\nLoose\ntext\n\nSecond\n\nMore"
    assert [heading[1:] for heading in extraction.headings] == [(1, "First"), (2, "Second")]
    assert extraction.title == "The book"


def test_epub_under_rights_management() -> None:
    encryption = '<encryption><EncryptedData><EncryptionMethod Algorithm="{}"/></EncryptedData></encryption>'
    for algorithm, opens in (("http://www.idpf.org/2008/embedding", True), ("http://www.w3.org/aes256-cbc", False)):
        extra = {"META-INF/encryption.xml": encryption.format(algorithm)}
        content = epub({"a.xhtml": "text"}, spine=["a.xhtml"], extra=extra)
        if opens:
            assert book.read(content, mime=kinds.EPUB, bounds=BOUNDS).text == "text"
        else:
            with pytest.raises(EncryptedFileError):
                book.read(content, mime=kinds.EPUB, bounds=BOUNDS)


def read_mail(content: bytes) -> Extraction:
    return mail.read(content, mime=kinds.EMAIL, bounds=BOUNDS)


HEAD = "Subject: Grüße ✓\nFrom: Ärger <a@b.example>\nTo: c@d.example\nDate: Wed, 21 Dec 2022 10:28:53 -0600\n\n"


def test_mail_of_text_and_its_attachments_by_name() -> None:
    extraction = read_mail(eml("Hello\n", "<p>NOT READ</p>", attached={"Prüfung.pdf": b"%PDF", "b  .pdf": b"x"}))
    assert extraction.text == HEAD + "Hello\n\nAttachments: Prüfung.pdf, b .pdf"
    assert extraction.title == "Grüße ✓"


def test_mail_of_html_only() -> None:
    page = "<title>T</title><p>Only <b>HTML</b></p><script>x()</script><table><tr><td>a<td>b</table>"
    assert read_mail(eml(" ", page)).text == HEAD + "Only HTML\n\na | b"


def test_mail_within_mail() -> None:
    inner = EmailMessage()
    inner["Subject"] = "Inner"
    inner.set_content("inside")
    outer = EmailMessage()
    outer["Subject"] = "Outer"
    outer.set_content("outside")
    outer.add_attachment(inner)
    assert read_mail(bytes(outer)).text == "Subject: Outer\n\noutside\n\nAttached message:\n\nSubject: Inner\n\ninside"


def test_mail_that_breaks_the_rules() -> None:
    raw = "Subject: Gr\u00fc\u00dfe\nFrom: =?unknown?q?x?=\nContent-Type: text/plain; charset=nonsense\n\nK\u00f6ln\n"
    assert read_mail(raw.encode("windows-1252")).text == "Subject: Grüße\nFrom: =?unknown?q?x?=\n\nKöln"
    assert read_mail(raw.encode()).text == "Subject: Grüße\nFrom: =?unknown?q?x?=\n\nKöln"


def read_notebook(content: object) -> Extraction:
    return notebook.read(json.dumps(content).encode(), mime=kinds.NOTEBOOK, bounds=BOUNDS)


def test_notebook_text_code_and_output() -> None:
    outputs = [
        {"output_type": "stream", "text": ["3.7\n", "\x1b[31mred\x1b[0m"]},
        {"output_type": "execute_result", "data": {"image/png": "iVBORw0KGgo", "text/plain": "<Figure>"}},
        {"output_type": "error", "ename": "KeyError", "evalue": "'x'", "traceback": ["..."]},
        {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo"}},
    ]
    extraction = read_notebook(
        {
            "metadata": {"kernelspec": {"name": "python3"}},
            "cells": [
                {"cell_type": "markdown", "source": ["# Tide\n", "text ``` x"]},
                {"cell_type": "code", "source": "```\nx = 1", "outputs": outputs},
                {"cell_type": "raw", "source": "raw"},
                {"cell_type": "code", "source": ""},
            ],
        }
    )
    assert extraction.text == (
        "# Tide\ntext ``` x\n\n````python\n```\nx = 1\n````\n\n```\n3.7\nred\n```\n\n```\n<Figure>\n```\n\n"
        "```\nKeyError: 'x'\n```\n\nraw"
    )
    assert [heading[1:] for heading in extraction.headings] == [(1, "Tide")]


def test_notebook_of_an_old_version_and_broken_ones() -> None:
    old = {
        "worksheets": [
            {"cells": [{"cell_type": "heading", "level": 2, "source": "H"}, {"cell_type": "code", "input": "x"}]}
        ]
    }
    assert read_notebook(old).text == "## H\n\n```\nx\n```"
    for broken in (b'{"cells": [', b"[" * 100_000):
        with pytest.raises(CorruptFileError):
            notebook.read(broken, mime=kinds.NOTEBOOK, bounds=BOUNDS)
    assert read_notebook({"cells": [5, {"cell_type": "raw", "source": "x"}], "metadata": 7}).text == "x"


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ("a,b\n1,2\n", "a | b\n1 | 2"),
        ("a;b\n1,5;2\n", "a | b\n1,5 | 2"),
        ("a\tb\n1\t2\n", "a | b\n1 | 2"),
        ('a,b\n"two\nlines, one cell",2\n', "a | b\ntwo lines, one cell | 2"),
        ("a,b,,\n,,,\n,2,,\n", "a | b\n | 2"),
        ("just\nlines\n", "just\nlines"),
        ("a,b\n" + '"never closed,2\n' + "3,4\n" * 300, 'a | b\n"never closed | 2\n' + "3 | 4\n" * 299 + "3 | 4"),
        ("a,b\n1\u2028x,2\n", "a | b\n1 x | 2"),
    ],
)
def test_tables(content: str, read: str) -> None:
    assert table.read(content.encode(), mime=kinds.CSV, bounds=BOUNDS).text == read


def test_tsv_keeps_its_commas() -> None:
    assert table.read(b"a,b\tc\n1,2\t3\n", mime=kinds.TSV, bounds=BOUNDS).text == "a,b | c\n1,2 | 3"


def test_sheets_are_pages() -> None:
    extraction = office.read(
        xlsx({"Fees": [["Ship", "Fee"], ["Tug", "=cmd|' /C calc'!A0"]], "More": [["x", "", "y"]]}),
        mime=kinds.XLSX,
        bounds=BOUNDS,
    )
    pages = [extraction.text[start:end] for start, end in extraction.pages]
    assert [page.split("\n\n") for page in pages] == [["Fees", "Ship | Fee\nTug"], ["More", "x |  | y"]]
    assert "calc" not in extraction.text
    with pytest.raises(TooManyPagesError):
        office.read(xlsx({"A": [["1"]], "B": [["2"]]}), mime=kinds.XLSX, bounds=Bounds(1000, 1))


def test_json_and_xml_in_one_endless_line_become_lines() -> None:
    records = json.dumps([{"name": "Köln", "n": n} for n in range(100)])
    lines = plain.read(records.encode(), mime=kinds.JSON, bounds=BOUNDS).text.split("\n")
    assert '  "name": "Köln",' in lines
    short = '{"a":  1}'
    assert plain.read(short.encode(), mime=kinds.JSON, bounds=BOUNDS).text == short
    items = f"<r>{'<i>one two</i>' * 200}</r>"
    found = plain.read(items.encode(), mime=kinds.XML, bounds=BOUNDS).text.split("\n")
    assert found[:2] == ["<r>", "<i>one two</i>"]
    assert len(found) == 202
