"""Uploads many files, some of them broken: `make load`.

Shows that every file comes to an end with a reason, that nothing is taken twice, and that workers do not grow. Uploads
500 files, every tenth a broken PDF; uploads the same again; goes on to 2,000. Prints a table of the workers' memory.
"""

import argparse
import asyncio
import json
import sys
import time
from typing import Any

import psutil
import psycopg

from benchmarks.ingestion.run import server, signed_in
from benchmarks.ingestion.uploading import Person, await_end, upload
from benchmarks.streaming.machine import Machine, machine

STEPS = (200, 500, 1000, 2000)
_AGAIN = 500
_BROKEN_EVERY = 10
_SECONDS = 3600.0
_GROWTH = 0.10


def main() -> None:
    parser = argparse.ArgumentParser(description="Upload many files, some of them broken.")
    parser.add_argument("--files", type=int, choices=STEPS, default=STEPS[-1], help="how many")
    most: int = parser.parse_args().files
    with server(0.05) as (_, port), machine(processes=1) as servers:
        servers.start_web()
        servers.start_worker()
        person, (store,) = signed_in(servers, port, 1)
        found = _upload_all(servers, person, store, [step for step in STEPS if step <= most])
    print(_table(found["memory"]))
    print(json.dumps({name: value for name, value in found.items() if name != "memory"}))
    if found["wrong"]:
        raise SystemExit("Not as it should be: " + "; ".join(found["wrong"]))


def _upload_all(servers: Machine, person: Person, store: str, steps: list[int]) -> dict[str, Any]:
    memory: dict[int, list[int]] = {}
    found: dict[str, Any] = {"memory": memory}
    wrong: list[str] = []
    done = 0
    for step in steps:
        asyncio.run(upload(person, store, dict(_file(number) for number in range(done, step))))
        states = await_end(servers.database_url, store, step, seconds=_SECONDS)
        broken = step // _BROKEN_EVERY
        if states != {"ready": step - broken, "failed": broken}:
            wrong.append(f"of {step} files {states}")
        memory[step] = _workers(servers)
        print(step, states, memory[step], file=sys.stderr)
        done = step
        if step == _AGAIN:
            before = _rows(servers.database_url, store)
            asyncio.run(upload(person, store, dict(_file(number) for number in range(step))))
            await_end(servers.database_url, store, step, seconds=_SECONDS)
            found["after 500"], found["after 500 again"] = before, _rows(servers.database_url, store)
            if before != found["after 500 again"]:
                wrong.append("the second upload changed something")
    sizes = [sum(size) for size in memory.values()]
    if max(sizes) > (1 + _GROWTH) * sizes[0]:
        wrong.append("the workers grew")
    return {**found, "wrong": wrong}


def _file(number: int) -> tuple[str, bytes]:
    if number % _BROKEN_EVERY == 0:
        return f"broken-{number}.pdf", f"%PDF-1.7\nthis is no PDF at all: {number}".encode()
    lines = [f"Of buoy {number}-{line} in the bay of Korsund nothing more is known to anybody." for line in range(40)]
    return f"buoys-{number}.txt", "\n\n".join(lines).encode()


def _workers(servers: Machine) -> list[int]:
    """MiB of each worker process; the files' own readers are gone by now."""
    worker = psutil.Process(servers.children["worker"].pid)
    return sorted(process.memory_info().rss // 2**20 for process in worker.children())


def _rows(database: str, store: str) -> dict[str, Any]:
    """How much there is once the workers have put their work away."""
    with psycopg.connect(database, autocommit=True) as looking:
        while looking.execute("SELECT 1 FROM core_work WHERE run_after <= now() LIMIT 1").fetchone():
            time.sleep(0.1)
        counts = looking.execute(
            "SELECT (SELECT count(*) FROM retrieval_document), (SELECT count(*) FROM retrieval_file),"
            " (SELECT count(*) FROM retrieval_chunk)"
        ).fetchone()
        errors = looking.execute(
            "SELECT error_code, error_message, count(*) FROM retrieval_document"
            " WHERE store_id = %s AND state = 'failed' GROUP BY 1, 2",
            [store],
        ).fetchall()
    assert counts is not None
    return {**dict(zip(("documents", "files", "chunks"), counts, strict=True)), "errors": errors}


def _table(memory: dict[int, list[int]]) -> str:
    lines = ["| uploads | worker processes MiB | together |", "| --- | --- | --- |"]
    lines += [f"| {step} | {' + '.join(map(str, sizes))} | {sum(sizes)} |" for step, sizes in memory.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
