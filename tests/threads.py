"""The database from where it may not be asked: within an event loop that is not the test's, such as the upstream's."""

import threading
from collections.abc import Callable

from django.db import connection


def in_thread(function: Callable[[], object]) -> None:
    """Run `function` in a thread of its own, and wait for its end."""

    def run() -> None:
        try:
            function()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
