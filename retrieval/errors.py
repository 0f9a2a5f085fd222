"""Everything that can go wrong with files, documents and search.

RetrievalError
├── ExtractionError                 (a file cannot be turned into text)
│   ├── EmptyFileError              there is nothing in it
│   ├── UnsupportedTypeError        we do not read this kind of file
│   ├── EncryptedFileError          it needs a password
│   ├── CorruptFileError            damaged, cut short, or not what it says it is
│   ├── NoTextFoundError            pictures only
│   ├── TooLargeError               more text than one document may have
│   │   └── TooManyPagesError
│   ├── ExtractionTimeoutError      reading it took too long
│   ├── ExtractionMemoryError       reading it took too much memory
│   └── ExtractionCrashedError      the reader fell over
├── OffsetError                     (a part of an upload does not go on where the last one ended)
├── DamagedUploadError              (bytes arrived as others than were sent)
├── EmbeddingError                  (a text cannot be turned into a vector)
│   ├── EmbeddingKeyError           the server does not accept the key
│   ├── EmbeddingRefusedError       the server does not accept the request
│   │   └── EmbeddingInputError     a text is too long for the model
│   ├── EmbeddingDimensionError     vectors of another length than the store's
│   ├── EmbeddingInvalidError       what came back are no vectors
│   ├── EmbeddingUnavailableError   the server does not answer, or not now
│   └── EmbeddingProviderError      no such provider is registered
└── QuotaExceededError              (a person may not keep so much; also a LimitError)

`extraction_error` makes the error that a jailed reader named by its code.
"""

from typing import ClassVar

from core.errors import LimitError, ParleyError


class RetrievalError(ParleyError):
    code: ClassVar[str] = "retrieval_error"


class ExtractionError(RetrievalError):
    code: ClassVar[str] = "extraction_failed"
    status: ClassVar[int] = 422


class EmptyFileError(ExtractionError):
    code: ClassVar[str] = "empty_file"


class UnsupportedTypeError(ExtractionError):
    code: ClassVar[str] = "unsupported_type"
    status: ClassVar[int] = 415


class EncryptedFileError(ExtractionError):
    code: ClassVar[str] = "encrypted_file"


class CorruptFileError(ExtractionError):
    code: ClassVar[str] = "corrupt_file"


class NoTextFoundError(ExtractionError):
    code: ClassVar[str] = "no_text_found"


class TooLargeError(ExtractionError):
    code: ClassVar[str] = "too_large"
    status: ClassVar[int] = 413


class TooManyPagesError(TooLargeError):
    code: ClassVar[str] = "too_many_pages"


class ExtractionTimeoutError(ExtractionError):
    """Retryable: the machine may have been busy."""

    code: ClassVar[str] = "extraction_timeout"
    retryable = True


class ExtractionMemoryError(ExtractionError):
    code: ClassVar[str] = "extraction_memory"


class ExtractionCrashedError(ExtractionError):
    """Retryable where something else than the reader itself ended it."""

    code: ClassVar[str] = "extraction_crashed"


class OffsetError(RetrievalError):
    """`offset` is where the next part has to begin."""

    code: ClassVar[str] = "wrong_offset"
    status: ClassVar[int] = 409
    retryable = True

    def __init__(self, offset: int) -> None:
        super().__init__(f"The next part has to begin at byte {offset}.")
        self.offset = offset


class DamagedUploadError(RetrievalError):
    """460 is what the checksum extension of tus 1.0 answers."""

    code: ClassVar[str] = "damaged_upload"
    status: ClassVar[int] = 460
    retryable = True


class EmbeddingError(RetrievalError):
    code: ClassVar[str] = "embedding_failed"
    status: ClassVar[int] = 502


class EmbeddingKeyError(EmbeddingError):
    code: ClassVar[str] = "embedding_key"


class EmbeddingRefusedError(EmbeddingError):
    code: ClassVar[str] = "embedding_refused"


class EmbeddingInputError(EmbeddingRefusedError):
    code: ClassVar[str] = "embedding_input_too_long"


class EmbeddingDimensionError(EmbeddingError):
    code: ClassVar[str] = "embedding_dimension"


class EmbeddingInvalidError(EmbeddingError):
    code: ClassVar[str] = "embedding_invalid"


class EmbeddingUnavailableError(EmbeddingError):
    """`after`: the seconds that the server asked to be left alone for, if it did."""

    code: ClassVar[str] = "embedding_unavailable"
    status: ClassVar[int] = 503
    retryable = True
    after: float | None = None


class EmbeddingProviderError(EmbeddingError):
    code: ClassVar[str] = "embedding_provider"


class QuotaExceededError(RetrievalError, LimitError):
    """Not retryable by itself: something has to be deleted first, or a limit raised."""

    code: ClassVar[str] = "quota_exceeded"
    status: ClassVar[int] = 413


_EXTRACTION_ERRORS: dict[str, type[ExtractionError]] = {
    error.code: error
    for error in (
        ExtractionError,
        EmptyFileError,
        UnsupportedTypeError,
        EncryptedFileError,
        CorruptFileError,
        NoTextFoundError,
        TooLargeError,
        TooManyPagesError,
        ExtractionTimeoutError,
        ExtractionMemoryError,
        ExtractionCrashedError,
    )
}


def extraction_error(code: str, message: str, *, retryable: bool | None = None) -> ExtractionError:
    """The error of that code; the general one where the code is unknown."""
    return _EXTRACTION_ERRORS.get(code, ExtractionError)(message, retryable=retryable)
