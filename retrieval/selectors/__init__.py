"""What is read of stores and documents, always within what a person may see. What one may not see is not found."""

from retrieval.selectors.archives import ArchiveView, archive_views
from retrieval.selectors.documents import (
    DocumentView,
    PagePart,
    document_view,
    embedding_target,
    get_document,
    get_store,
    has_role,
    library_stores,
    move_targets,
    page_parts,
    store_documents,
    text_between,
    text_spans,
)
from retrieval.selectors.filters import DocumentFilter, cleaned_words
from retrieval.selectors.listing import Counts, DocumentRow, counts, document_page, document_row, listed
from retrieval.selectors.reindexing import ReindexingView, embedding_models, in_words, last_reindexing, reindexing_view

__all__ = [
    "ArchiveView",
    "Counts",
    "DocumentFilter",
    "DocumentRow",
    "DocumentView",
    "PagePart",
    "ReindexingView",
    "archive_views",
    "cleaned_words",
    "counts",
    "document_page",
    "document_row",
    "document_view",
    "embedding_models",
    "embedding_target",
    "get_document",
    "get_store",
    "has_role",
    "in_words",
    "last_reindexing",
    "library_stores",
    "listed",
    "move_targets",
    "page_parts",
    "reindexing_view",
    "store_documents",
    "text_between",
    "text_spans",
]
