"""The texts of documents: from their files, some at a time, or from an earlier run that came that far."""

import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import transaction

from core.errors import NotFoundError
from retrieval.errors import NoTextFoundError
from retrieval.extraction import Extraction, ExtractionLimits, Heading, extract_file
from retrieval.ingestion import succession
from retrieval.ingestion.job import Job, Move, State, move_all
from retrieval.ingestion.pictures import keep_picture, without_words
from retrieval.models import Document, File, Revision

Text = tuple[Extraction, Revision]

# Files that one worker reads side by side, each in a child process of its own.
READERS = 2
# Seconds between two writes of how many pages are read.
_PROGRESS_SECONDS = 0.5


class _Stopped(Exception):
    """Nobody waits for this file any more."""


def texts(jobs: Sequence[Job]) -> Generator[tuple[Job, Callable[[], Text]], None, None]:
    """Yield each job as soon as its file is read, with a call that keeps its text and returns it.

    The call raises ExtractionError; NotFoundError without the file. Those that are no longer wanted are left out.
    """
    holders = {job: succession.text_holder(job.document) for job in jobs}
    kept = set(Revision.objects.filter(document__in=holders.values()).values_list("document", flat=True))
    for job in jobs:
        if holders[job].pk in kept:
            yield job, partial(_restored, job)
    unread = [job for job in jobs if holders[job].pk not in kept]
    wanted = move_all([Move(job, State.EXTRACTING) for job in unread])
    with _Readers() as readers:
        for job in unread:
            if job in wanted:
                readers.begin(job)
        while found := readers.next():
            for job, reading in found.items():
                yield job, partial(_keep, job, reading)


class _Readers:
    """Files being read in threads that wait for child processes, and how far each is."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(READERS, "reader")
        self._running: dict[Future[Extraction], Job] = {}
        self._pages: dict[Job, tuple[int, int]] = {}
        self._stopped = Event()

    def __enter__(self) -> "_Readers":
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopped.set()
        # not waited for where there was an error: they write nothing
        self._pool.shutdown(wait=False, cancel_futures=True)

    def begin(self, job: Job) -> None:
        self._running[self._pool.submit(self._read, job)] = job

    def next(self) -> dict[Job, Future[Extraction]]:
        """Wait for what is read next, showing pages meanwhile; empty when all is read."""
        while self._running:
            ended, _ = wait(self._running, _PROGRESS_SECONDS, FIRST_COMPLETED)
            if ended:
                return {self._running.pop(future): future for future in ended}
            self._show()
        return {}

    def _read(self, job: Job) -> Extraction:
        limits = ExtractionLimits(
            seconds=settings.EXTRACTION_MAX_SECONDS,
            memory_bytes=settings.EXTRACTION_MAX_MEMORY,
            max_chars=settings.EXTRACTION_MAX_CHARS,
            ocr_seconds=settings.OCR_MAX_SECONDS,
            ocr_languages=settings.OCR_LANGUAGES,
        )

        def told(done: int, total: int) -> None:
            if self._stopped.is_set():
                raise _Stopped
            self._pages[job] = (done, total)

        with _local_copy(job.document.file) as path:
            return extract_file(path, mime=job.document.file.mime_type, limits=limits, on_progress=told)

    def _show(self) -> None:
        told, self._pages = self._pages, {}
        waiting = set(self._running.values())
        move_all([Move(job, State.EXTRACTING, *pages) for job, pages in told.items() if job in waiting])


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


def _keep(job: Job, reading: "Future[Extraction]") -> Text:
    keep_picture(job)
    try:
        extraction = reading.result()
    except NoTextFoundError as error:
        extraction = without_words(job.document, error)
    with transaction.atomic():
        job.claim.guard()
        job.write(
            state=State.CHUNKING,
            progress_done=0,
            progress_total=0,
            language=extraction.language,
            page_count=len(extraction.pages),
        )
        return extraction, Revision.objects.create(
            document=job.document,
            title=extraction.title,
            text=extraction.text,
            pages=extraction.pages,
            headings=extraction.headings,
            extractor=extraction.extractor,
            warnings=extraction.warnings,
        )


def _restored(job: Job) -> Text:
    job.move(State.CHUNKING)
    revision = Revision.objects.filter(document=succession.text_holder(job.document)).latest("created_at")
    return restored(job.document, revision), revision


def restored(document: Document, revision: Revision) -> Extraction:
    """The extraction that a revision was kept from; `document` should have its file loaded."""
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
