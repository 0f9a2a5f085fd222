"""The people of the load, as a process of its own: takes a plan as JSON, prints what was measured as JSON.

Says "begin" when everybody is there and "end" when the last turn is over, so that whoever started it can take the
processes' CPU times in between.
"""

import asyncio
import gc
import random
import sys
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace

import orjson
import psutil
import uvloop

from benchmarks.streaming.person import Person, Plan, Seen, TurnRecord
from benchmarks.streaming.upstream import TOKEN_CHARACTERS


@dataclass(slots=True)
class Findings:
    """Lists of seconds, one entry per turn (`deltas`, `watched`: per token), and counts over all turns.

    `differing` turns showed another text than the model server sent (`differences`: status, ends of what grew, of what
    was final, of what was sent), `cut_short` ones showed their last words only with
    the final state.
    """

    turns: int = 0
    tokens: int = 0
    text_bytes: int = 0
    wire_bytes: int = 0
    overheads: list[float] = field(default_factory=list)
    first_texts: list[float] = field(default_factory=list)
    deltas: list[float] = field(default_factory=list)
    watched: list[float] = field(default_factory=list)
    differing: int = 0
    cut_short: int = 0
    differences: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    cpu: float = 0.0


@dataclass(frozen=True, slots=True)
class Answered:
    """What the model server knows of a turn."""

    name: str
    arrived: float
    text: str
    written: list[float]


# People who ask one turn each before the measurement: a process that never answered has to load and connect first.
WARMING = 4


async def warm_up(plan: Plan) -> None:
    people = [Person(replace(plan, turns=1), 0, name=f"warm{number}") for number in range(WARMING)]
    await asyncio.gather(*(person.arrive() for person in people))
    await asyncio.gather(*(person.ask() for person in people))
    for person in people:
        person.leave()


async def measure(plan: Plan) -> Findings:
    await asyncio.to_thread(ask_upstream, plan.upstream, "/reset")
    await warm_up(plan)
    people = [Person(plan, number) for number in range(len(plan.sessions))]
    for some in range(0, len(people), 20):
        await asyncio.gather(*(person.arrive() for person in people[some : some + 20]))
    await asyncio.sleep(1)
    before = sum(person.bytes_received for person in people)
    gc.collect()
    gc.disable()
    say("begin")
    began, cpu = time.monotonic(), own_cpu()
    await asyncio.gather(*(later(person, random.random() * plan.spread) for person in people))  # noqa: S311
    seconds, cpu = time.monotonic() - began, own_cpu() - cpu
    say("end")
    received = sum(person.bytes_received for person in people) - before
    answers = await asyncio.to_thread(answered, plan.upstream)
    findings = find((record for person in people for record in person.records), answers)
    findings.wire_bytes, findings.seconds, findings.cpu = received, seconds, cpu
    for person in people:
        person.leave()
    return findings


async def later(person: Person, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await person.ask()


def answered(port: int) -> dict[str, list[Answered]]:
    """What the model server was asked, by the name of the turn."""
    found: dict[str, list[Answered]] = {}
    for entry in orjson.loads(ask_upstream(port, "/log")):
        found.setdefault(entry["name"], []).append(Answered(**entry))
    return found


def ask_upstream(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as reply:
        return bytes(reply.read())


def find(records: Iterable[TurnRecord], answers: dict[str, list[Answered]]) -> Findings:
    findings = Findings()
    for record in records:
        findings.turns += 1
        asked = answers.get(record.name, [])
        if record.error or len(asked) != 1:
            findings.failures.append(record.error or f"asked {len(asked)} times")
            continue
        compare(findings, record, asked[0])
    return findings


def compare(findings: Findings, record: TurnRecord, asked: Answered) -> None:
    expected = "".join(asked.text.split())
    findings.overheads.append(asked.arrived - record.sent)
    findings.text_bytes += len(asked.text.encode())
    findings.tokens += len(asked.written)
    different = [seen for seen in record.tabs if differs(seen, expected)]
    findings.differing += bool(different)
    findings.differences += [f"{it.status}: {it.live[-40:]} / {it.final[-40:]} / {expected[-40:]}" for it in different]
    findings.cut_short += any(seen.live != expected for seen in record.tabs)
    for position, seen in enumerate(record.tabs):
        if not seen.growth:
            continue
        (findings.watched if position else findings.deltas).extend(waits(seen, asked.written))
        if position == 0:
            findings.first_texts.append(seen.growth[0][0] - asked.written[0])


def differs(seen: Seen, expected: str) -> bool:
    """Whether the answer ended as another one, or was another one while it grew."""
    return (seen.final, seen.status) != (expected, "completed") or not expected.startswith(seen.live)


def waits(seen: Seen, written: list[float]) -> list[float]:
    """For each token, the seconds from its writing to its being visible."""
    found: list[float] = []
    for at, length in seen.growth:
        for token in range(len(found), min(length // TOKEN_CHARACTERS, len(written))):
            found.append(at - written[token])
    return found


def own_cpu() -> float:
    times = psutil.Process().cpu_times()
    return float(times.user + times.system)


def say(line: str) -> None:
    # unbuffered output (PYTHONUNBUFFERED) is written once only, and a pipe may take 64 KiB of it
    with open(sys.stdout.fileno(), "w", encoding="utf-8", closefd=False) as whole:
        whole.write(f"{line}\n")


def main() -> None:
    plan = Plan(**orjson.loads(sys.stdin.read()))
    say(orjson.dumps(asdict(uvloop.run(measure(plan)))).decode())


if __name__ == "__main__":
    main()
