"""Waiting for what nobody tells of."""

import time
from collections.abc import Callable

# Seconds between two looks.
_PAUSE = 0.02


def soon(holds: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Look again and again; return True as soon as it holds, False where it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True
