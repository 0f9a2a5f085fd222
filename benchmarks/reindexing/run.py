"""Runs the benchmark of moving a store to another embedding model: `python -m benchmarks.reindexing.run`.

PostgreSQL, Redis and the workers are started with their real commands, embeddings come over HTTP from a server that
answers after a fixed time and counts requests. Prints the figures as JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import urllib.request

import orjson

from benchmarks.streaming.machine import machine
from config.local.options import BASE_DIR


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how a store moves to another embedding model.")
    parser.add_argument("--chunks", type=int, default=40_000)
    parser.add_argument("--delay", type=float, default=0.05, help="seconds that the embeddings server takes")
    parser.add_argument("--seconds", type=float, default=20.0, help="of searching before and after")
    given = parser.parse_args()
    command = [sys.executable, "-m", "benchmarks.ingestion.upstream", "--delay", str(given.delay)]
    with subprocess.Popen(command, cwd=BASE_DIR, stdout=subprocess.PIPE, text=True) as upstream:
        assert upstream.stdout is not None
        port = int(upstream.stdout.readline())
        try:
            with machine(processes=1) as servers:
                servers.start_worker()
                figures = orjson.loads(
                    servers.run("benchmarks.reindexing.load", str(port), str(given.chunks), str(given.seconds))
                )
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/log", timeout=10) as answer:
                asked = orjson.loads(answer.read())
        finally:
            upstream.terminate()
    # the searches embed one question each
    figures["requests"] = sum(1 for request in asked if request["texts"] > 1)
    figures["texts"] = sum(request["texts"] for request in asked if request["texts"] > 1)
    print(json.dumps({"cores": os.cpu_count(), "load": os.getloadavg()[0], **figures}, indent=2))


if __name__ == "__main__":
    main()
