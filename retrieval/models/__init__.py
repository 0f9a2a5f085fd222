"""Files, vector stores, documents and what search reads."""

from retrieval.models.archives import Archive, ArchiveEntry
from retrieval.models.chunks import Chunk, ChunkEmbedding, ChunkWeights, StagedVector, StoreLanguage, TermFrequency
from retrieval.models.documents import Document, Revision
from retrieval.models.files import File, Picture
from retrieval.models.quotas import Quota
from retrieval.models.reindexing import Reindexing
from retrieval.models.stores import VectorStore
from retrieval.models.uploads import Upload, UploadPart

__all__ = [
    "Archive",
    "ArchiveEntry",
    "Chunk",
    "ChunkEmbedding",
    "ChunkWeights",
    "Document",
    "File",
    "Picture",
    "Quota",
    "Reindexing",
    "Revision",
    "StagedVector",
    "StoreLanguage",
    "TermFrequency",
    "Upload",
    "UploadPart",
    "VectorStore",
]
