"""A process says each second that it lives; who was not seen for five seconds is dead and loses its turns.

The row is written from a thread, over a connection of its own outside the pool, so that a busy event loop or a full
pool does not look like death. All times are the database's, so that machines need no common clock.
"""

import logging
import os
import socket
import threading
import uuid
from datetime import timedelta
from typing import Any

from django.db import Error, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

INTERVAL = 1.0
ALIVE = timedelta(seconds=5)
# Seconds after which an attempt to write is given up and made again: the next one may still come in time.
PATIENCE = 2

logger = logging.getLogger(__name__)

_BEAT = """
INSERT INTO core_process (id, kind, host, pid, started_at, seen_at, draining)
VALUES (%s, %s, %s, %s, clock_timestamp(), clock_timestamp(), false)
ON CONFLICT (id) DO UPDATE SET seen_at = EXCLUDED.seen_at
"""


class Heartbeat:
    """The heartbeat of one process: `start`, then `stop` when it leaves."""

    def __init__(self, kind: str) -> None:
        self.id = uuid.uuid4()
        self._row: list[Any] = [self.id, kind, socket.gethostname(), os.getpid()]
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Write the first beat in the caller's thread (an error is the caller's), then go on in the background."""
        self._write(connection)
        self._thread.start()

    def stop(self) -> None:
        """End the beat and remove the row."""
        self._leave.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _write(self, database: BaseDatabaseWrapper) -> None:
        with database.cursor() as cursor:
            cursor.execute(_BEAT, self._row)

    def _beat(self) -> None:
        database = _outside_the_pool()
        while not self._leave.wait(INTERVAL):
            try:
                self._write(database)
            except Error as error:
                logger.warning("The heartbeat was not written: %s", error)
                database.close()
        try:
            with database.cursor() as cursor:
                cursor.execute("DELETE FROM core_process WHERE id = %s", [self.id])
        except Error as error:
            logger.warning("The heartbeat's row was not removed: %s", error)
        finally:
            database.close()


def _outside_the_pool() -> BaseDatabaseWrapper:
    options = {**connection.settings_dict["OPTIONS"], "connect_timeout": PATIENCE}
    options["options"] = f"-c statement_timeout={PATIENCE * 1000}"
    options.pop("pool", None)
    # `connection` is a proxy; the class of what it stands for is wanted
    kind = type(connections[connection.alias])
    return kind({**connection.settings_dict, "OPTIONS": options}, alias=connection.alias)
