"""The library in the admin. What changes documents goes through the same services as the page."""

from retrieval.admin.chunks import ChunkAdmin
from retrieval.admin.documents import DocumentAdmin
from retrieval.admin.files import FileAdmin
from retrieval.admin.quotas import QuotaAdmin
from retrieval.admin.reindexing import ReindexingAdmin
from retrieval.admin.stores import VectorStoreAdmin

__all__ = ["ChunkAdmin", "DocumentAdmin", "FileAdmin", "QuotaAdmin", "ReindexingAdmin", "VectorStoreAdmin"]
