"""The database from threads: within an event loop that is not the test's (such as the upstream's), or side by side."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection


def in_thread(function: Callable[[], object]) -> None:
    """Run `function` in a thread of its own, and wait for its end."""
    with alongside(function):
        pass


@contextmanager
def alongside(function: Callable[[], object]) -> Iterator[None]:
    """Run `function` in a thread of its own, and wait for its end behind the block."""

    def run() -> None:
        try:
            function()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
