"""When a process that died is started again, and when to give up."""

from dataclasses import dataclass


@dataclass
class Backoff:
    """Waits `first` seconds, then twice as long each time, up to `longest`, while lives are shorter than `quick`.

    A life of at least `quick` seconds clears the count. The `limit`-th short life in a row gives up.
    """

    first: float = 0.5
    longest: float = 10.0
    quick: float = 5.0
    limit: int = 5
    short_lives: int = 0

    def after(self, lifetime: float) -> float | None:
        """Seconds to wait before the next start, or None to give up. `lifetime` is in seconds."""
        if lifetime >= self.quick:
            self.short_lives = 0
            return self.first
        self.short_lives += 1
        if self.short_lives >= self.limit:
            return None
        return min(self.first * 2.0 ** (self.short_lives - 1), self.longest)
