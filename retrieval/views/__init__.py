"""Pages and addresses of the library. They parse, call a service or selector, and answer."""

from retrieval.views.actions import attributes, delete, dismiss, move, rename, replace, retry
from retrieval.views.bulk import bulk
from retrieval.views.documents import document
from retrieval.views.library import library, rows, store
from retrieval.views.originals import file
from retrieval.views.pictures import page_marks, page_picture, picture, small_picture
from retrieval.views.reindexing import change_reindexing, indexing, rechunk
from retrieval.views.resumable import begin, upload_parts
from retrieval.views.stores import answer_offer, change_share, delete_store, keep, offer, settings, share
from retrieval.views.uploads import retry_failed, states, upload

__all__ = [
    "answer_offer",
    "attributes",
    "begin",
    "bulk",
    "change_reindexing",
    "change_share",
    "delete",
    "delete_store",
    "dismiss",
    "document",
    "file",
    "indexing",
    "keep",
    "library",
    "move",
    "offer",
    "page_marks",
    "page_picture",
    "picture",
    "rechunk",
    "rename",
    "replace",
    "retry",
    "retry_failed",
    "rows",
    "settings",
    "share",
    "small_picture",
    "states",
    "store",
    "upload",
    "upload_parts",
]
