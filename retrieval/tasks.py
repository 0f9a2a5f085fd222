"""Which background work this room does. Imported by workers (Celery finds it), not needed to ask for work."""

from core import outbox
from retrieval import ingestion
from retrieval.services import resumable

outbox.register_group(ingestion.INGEST, ingestion.ingest, ingestion.GROUP, on_exhausted=ingestion.give_up)
# what a person deleted is never left lying about, however often a worker dies over it
outbox.register(ingestion.REMOVE, ingestion.remove, max_attempts=10_000)
outbox.register(resumable.FINISH, resumable.finish_left_upload, on_exhausted=resumable.give_up_upload)
outbox.register(resumable.EXPIRE, resumable.expire_upload, max_attempts=10_000)
