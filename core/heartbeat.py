"""A process says each second that it lives; who was not seen for five seconds is dead and loses its turns.

The row is written from a thread and connection of its own, so that a busy event loop or a full pool does not look
like death.
"""

import logging
import os
import socket
import threading
import uuid
from datetime import timedelta

from django.db import Error, connection
from django.utils import timezone

from core.models import Process

INTERVAL = 1.0
ALIVE = timedelta(seconds=5)

logger = logging.getLogger(__name__)


def living_processes() -> "list[uuid.UUID]":
    """Return the ids of the processes that were seen within `ALIVE`."""
    return list(Process.objects.filter(seen_at__gt=timezone.now() - ALIVE).values_list("id", flat=True))


class Heartbeat:
    """The heartbeat of one process: `start`, then `stop` when it leaves."""

    def __init__(self, kind: str) -> None:
        self.id = uuid.uuid4()
        self._kind = kind
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Write the first beat in the caller's thread (an error is the caller's), then go on in the background."""
        self._write()
        self._thread.start()

    def stop(self) -> None:
        """End the beat and remove the row."""
        self._leave.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _write(self) -> None:
        Process.objects.update_or_create(
            id=self.id,
            defaults={"seen_at": timezone.now()},
            create_defaults={"kind": self._kind, "host": socket.gethostname(), "pid": os.getpid()},
        )

    def _beat(self) -> None:
        while not self._leave.wait(INTERVAL):
            try:
                self._write()
            except Error as error:
                logger.warning("The heartbeat was not written: %s", error)
                connection.close()
        try:
            Process.objects.filter(id=self.id).delete()
        except Error as error:
            logger.warning("The heartbeat's row was not removed: %s", error)
        finally:
            connection.close()
