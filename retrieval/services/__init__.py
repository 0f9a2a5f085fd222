"""What people do with stores and documents. Each service checks the right, does it, and tells who watches."""

from retrieval import quotas
from retrieval.services.documents import delete_document, retry_document
from retrieval.services.stores import create_conversation_store, create_store, ensure_default_store
from retrieval.services.uploads import UploadResult, upload

__all__ = [
    "UploadResult",
    "create_conversation_store",
    "create_store",
    "delete_document",
    "ensure_default_store",
    "quotas",
    "retry_document",
    "upload",
]
