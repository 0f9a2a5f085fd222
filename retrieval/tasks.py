"""Which background work this room does. Imported by workers (Celery finds it), not needed to ask for work."""

from core import outbox
from retrieval import ingestion

outbox.register(ingestion.INGEST, ingestion.ingest, on_exhausted=ingestion.give_up)
# what a person deleted is never left lying about, however often a worker dies over it
outbox.register(ingestion.REMOVE, ingestion.remove, max_attempts=10_000)
