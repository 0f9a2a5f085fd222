"""From a queued document to one that search finds, and back out again. Runs in workers, asked for through the outbox.

`ingest` and `remove` are handlers of the kinds INGEST and REMOVE (registered in `retrieval.tasks`). Each may run any
number of times, may be killed anywhere, and writes nothing once its claim was taken over.
"""

from retrieval.ingestion.pipeline import give_up, ingest
from retrieval.ingestion.removal import remove
from retrieval.ingestion.succession import REMOVE, tell

INGEST = "retrieval.ingest"

__all__ = ["INGEST", "REMOVE", "give_up", "ingest", "remove", "tell"]
