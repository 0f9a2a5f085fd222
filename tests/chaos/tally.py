"""What the rounds of a point came to, and the table of all of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

# Seconds: the heartbeat's lease (`core.heartbeat`), and what a takeover may take after its end.
LEASE = 5.0
TAKEOVER = 5.0

Kind = Literal["lost", "doubled", "unfinished", "differing"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that must not be, and what was seen of it."""

    kind: Kind
    point: str
    seen: str


@dataclass(slots=True)
class Line:
    """One point: how often it was tried, how often the fault really landed there, and what came of it."""

    rounds: int = 0
    landed: int = 0
    lost: int = 0
    doubled: int = 0
    unfinished: int = 0
    differing: int = 0
    takeovers: list[float] = field(default_factory=list)

    def add(self, other: "Line") -> None:
        for name in ("rounds", "landed", "lost", "doubled", "unfinished", "differing"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.takeovers += other.takeovers

    def cells(self) -> list[str]:
        times = sorted(self.takeovers)
        takeover = f"{times[len(times) // 2]:.1f} / {times[-1]:.1f}" if times else "–"
        counts = (self.rounds, self.landed, self.lost, self.doubled, self.unfinished, self.differing)
        return [*map(str, counts), takeover]


class Tally:
    """Lines by point, for one kind of fault such as "web killed"."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.lines: dict[str, Line] = {}
        self.seen: list[str] = []
        # where faults landed that were meant for another point
        self.elsewhere: list[str] = []

    def line(self, point: str) -> Line:
        return self.lines.setdefault(point, Line())

    def landed(self, point: str, where: str) -> None:
        """Count a round of a point by where the turn was when the fault struck."""
        self.line(point).rounds += 1
        if where == point:
            self.line(point).landed += 1
        else:
            self.elsewhere.append(f"{point}: {where}")

    def blame(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            line = self.line(fault.point)
            setattr(line, fault.kind, getattr(line, fault.kind) + 1)
            self.seen.append(f"{fault.kind}, {fault.point}: {fault.seen}")

    def has_landed(self, points: Iterable[str], times: int) -> bool:
        return all(self.line(point).landed >= times for point in points)

    def assert_clean(self, points: Iterable[str], times: int) -> None:
        """Fail for every fault, for a point that was not hit often enough, and for a takeover that took too long."""
        assert not self.seen, "\n".join(self.seen)
        assert self.has_landed(points, times), f"{self.what}: {self.elsewhere}"
        slowest = max((max(line.takeovers, default=0.0) for line in self.lines.values()), default=0.0)
        assert slowest <= TAKEOVER, f"{self.what}: a turn was taken over {slowest:.1f} s after its lease's end"

    def to_json(self) -> dict[str, Any]:
        return {f"{self.what}: {point}": asdict(line) for point, line in self.lines.items()}


Tallied = Callable[[str], Tally]
"""Makes the tally of a fault, given its name; the end of the run shows it (the fixture `tallied`)."""

Report = Callable[[str], None]
"""Says a figure at the end of the run (the fixture `report`)."""

_HEADINGS = ["fault: point", "rounds", "landed", "lost", "doubled", "unfinished", "differing", "takeover p50 / max s"]


def table(parts: Sequence[dict[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table over what `Tally.to_json` gave, parts of the same point added up."""
    sums: dict[str, Line] = {}
    for part in parts:
        for name, values in part.items():
            sums.setdefault(name, Line()).add(Line(**values))
    rows = [[name, *line.cells()] for name, line in sums.items()]
    return [f"| {' | '.join(cells)} |" for cells in [_HEADINGS, ["---"] * len(_HEADINGS), *rows]]
