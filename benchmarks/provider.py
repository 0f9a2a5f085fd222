"""What the adapter costs per delta: `python -m benchmarks.provider`.

A model server in a process of its own writes every delta by itself, so that each is read from the socket alone: the
dearest case. The figures are CPU of this process per delta. Beside the whole adapter stand the floors beneath it:
aiohttp alone, and aiohttp with our split and orjson, which is the least that any reader of such a stream has to do.
"""

import argparse
import asyncio
import cProfile
import json
import pstats
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import orjson
import uvloop

from chat.providers.base import Finished, Request, Target, TextDelta
from chat.providers.openai import OpenAIProvider
from chat.providers.openai.assembler import Assembler
from chat.providers.openai.sse import Splitter, decode

REQUEST = Request(input=({"type": "message", "role": "user", "content": "turn:benchmark"},))
BODY = {"model": "m", "input": [{"type": "message", "role": "user", "content": "turn:benchmark"}], "stream": True}

Reader = Callable[[str], Awaitable[int]]
"""Reads one stream from a base address and returns how many deltas it saw."""


class Readers:
    """Ways to read a stream, the least work first."""

    def __init__(self, session: aiohttp.ClientSession, provider: OpenAIProvider) -> None:
        self._session = session
        self._provider = provider

    async def aiohttp_alone(self, base_url: str) -> int:
        deltas = 0
        async with self._session.post(f"{base_url}/responses", json=BODY) as response:
            async for chunk in response.content.iter_any():
                deltas += chunk.count(b"\ndata: ")
        return deltas

    async def aiohttp_and_split(self, base_url: str) -> int:
        deltas = 0
        splitter = Splitter()
        async with self._session.post(f"{base_url}/responses", json=BODY) as response:
            async for chunk in response.content.iter_any():
                for frame in splitter.feed(chunk):
                    deltas += "delta" in orjson.loads(frame.data)
        return deltas

    async def adapter(self, base_url: str) -> int:
        """All of it: connection, split, JSON, items, events. It joins deltas that come together."""
        deltas = 0
        async for event in self._provider.stream(REQUEST, Target(base_url=base_url, api_key="", model="m")):
            if isinstance(event, TextDelta):
                deltas += len(event.text.split())
            elif isinstance(event, Finished) and event.status != "completed":
                raise SystemExit(f"The stream failed: {event.error}")
        return deltas


def without_http(tokens: int) -> float:
    """Seconds of CPU per delta of our own code alone: frames, JSON, items, events, each delta in a chunk of its own."""
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    chunks = [_frame("response.created", 0, response={"id": "resp_1", "model": "m"})]
    for number in range(1, tokens + 1):
        chunks.append(_frame("response.output_text.delta", number, delta="word ", logprobs=[], **place))
    assembler, splitter = Assembler(), Splitter()
    began = time.process_time()
    for chunk in chunks:
        for frame in splitter.feed(chunk):
            for raw in decode(frame):
                assembler.feed(raw)
    return (time.process_time() - began) / tokens


def _frame(kind: str, number: int, **values: object) -> bytes:
    data = orjson.dumps({"type": kind, "sequence_number": number, **values})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


async def measure(read: Reader, base_url: str, streams: int) -> float:
    """CPU seconds per delta while `streams` answers are read at once. The first one, which connects, does not count."""
    await read(base_url)
    began = time.process_time()
    deltas = sum(await asyncio.gather(*(read(base_url) for _ in range(streams))))
    return (time.process_time() - began) / deltas


@contextmanager
def upstream(tokens: int, rate: float) -> Iterator[str]:
    """A paced model server on a free port; its base address."""
    command = [sys.executable, "-m", "benchmarks.streaming.upstream"]
    command += ["--tokens", str(tokens), "--rate", str(rate), "--delay", "0.01"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.terminate()
        process.wait()


async def run(given: argparse.Namespace) -> dict[str, float]:
    """Microseconds per delta of each variant."""
    figures = {"our own code, without HTTP": min(without_http(20_000) for _ in range(given.rounds))}
    provider = OpenAIProvider()
    async with aiohttp.ClientSession() as session:
        readers = Readers(session, provider)
        with upstream(given.tokens, given.rate) as base_url:
            for _ in range(given.rounds):
                for read in (readers.aiohttp_alone, readers.aiohttp_and_split, readers.adapter):
                    name, cost = read.__name__.replace("_", " "), await measure(read, base_url, given.streams)
                    figures[name] = min(cost, figures.get(name, cost))
            if given.profile:
                with cProfile.Profile() as profile:
                    await measure(readers.adapter, base_url, given.streams)
                pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(25)
    await provider.aclose()
    return {name: round(seconds * 1e6, 1) for name, seconds in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the adapter costs per delta.")
    parser.add_argument("--tokens", type=int, default=2000, help="deltas in an answer")
    parser.add_argument("--rate", type=float, default=1000, help="deltas per second and stream")
    parser.add_argument("--streams", type=int, default=8, help="answers at once")
    parser.add_argument("--rounds", type=int, default=3, help="the best counts: others use the machine too")
    parser.add_argument("--profile", action="store_true", help="print where the adapter's time goes")
    parser.add_argument("--json", type=Path, help="write the figures there")
    given = parser.parse_args()
    figures = uvloop.run(run(given))
    for name, microseconds in figures.items():
        print(f"{name:30} {microseconds:6.1f} µs per delta")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
