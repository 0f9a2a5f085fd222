"""The text of a document: from its file, or from an earlier run that came that far."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import transaction

from core.errors import NotFoundError
from retrieval.extraction import Extraction, ExtractionLimits, Heading, extract_file
from retrieval.ingestion import succession
from retrieval.ingestion.job import Job, State
from retrieval.models import Document, File, Revision


def extracted(job: Job) -> tuple[Extraction, Revision]:
    """Return the text with the revision that keeps it. Raises ExtractionError; NotFoundError without the file."""
    revision = Revision.objects.filter(document=succession.text_holder(job.document)).order_by("-created_at").first()
    if revision is not None:
        return _restored(job.document, revision), revision
    job.move(State.EXTRACTING)
    limits = ExtractionLimits(
        seconds=settings.EXTRACTION_MAX_SECONDS,
        memory_bytes=settings.EXTRACTION_MAX_MEMORY,
        max_chars=settings.EXTRACTION_MAX_CHARS,
    )
    with _local_copy(job.document.file) as path:
        extraction = extract_file(path, mime=job.document.file.mime_type, limits=limits)
    return extraction, _keep(job, extraction)


@contextmanager
def _local_copy(file: File) -> Iterator[Path]:
    """The bytes at a path, whatever storage they are in."""
    with tempfile.NamedTemporaryFile(prefix="document-") as copy:
        try:
            with default_storage.open(file.storage_name) as stored:
                shutil.copyfileobj(stored, copy)
        except FileNotFoundError as error:
            raise NotFoundError("The file is missing from the storage. Upload it again.") from error
        copy.flush()
        yield Path(copy.name)


def _keep(job: Job, extraction: Extraction) -> Revision:
    with transaction.atomic():
        job.claim.guard()
        job.write(language=extraction.language, page_count=len(extraction.pages))
        return Revision.objects.create(
            document=job.document,
            title=extraction.title,
            text=extraction.text,
            pages=extraction.pages,
            headings=extraction.headings,
            extractor=extraction.extractor,
            warnings=extraction.warnings,
        )


def _restored(document: Document, revision: Revision) -> Extraction:
    return Extraction(
        mime=document.file.mime_type,
        text=revision.text,
        pages=tuple((start, end) for start, end in revision.pages),
        headings=tuple(Heading(offset, level, title) for offset, level, title in revision.headings),
        title=revision.title,
        language=document.language,
        extractor=revision.extractor,
        warnings=tuple(revision.warnings),
    )
