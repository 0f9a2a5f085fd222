"""Files that are pictures: made anew for models and pages, and read for the words in them.

In a conversation a picture is what somebody wants a model to see: without words it is ready too, with an empty text. In
a store of the library nothing would ever find it, so there it fails with a sentence.
"""

from django.db import transaction

from retrieval.errors import NoTextFoundError
from retrieval.extraction import Extraction
from retrieval.extraction.kinds import IMAGES
from retrieval.ingestion.job import Job
from retrieval.models import Document, Picture, Revision, VectorStore
from retrieval.pictures import jailed, kept

NO_READER = "none"


def keep_picture(job: Job) -> None:
    """Make the job's file anew where it is a picture. Raises ExtractionError; NotFoundError without the file."""
    file = job.document.file
    if file.mime_type not in IMAGES:
        return
    with kept.local_path(file) as path:
        made = jailed.prepare(path, mime=file.mime_type)
    kept.keep(file.pk, kept.PICTURE, made.content)
    kept.keep(file.pk, kept.SMALL, made.small)
    with transaction.atomic():
        job.claim.guard()
        Picture.objects.update_or_create(
            file=file,
            defaults={
                "mime_type": made.mime_type,
                "width": made.width,
                "height": made.height,
                "size": len(made.content),
                "small_width": made.small_width,
                "small_height": made.small_height,
            },
        )


def is_without_words(revision: Revision) -> bool:
    """Whether there was nothing to read in a picture that is kept all the same."""
    return revision.extractor == NO_READER


def without_words(document: Document, error: NoTextFoundError) -> Extraction:
    """The empty text of a picture in a conversation; raises `error` for everything else that has no text."""
    if document.file.mime_type not in IMAGES or document.store.kind != VectorStore.Kind.CONVERSATION:
        raise error
    return Extraction(mime=document.file.mime_type, text="", extractor=NO_READER)
