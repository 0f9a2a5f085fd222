"""How many frames one socket may send: more are refused with a wait, and who goes on all the same is cut off."""

from collections import deque

# Frames that are handled within one period.
MAX_FRAMES = 60
# Frames that may be refused within `PATIENCE` periods before the socket is closed.
MAX_REFUSED = 300
PATIENCE = 6


class Allowance:
    """Counts the frames of one socket. Times and the period are seconds, on a monotonic clock."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._taken: deque[float] = deque(maxlen=MAX_FRAMES)
        self._refused: deque[float] = deque(maxlen=MAX_REFUSED)

    def wait(self, now: float) -> float:
        """Count a frame; return 0 where it is to be handled, else the seconds after which it may be sent again."""
        wait = self._taken[0] + self._period - now if len(self._taken) == MAX_FRAMES else 0.0
        if wait > 0:
            self._refused.append(now)
            return wait
        self._taken.append(now)
        return 0.0

    def is_abused(self, now: float) -> bool:
        """Whether so many frames were refused that no honest client sent them."""
        return len(self._refused) == MAX_REFUSED and now - self._refused[0] < PATIENCE * self._period
