"""Documents made by the tests that need one with just this or that in it."""

import io
import zipfile
from email.message import EmailMessage

_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_NAMESPACES = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    f'xmlns:r="{_OFFICE}" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
    'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:v="urn:schemas-microsoft-com:vml"'
)
_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    'wordprocessingml.document.main+xml"/></Types>'
)
_ODF = "urn:oasis:names:tc:opendocument:xmlns:"
_OPENDOCUMENT = " ".join(
    f'xmlns:{prefix}="{_ODF}{name}:1.0"'
    for prefix, name in (
        ("office", "office"),
        ("text", "text"),
        ("table", "table"),
        ("draw", "drawing"),
        ("svg", "svg-compatible"),
        ("style", "style"),
    )
)


def zipped(parts: dict[str, str | bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of these parts in this order; one called mimetype is stored as it is."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content, zipfile.ZIP_STORED if name == "mimetype" else compression)
    return buffer.getvalue()


def relations(targets: dict[str, str], *, external: str = "") -> str:
    """A part of relationships: kinds and their targets (the kind is the identifier too), and one outside."""
    items = "".join(f'<Relationship Id="{k}" Type="{_OFFICE}/{k}" Target="{t}"/>' for k, t in targets.items())
    outside = f'<Relationship Id="out" Type="{_OFFICE}/attachedTemplate" Target="{external}" TargetMode="External"/>'
    start = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    return f"{start}{items}{outside if external else ''}</Relationships>"


def paragraph(text: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def docx(body: str, parts: dict[str, str] | None = None, *, prologue: str = "", external: str = "") -> bytes:
    """A Word document. `parts` are the insides of further parts by kind: styles, numbering, footnotes, header, …"""
    parts = parts or {}
    targets = {kind: f"{kind}.xml" for kind in parts}
    made: dict[str, str | bytes] = {
        "[Content_Types].xml": _TYPES,
        "_rels/.rels": relations({"officeDocument": "word/document.xml"}),
        "word/document.xml": f"{prologue}<w:document {_NAMESPACES}><w:body>{body}</w:body></w:document>",
        "word/_rels/document.xml.rels": relations(targets, external=external),
    }
    for kind, inside in parts.items():
        made[f"word/{kind}.xml"] = f"<w:{kind} {_NAMESPACES}>{inside}</w:{kind}>"
    return zipped(made)


def odt(body: str, *, styles: str = "", manifest: str = "", prologue: str = "") -> bytes:
    parts: dict[str, str | bytes] = {
        "mimetype": "application/vnd.oasis.opendocument.text",
        "content.xml": f"{prologue}<office:document-content {_OPENDOCUMENT}><office:body><office:text>{body}"
        "</office:text></office:body></office:document-content>",
    }
    if styles:
        parts["styles.xml"] = f"<office:document-styles {_OPENDOCUMENT}>{styles}</office:document-styles>"
    if manifest:
        parts["META-INF/manifest.xml"] = manifest
    return zipped(parts)


def epub(chapters: dict[str, str], *, spine: list[str], extra: dict[str, str] | None = None) -> bytes:
    """An e-book: the insides of `body` by file name (as the manifest spells it), shown in the order of `spine`."""
    items = "".join(f'<item id="i{n}" href="{h}" media-type="application/xhtml+xml"/>' for n, h in enumerate(chapters))
    order = "".join(f'<itemref idref="i{list(chapters).index(href)}"/>' for href in spine)
    parts: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="b/c.opf"/></rootfiles></container>',
        "b/c.opf": f"<package><metadata><title>The book</title></metadata><manifest>{items}</manifest>"
        f"<spine>{order}</spine></package>",
        **(extra or {}),
    }
    for href, body in chapters.items():
        parts[f"b/{href.replace('%20', ' ')}"] = f"<html><head><title>c</title></head><body>{body}</body></html>"
    return zipped(parts)


def xlsx(sheets: dict[str, list[list[str]]]) -> bytes:
    """A workbook. A cell that begins with = is a formula without a cached value, all others are strings."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    names = list(sheets)
    listed = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(names, 1))
    rels = "".join(
        f'<Relationship Id="r{n}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n, _ in enumerate(names, 1)
    )
    start = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "_rels/.rels": relations({"officeDocument": "xl/workbook.xml"}),
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f"{start}{rels}</Relationships>",
    }
    for number, rows in enumerate(sheets.values(), 1):
        lines = "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in rows)
        parts[f"xl/worksheets/sheet{number}.xml"] = (
            f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>'
        )
    return zipped(parts)


def _cell(text: str) -> str:
    return f"<c><f>{text[1:]}</f></c>" if text.startswith("=") else f'<c t="inlineStr"><is><t>{text}</t></is></c>'


def eml(text: str = "", html: str = "", *, attached: dict[str, bytes] | None = None) -> bytes:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Grüße ✓", "Ärger <a@b.example>", "c@d.example"
    message["Date"] = "Wed, 21 Dec 2022 10:28:53 -0600"
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    for name, content in (attached or {}).items():
        message.add_attachment(content, maintype="application", subtype="pdf", filename=name)
    return bytes(message)
