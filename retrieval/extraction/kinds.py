"""The kinds of file we know, and which reader each one has."""

from retrieval.extraction import languages

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ODT = "application/vnd.oasis.opendocument.text"
RTF = "application/rtf"
EPUB = "application/epub+zip"
EMAIL = "message/rfc822"
NOTEBOOK = "application/x-ipynb+json"
HTML = "text/html"
MARKDOWN = "text/markdown"
PLAIN = "text/plain"
# not read itself: unpacked, and what is in it is
ZIP = "application/zip"
CSV = "text/csv"
TSV = "text/tab-separated-values"
JSON = "application/json"
XML = "application/xml"
# and one kind for each programming language (`languages.BY_MIME`)

IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/tiff", "image/bmp"})

# The reader's module, imported inside the jail by the kind of file it is about to read.
READERS = {
    PDF: "retrieval.extraction.pdf",
    HTML: "retrieval.extraction.html",
    MARKDOWN: "retrieval.extraction.markdown",
    PLAIN: "retrieval.extraction.plain",
    CSV: "retrieval.extraction.table",
    TSV: "retrieval.extraction.table",
    JSON: "retrieval.extraction.plain",
    XML: "retrieval.extraction.plain",
    DOCX: "retrieval.extraction.word",
    PPTX: "retrieval.extraction.slides",
    XLSX: "retrieval.extraction.office",
    ODT: "retrieval.extraction.opendocument",
    RTF: "retrieval.extraction.office",
    EPUB: "retrieval.extraction.book",
    EMAIL: "retrieval.extraction.mail",
    NOTEBOOK: "retrieval.extraction.notebook",
    **dict.fromkeys(languages.BY_MIME, "retrieval.extraction.code"),
    **dict.fromkeys(IMAGES, "retrieval.extraction.picture"),
}
# What OCR may find more text in
PICTURED = IMAGES | {PDF}
# Markdown, and what is read as such
MARKED_DOWN = frozenset({MARKDOWN, NOTEBOOK})

LABELS = {
    PDF: "PDF",
    DOCX: "Word document",
    PPTX: "PowerPoint presentation",
    XLSX: "Excel workbook",
    ODT: "OpenDocument text",
    RTF: "RTF document",
    EPUB: "e-book",
    EMAIL: "e-mail",
    NOTEBOOK: "notebook",
    HTML: "web page",
    MARKDOWN: "Markdown",
    PLAIN: "text",
    CSV: "CSV table",
    TSV: "TSV table",
    JSON: "JSON",
    XML: "XML",
    **{mime: f"{language.name} source" for mime, language in languages.BY_MIME.items()},
}
