"""Tables of the context benchmark, as Markdown."""

from collections.abc import Sequence
from typing import Any

from benchmarks.context.script import PROBE_TURN

Talk = dict[str, Any]


def tables(talks: Sequence[Talk]) -> str:
    """Tokens of chosen turns, then sums; and where the planted fact was asked for, whether a request carried it."""
    turns = len(talks[0]["turns"])
    shown = sorted({max(1, turns * part // 4) for part in (1, 2, 3, 4)})
    parts = [_tokens(talks, shown), _sums(talks)]
    if turns >= PROBE_TURN:
        parts.append(_planted(talks))
    return "\n\n".join(parts)


def _tokens(talks: Sequence[Talk], shown: Sequence[int]) -> str:
    head = ["tokens sent in", *(f"turn {number}" for number in shown), "most", "cached in the last"]
    rows = []
    for talk in talks:
        sent = [row["sent"] for row in talk["turns"]]
        last = talk["turns"][-1]
        cells = [*(sent[number - 1] for number in shown), max(sent)]
        rows.append([_name(talk), *map(_count, cells), _share(last["cached"], last["sent"])])
    return _table(head, rows)


def _sums(talks: Sequence[Talk]) -> str:
    head = ["all turns", "sent", "cached", "not cached", "said", "in the background: sent", "said", "calls"]
    rows = []
    for talk in talks:
        sent, cached, said = (sum(row[name] for row in talk["turns"]) for name in ("sent", "cached", "said"))
        asked = {name: sum(one[name] or 0 for one in talk["background"]) for name in ("input", "output", "calls")}
        cells = [_count(sent), _share(cached, sent), _count(sent - cached), _count(said)]
        rows.append([_name(talk), *cells, _count(asked["input"]), _count(asked["output"]), str(asked["calls"])])
    return _table(head, rows)


def _planted(talks: Sequence[Talk]) -> str:
    head = ["said in turn 3, asked for in turn 150", "in the request", "in the answer"]
    rows = []
    for talk in talks:
        probe = talk["turns"][PROBE_TURN - 1]
        rows.append([_name(talk), *("yes" if probe[name] else "no" for name in ("carries", "answered"))])
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _name(talk: Talk) -> str:
    return f"`{talk['strategy']}`"


def _count(number: int) -> str:
    return f"{number:,}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %"
