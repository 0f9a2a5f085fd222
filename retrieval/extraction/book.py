"""Reads e-books (EPUB): the chapters in the order in which they are read, each by the reader of web pages.

Our own reader, because kreuzberg silently left out chapters whose file names are percent-encoded. The format: EPUB
3.3 (container, package document, spine), and EPUB 2 before it.
"""

from posixpath import dirname, join, normpath
from urllib.parse import unquote

from core.jail.progress import report
from retrieval.errors import CorruptFileError, EncryptedFileError
from retrieval.extraction import html
from retrieval.extraction.builder import Bounds, TextBuilder
from retrieval.extraction.encoding import decode
from retrieval.extraction.package import Package, attribute, every, opened
from retrieval.extraction.result import Extraction

EXTRACTOR = f"book 1, {html.EXTRACTOR}"

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
# The two ways to hide fonts only (EPUB 3.3, 4.3): the text can be read.
_FONTS = frozenset({"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"})
_PAGES = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml"})


def read(data: bytes, *, mime: str, bounds: Bounds) -> Extraction:
    builder = TextBuilder(bounds)
    with opened(data, "e-book") as package:
        _refuse_locked(package)
        chapters = _chapters(package, builder)
        for number, name in enumerate(chapters, 1):
            if name in package:
                # written here so that a chapter's own title does not become the book's
                text = decode(package.read(name), declared=True)[0]
                title, builder.title = builder.title, "-"
                html.write(builder, text)
                builder.title = title
                builder.gap()
            else:
                builder.warn("A chapter is missing from this e-book.")
            report(number, len(chapters))
    return builder.finish(mime=mime, extractor=EXTRACTOR, no_text="This e-book has no text of its own.")


def _refuse_locked(package: Package) -> None:
    if _ENCRYPTION in package:
        methods = {attribute(node, "Algorithm") for node in every(package.part(_ENCRYPTION), "EncryptionMethod")}
        if methods - _FONTS:
            raise EncryptedFileError("This e-book is protected by a password or by digital rights management.")


def _chapters(package: Package, builder: TextBuilder) -> list[str]:
    """The names of the parts in the order of the spine."""
    roots = [attribute(node, "full-path") for node in every(package.part(_CONTAINER), "rootfile")]
    if not roots:
        raise CorruptFileError("This e-book does not say where its content is.")
    root = package.part(roots[0], doctype=True)
    builder.title = next(("".join(node.itertext()) for node in every(root, "title")), "")
    folder = dirname(roots[0])
    items = {
        attribute(item, "id"): normpath(join(folder, unquote(attribute(item, "href"))))
        for item in every(root, "item")
        if attribute(item, "media-type") in _PAGES
    }
    spine = [attribute(reference, "idref") for reference in every(root, "itemref")]
    return [items[name] for name in spine if name in items] or list(items.values())
