"""Runs the context benchmark: `python -m benchmarks.context.run --turns 40`.

Prints tables, as Markdown; `--json` writes all figures.
Each strategy has a model server of its own, so that none finds cached what another one sent.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from benchmarks.context.report import tables
from benchmarks.streaming.machine import machine
from config.local.options import BASE_DIR

STRATEGIES = ("full", "window", "summary", "hybrid")


def main() -> None:
    given = _arguments()
    talks: list[dict[str, Any]] = []
    with machine(processes=1) as servers:
        for strategy in given.strategies:
            with upstream() as port:
                printed = servers.run("benchmarks.context.talk", strategy, str(given.turns), str(port))
            talks.append(orjson.loads(printed))
            print(f"{strategy}: {given.turns} turns in {talks[-1]['seconds']} s", file=sys.stderr)
    print(tables(talks))
    if given.json:
        given.json.write_text(json.dumps({"turns": given.turns, "talks": talks}, indent=2) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what each context strategy sends.")
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--strategies", type=lambda text: text.split(","), default=list(STRATEGIES))
    parser.add_argument("--json", type=Path, help="write all figures there")
    return parser.parse_args()


@contextmanager
def upstream() -> Iterator[int]:
    """The port of a model server that answers from the request alone and caches beginnings of requests."""
    command = [sys.executable, "-m", "tests.responses_server", "--print-port", "--converse"]
    with subprocess.Popen(command, cwd=BASE_DIR, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
