"""Which background work this room does. Imported by workers (Celery finds it), not needed to ask for work."""

import time

from celery import shared_task

from core import outbox
from retrieval import ingestion
from retrieval.ingestion import reindexing
from retrieval.services import archives, orphans, resumable, stores

outbox.register_group(ingestion.INGEST, ingestion.ingest, ingestion.GROUP, on_exhausted=ingestion.give_up)
# what a person deleted is never left lying about, however often a worker dies over it
outbox.register(ingestion.REMOVE, ingestion.remove, max_attempts=10_000)
outbox.register(resumable.FINISH, resumable.finish_left_upload, on_exhausted=resumable.give_up_upload)
outbox.register(resumable.EXPIRE, resumable.expire_upload, max_attempts=10_000)
outbox.register(archives.UNPACK, archives.unpack, on_exhausted=archives.give_up_archive)
outbox.register(archives.EXPIRE, archives.expire_archive, max_attempts=10_000)
outbox.register(ingestion.REMOVE_STORE, ingestion.remove_store, max_attempts=10_000)
outbox.register(ingestion.FREE, ingestion.free, max_attempts=10_000)
# who died how often over which store is counted in the store's own row
outbox.register(reindexing.REINDEX, reindexing.reindex, max_attempts=10_000)
outbox.register(reindexing.LEFTOVERS, reindexing.remove_leftovers, max_attempts=10_000)


@shared_task(name="retrieval.tasks.sweep_stores")
def sweep_stores() -> None:
    """The periodic look at what expired."""
    stores.delete_expired()


@shared_task(name="retrieval.tasks.sweep_storage")
def sweep_storage() -> None:
    """The periodic look at what a killed process left in the storage: each hour another portion, all within a day."""
    hour = int(time.time() // 3600)
    orphans.sweep(orphans.PORTIONS[hour % len(orphans.PORTIONS)])
