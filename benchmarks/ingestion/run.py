"""Runs the ingestion benchmark: `python -m benchmarks.ingestion.run`.

PostgreSQL, Redis, the web process and the workers are started with their real commands; files go through the upload
that the page uses, embeddings come over HTTP from a server that counts requests. Then the plain script reads the same
files into the same PostgreSQL. Prints a table; `--json` writes all figures.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from benchmarks.ingestion.corpus import write_corpus
from benchmarks.ingestion.report import table
from benchmarks.ingestion.uploading import Person, await_end, counts, upload
from benchmarks.streaming.machine import Machine, Usage, machine
from config.local.options import BASE_DIR

_SECONDS = 300.0


def main() -> None:
    given = _arguments()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="parley-corpus-") as folder, server(given.delay) as (upstream, port):
        write_corpus(Path(folder))
        with machine(processes=1) as servers:
            servers.start_web()
            servers.start_worker()
            person, (warm_up, *stores) = signed_in(servers, port, 1 + given.times)
            files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
            load = Load(servers, person, files, port, upstream)
            load.warm_up(warm_up)
            for store in stores:
                rows.append({"what": "Parley", **load.measure(store)})
                rows.append({"what": "plain script", **_plain(servers, port, Path(folder))})
                print(json.dumps(rows[-2:]), file=sys.stderr)
    print(table(rows))
    if given.json:
        given.json.write_text(json.dumps({"cores": os.cpu_count(), "rows": rows}, indent=2) + "\n", encoding="utf-8")
    if any(row.get("lost") for row in rows):
        raise SystemExit("Some files are not searchable.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how fast files become searchable.")
    parser.add_argument("--times", type=int, default=1, help="how often everything is measured")
    parser.add_argument("--delay", type=float, default=0.05, help="seconds that the embeddings server takes")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


@contextmanager
def server(delay: float) -> Iterator[tuple[int, int]]:
    """The embeddings server's process id and port."""
    command = [sys.executable, "-m", "benchmarks.ingestion.upstream", "--delay", str(delay)]
    with subprocess.Popen(command, cwd=BASE_DIR, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.terminate()


def signed_in(servers: Machine, port: int, count: int) -> tuple[Person, list[str]]:
    seeded = orjson.loads(servers.run("benchmarks.ingestion.seed", str(port), str(count)))
    session = (seeded["cookie"], seeded["session"])
    url = servers.stack.options.public_url
    return Person.signed_in(url, session=session, csrf_cookie=seeded["csrf_cookie"]), seeded["stores"]


@dataclass(frozen=True, slots=True)
class Load:
    """One person's files; `port` and `upstream` are the embeddings server's port and process."""

    servers: Machine
    person: Person
    files: Mapping[str, bytes]
    port: int
    upstream: int

    def warm_up(self, store: str) -> None:
        """Let every process have loaded what it needs."""
        asyncio.run(upload(self.person, store, dict(list(self.files.items())[:8])))
        await_end(self.servers.database_url, store, 8, seconds=_SECONDS)

    def measure(self, store: str) -> dict[str, Any]:
        """Upload all files into an empty store and wait until each is ready."""
        database = self.servers.database_url
        _ask(self.port, "reset")
        children = {name: child.pid for name, child in self.servers.children.items()}
        usage = Usage({**children, "upstream": self.upstream})
        usage.begin()
        begun = time.monotonic()
        uploaded = asyncio.run(upload(self.person, store, self.files))
        states = await_end(database, store, len(self.files), seconds=_SECONDS)
        seconds = time.monotonic() - begun
        usage.end()
        requests = _ask(self.port, "log")
        found = orjson.loads(self.servers.run("benchmarks.ingestion.check", store))
        counted = counts(database, store)
        is_whole = found["found"] == found["asked"] and found["vectors"] == found["chunks"] == counted["chunks"]
        return {
            **counted,
            "seconds": round(seconds, 2),
            "upload_seconds": round(uploaded, 2),
            "requests": len(requests),
            "texts": sum(request["texts"] for request in requests),
            "cpu_s": round(sum(used for name, used in usage.cpu.items() if name != "upstream"), 2),
            "cpu_s_by_process": {name: round(used, 2) for name, used in usage.cpu.items()},
            "peak_rss_mb": {name: round(size / 2**20) for name, size in usage.peak.items()},
            "states": states,
            "found": found,
            "lost": states != {"ready": len(self.files)} or not is_whole,
        }


def _plain(servers: Machine, port: int, folder: Path) -> dict[str, Any]:
    _ask(port, "reset")
    usage = Usage({"postgres": servers.children["postgres"].pid})
    usage.begin()
    found = orjson.loads(servers.run("benchmarks.ingestion.plain", str(folder), str(port), as_owner=True))
    usage.end()
    found["cpu_s_by_process"] = {"script": found["cpu_s"], "postgres": round(usage.cpu["postgres"], 2)}
    found["cpu_s"] = round(sum(found["cpu_s_by_process"].values()), 2)
    return {**found, "requests": len(_ask(port, "log"))}


def _ask(port: int, what: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{what}", timeout=10) as answer:
        return orjson.loads(answer.read())


if __name__ == "__main__":
    main()
