"""What several views of this room answer with."""

from django.template.loader import render_to_string

from retrieval.models import Document
from retrieval.selectors import document_view


def document_html(document: Document) -> str:
    """A document's row, as the page and the socket show it."""
    return render_to_string("retrieval/_partials/document.html", {"document": document_view(document)})
