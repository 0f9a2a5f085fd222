"""Files that mean harm, made by the tests that show that none is done."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable

from tests.documents import docx, epub, odt, paragraph, relations, xlsx, zipped

MakesEntities = Callable[[], tuple[str, str]]

SLIDE = (
    '<p:sld xmlns:p="p" xmlns:a="a"><p:cSld><p:spTree><p:sp><p:txBody><a:p><a:r><a:t>{}</a:t></a:r></a:p></p:txBody>'
    "</p:sp></p:spTree></p:cSld></p:sld>"
)
OFFICE = ("a.docx", "a.odt", "a.pptx", "a.xlsx", "a.epub")


def pptx(text: str, prologue: str = "") -> bytes:
    """A presentation of one slide."""
    return zipped(
        {
            "[Content_Types].xml": "<Types/>",
            "ppt/presentation.xml": '<p:presentation xmlns:p="p" xmlns:r="r"><p:sldId r:id="slide"/></p:presentation>',
            "ppt/_rels/presentation.xml.rels": relations({"slide": "slides/slide1.xml"}),
            "ppt/slides/slide1.xml": prologue + SLIDE.format(text),
        }
    )


def office_file(name: str, text: str, prologue: str = "") -> bytes:
    """One of the kinds that are archives of XML, with `text` as it stands in its XML, behind `prologue`."""
    match name:
        case "a.docx":
            return docx(paragraph(text), prologue=prologue)
        case "a.odt":
            return odt(f"<text:p>{text}</text:p>", prologue=prologue)
        case "a.pptx":
            return pptx(text, prologue)
        case "a.xlsx":
            return rewritten(xlsx({"A": [[text]]}), "xl/worksheets/sheet1.xml", lambda part: prologue + part)
        case _:
            book = epub({"a.xhtml": f"<p>{text}</p>"}, spine=["a.xhtml"])
            change = {"The book": text} if prologue else {}
            return rewritten(book, "b/c.opf", lambda part: prologue + _replaced(part, change))


def _replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def rewritten(content: bytes, name: str, change: Callable[[str], str]) -> bytes:
    """The same archive with one part changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts: dict[str, str | bytes] = {each: archive.read(each) for each in archive.namelist()}
    part = parts[name]
    assert isinstance(part, bytes)
    return zipped({**parts, name: change(part.decode())})


def laughs(depth: int = 9, width: int = 20) -> tuple[str, str]:
    """A prologue in which each entity is many of the one before, and what asks for the last: a billion laughs."""
    entities = '<!ENTITY e0 "lol">'
    for level in range(1, depth):
        entities += f'<!ENTITY e{level} "{f"&e{level - 1};" * width}">'
    return f"<!DOCTYPE x [{entities}]>", f"&e{depth - 1};"


def quadratic(size: int = 100_000) -> tuple[str, str]:
    """One long entity, asked for thousands of times."""
    return f'<!DOCTYPE x [<!ENTITY e "{"A" * size}">]>', "&e;" * 20_000


def external(url: str) -> tuple[str, str]:
    """An entity that is somewhere else, and a document type that is."""
    return (
        f'<!DOCTYPE x SYSTEM "{url}/dtd" [<!ENTITY e SYSTEM "{url}"><!ENTITY % p SYSTEM "{url}/p">%p;]>',
        "before &e;",
    )


def pdf(objects: dict[int, str | bytes], *, root: int = 1) -> bytes:
    """A PDF of these objects by number, with a table of where they are."""
    out = io.BytesIO(b"%PDF-1.7\n")
    out.seek(0, io.SEEK_END)
    places = {}
    for number, body in objects.items():
        places[number] = out.tell()
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body if isinstance(body, bytes) else body.encode()))
    start, size = out.tell(), max(objects) + 1
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % size)
    out.writelines(b"%010d 00000 n \n" % places.get(number, 0) for number in range(1, size))
    out.write(b"trailer\n<< /Size %d /Root %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, root, start))
    return out.getvalue()


def stream(content: str, dictionary: str = "") -> bytes:
    data = content.encode()
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), dictionary.encode(), data)


FONT = "<< /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> {} >>"


def written(text: str) -> bytes:
    return stream(f"BT /F 12 Tf 72 700 Td ({text}) Tj ET")


def page(contents: int, more: str = "", resources: str = "") -> str:
    box = "/MediaBox [0 0 612 792]"
    return f"<< /Type /Page /Parent 2 0 R {box} /Contents {contents} 0 R /Resources {FONT.format(resources)} {more} >>"


def pdf_of(text: str, *, catalog: str = "", more: str = "", extra: dict[int, str | bytes] | None = None) -> bytes:
    """A PDF of one page that says `text`, with more in its catalogue, in its page, and more objects (from 10)."""
    return pdf(
        {
            1: f"<< /Type /Catalog /Pages 2 0 R {catalog} >>",
            2: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            3: page(4, more),
            4: written(text),
            **(extra or {}),
        }
    )


def active_pdf(url: str) -> bytes:
    """One that would run, start, fetch and unpack things where somebody lets it."""
    script = "app.alert('JSRAN'); this.submitForm('" + url + "/submit'); this.getURL('" + url + "/get');"
    return pdf_of(
        "only words",
        catalog="/OpenAction 10 0 R /Names << /JavaScript << /Names [(a) 10 0 R] >> "
        "/EmbeddedFiles << /Names [(evil.exe) 13 0 R] >> >> /AcroForm << /XFA 15 0 R >>",
        more="/Annots [12 0 R] /AA << /O 11 0 R >>",
        extra={
            10: f"<< /S /JavaScript /JS ({script.replace('(', chr(92) + '(').replace(')', chr(92) + ')')}) >>",
            11: "<< /S /Launch /F (/bin/sh) /Win << /F (cmd.exe) >> >>",
            12: f"<< /Type /Annot /Subtype /Link /Rect [0 0 600 700] /A << /S /URI /URI ({url}/uri) >> >>",
            13: "<< /Type /Filespec /F (evil.exe) /EF << /F 14 0 R >> >>",
            14: stream("MZ EMBEDDED", "/Type /EmbeddedFile"),
            15: stream(f'<xdp><template><script>x("{url}/xfa")</script></template></xdp>'),
        },
    )


def cyclic_pdfs() -> dict[str, bytes]:
    """PDFs whose parts refer back to themselves."""
    catalogue = "<< /Type /Catalog /Pages 2 0 R {} >>"
    form = "/Type /XObject /Subtype /Form /BBox [0 0 600 700] /Resources << /XObject << /X 5 0 R >> >>"
    return {
        "pages that hold themselves": pdf(
            {1: catalogue.format(""), 2: "<< /Type /Pages /Kids [2 0 R 3 0 R] /Count 2 >>", 3: page(4), 4: written("w")}
        ),
        "a form that draws itself": pdf(
            {
                1: catalogue.format(""),
                2: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
                3: page(4, resources="/XObject << /X 5 0 R >>"),
                4: stream("/X Do"),
                5: stream("/X Do", form),
            }
        ),
        "an outline that follows itself": pdf_of(
            "words",
            catalog="/Outlines 10 0 R",
            extra={
                10: "<< /Type /Outlines /First 11 0 R /Last 11 0 R /Count 1 >>",
                11: "<< /Title (again) /Parent 10 0 R /Next 11 0 R /First 11 0 R /Dest [3 0 R /Fit] >>",
            },
        ),
        "a length that is itself": pdf_of("words", extra={4: b"<< /Length 4 0 R >>\nstream\nBT ET\nendstream"}),
        "a page that is its own contents": pdf_of("words", extra={3: page(3)}),
    }


def many_pages(count: int) -> bytes:
    kids = " ".join(f"{number} 0 R" for number in range(10, 10 + count))
    pages: dict[int, str | bytes] = dict.fromkeys(range(10, 10 + count), page(4))
    return pdf(
        {
            1: "<< /Type /Catalog /Pages 2 0 R >>",
            2: f"<< /Type /Pages /Kids [{kids}] /Count {count} >>",
            4: written("w"),
            **pages,
        }
    )


def swelling_pdf() -> bytes:
    """A page whose contents unpack to hundreds of megabytes."""
    packed = zlib.compress(b"BT /F 12 Tf 72 700 Td (words) Tj ET\n" * 10 + b" " * 400_000_000, 9)
    head = b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(packed)
    return pdf_of("", extra={4: head + packed + b"\nendstream"})


def compound_file(name: str) -> bytes:
    """An OLE file of 512-byte sectors whose directory, in sector 1, names one stream."""
    header = bytearray(512)
    header[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    header[30:32], header[48:52] = struct.pack("<H", 9), struct.pack("<I", 1)
    return bytes(header) + bytes(512) + name.encode("utf-16-le").ljust(512, b"\0")
