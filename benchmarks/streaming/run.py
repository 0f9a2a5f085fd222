"""Runs the streaming benchmark: `python -m benchmarks.streaming.run --users 1,50,200`.

Each row is a new web process, started with its real command, on PostgreSQL and Redis of the benchmark's own. Model
server and people are processes too. Prints a table; `--json` writes all figures.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from benchmarks.streaming.machine import Machine, Usage, machine
from benchmarks.streaming.person import Plan
from benchmarks.streaming.report import figures, table
from config.local.options import BASE_DIR


def main() -> None:
    given = _arguments()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    rows = []
    with _upstream(given) as (upstream, port), machine(given.processes) as servers:
        seeded = orjson.loads(servers.run("benchmarks.streaming.seed", str(max(given.users)), str(port)))
        for variant, users in _rows(given):
            plan = Plan(
                port=servers.port,
                upstream=port,
                cookie=seeded["cookie"],
                sessions=seeded["sessions"][:users],
                assistant=seeded[variant],
                turns=given.turns,
                tabs=given.tabs,
                deflate=given.deflate,
                spread=given.spread,
                timeout=given.timeout,
            )
            rows.append({"variant": variant, "users": users, **measure(servers, upstream, plan)})
            print(json.dumps(rows[-1]), file=sys.stderr)
    print(table(rows))
    if given.json:
        given.json.write_text(json.dumps({"cores": os.cpu_count(), "rows": rows}, indent=2) + "\n", encoding="utf-8")
    if any(row["failed"] or row["differing"] for row in rows):
        raise SystemExit("Some turns failed or differed.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how answers stream.")
    parser.add_argument("--users", type=_counts, default=[1, 10, 50, 200], help="comma-separated")
    parser.add_argument("--searching", type=_counts, default=[10], help="the same with retrieval; empty for none")
    parser.add_argument("--turns", type=int, default=2, help="per person, one after another")
    parser.add_argument("--tabs", type=int, default=1, help="sockets per person that watch the conversation")
    parser.add_argument("--processes", type=int, default=1, help="web processes")
    parser.add_argument("--deflate", action="store_true", help="offer compression, as browsers do")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rate", type=float, default=50, help="tokens per second")
    parser.add_argument("--delay", type=float, default=0.3, help="seconds to the first token")
    parser.add_argument("--spread", type=float, default=2.0, help="seconds within which people begin")
    parser.add_argument("--timeout", type=float, default=90.0, help="seconds after which a turn counts as lost")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def _rows(given: argparse.Namespace) -> Iterator[tuple[str, int]]:
    yield from (("plain", users) for users in given.users)
    yield from (("searching", users) for users in given.searching)


@contextmanager
def _upstream(given: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """The model server's process id and port."""
    command = [sys.executable, "-m", "benchmarks.streaming.upstream"]
    command += ["--tokens", str(given.tokens), "--rate", str(given.rate), "--delay", str(given.delay)]
    with subprocess.Popen(command, cwd=BASE_DIR, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.terminate()


def measure(servers: Machine, upstream: int, plan: Plan) -> dict[str, Any]:
    """Run one row on a new web process."""
    servers.start_web()
    try:
        return _drive(servers, upstream, plan)
    finally:
        servers.stop("web")


def _drive(servers: Machine, upstream: int, plan: Plan) -> dict[str, Any]:
    usage = Usage({**{name: child.pid for name, child in servers.children.items()}, "upstream": upstream})
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.streaming.driver"],
        cwd=BASE_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        driver.stdin.write(orjson.dumps(asdict(plan)))
        driver.stdin.close()
        _expect(driver.stdout.readline(), b"begin\n")
        usage.begin()
        _expect(driver.stdout.readline(), b"end\n")
        usage.end()
        findings = orjson.loads(driver.stdout.read())
    found = figures(findings, usage.cpu, usage.peak, usage.everything)
    # before anybody asked, but for the warming, and after the last turn: what turns leave behind
    found["web_rss_mb"] = [round(size["web"] / 2**20) for size in (usage.at_begin, usage.at_end)]
    return found


def _expect(line: bytes, wanted: bytes) -> None:
    if line != wanted:
        raise SystemExit("The driver failed; see above.")


if __name__ == "__main__":
    main()
