"""What the person at the terminal sees: few lines, each one whole."""

import sys
from contextlib import suppress
from typing import TextIO


class Terminal:
    """Writes lines to a stream; a terminal that went away is no reason to stop serving."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def say(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text + "\n")
            self._stream.flush()
