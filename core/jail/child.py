"""The inside of the jail: what a child does from the moment the nursery has borne it.

Reads the order, confines itself, imports the function (so that even its imports run confined), reads the data
from standard input, calls it, and writes one answer: a line of JSON that says what follows, then the body.
"""

import importlib
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

import orjson

from core.jail import progress
from core.jail.confine import confine
from core.jail.outcome import FailureCode, Limits

MESSAGE_LENGTH = 2000


class Answer:
    """The one answer of this process, on a descriptor that printing does not reach."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._descriptor = os.dup(1)
        os.dup2(2, 1)

    def value(self, result: object, protections: frozenset[str]) -> None:
        raw = isinstance(result, bytes)
        body = result if isinstance(result, bytes) else orjson.dumps(result)
        if len(body) > self._limit:
            self.failure(FailureCode.OUTPUT_LIMIT, f"the result has {len(body)} bytes, allowed are {self._limit}")
        else:
            self._write({"kind": "bytes" if raw else "json", "protections": sorted(protections)}, body)

    def failure(self, code: FailureCode, message: str, error: str = "") -> None:
        cleaned = message.encode(errors="replace").decode()[:MESSAGE_LENGTH]
        self._write({"kind": "failure", "code": code, "message": cleaned, "error": error})

    def uncaught(self, kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        """A `sys.excepthook`: whatever the function raises is its outcome."""
        code = FailureCode.MEMORY if issubclass(kind, MemoryError) else FailureCode.ERROR
        self.failure(code, str(value), kind.__name__)

    def _write(self, header: dict[str, object], body: bytes = b"") -> None:
        with os.fdopen(self._descriptor, "wb") as stream:
            stream.write(orjson.dumps(header) + b"\n")
            stream.write(body)


def main(paper: int, reports: int | None, *, parent: int) -> None:
    """Do what is written on `paper`, with the data on standard input, and answer on standard output."""
    with os.fdopen(paper, "rb") as stream:
        order = orjson.loads(stream.read())
    limits = Limits(**order["limits"])
    if reports is not None:
        progress.open_pipe(reports)
    answer = Answer(limits.output_bytes)
    try:
        protections = confine(limits, parent=parent)
    except OSError as error:
        answer.failure(FailureCode.UNPROTECTED, str(error), type(error).__name__)
        return
    sys.excepthook = answer.uncaught
    result = _load(order["function"])(sys.stdin.buffer.read(), **order["arguments"])
    answer.value(result, protections)


def _load(dotted: str) -> Callable[..., Any]:
    module, _, name = dotted.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function
