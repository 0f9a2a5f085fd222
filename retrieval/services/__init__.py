"""What people do with stores and documents. Each service checks the right, does it, and tells who watches."""

from retrieval import quotas
from retrieval.services.archives import take
from retrieval.services.attributes import change_attributes, read_attributes, set_attributes
from retrieval.services.bulk import Outcome, Refusal, act_on_documents
from retrieval.services.documents import delete_document, rename_document, retry_document
from retrieval.services.moving import move_document
from retrieval.services.replacing import dismiss_replacement, replace_document
from retrieval.services.resumable import (
    Announced,
    append_part,
    begin_upload,
    discard_upload,
    finish_upload,
    get_upload,
    unfinished_uploads,
)
from retrieval.services.retrying import retry_failed
from retrieval.services.sharing import answer_offer, change_share, offer_store, share_store, unshare_store
from retrieval.services.stores import (
    StoreSettings,
    create_assistant_store,
    create_conversation_store,
    create_store,
    delete_store,
    ensure_default_store,
    keep_store,
    update_store,
)
from retrieval.services.uploads import UploadResult, upload

__all__ = [
    "Announced",
    "Outcome",
    "Refusal",
    "StoreSettings",
    "UploadResult",
    "act_on_documents",
    "answer_offer",
    "append_part",
    "begin_upload",
    "change_attributes",
    "change_share",
    "create_assistant_store",
    "create_conversation_store",
    "create_store",
    "delete_document",
    "delete_store",
    "discard_upload",
    "dismiss_replacement",
    "ensure_default_store",
    "finish_upload",
    "get_upload",
    "keep_store",
    "move_document",
    "offer_store",
    "quotas",
    "read_attributes",
    "rename_document",
    "replace_document",
    "retry_document",
    "retry_failed",
    "set_attributes",
    "share_store",
    "take",
    "unfinished_uploads",
    "unshare_store",
    "update_store",
    "upload",
]
