"""What probing finds, and what is sent to the server because of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from chat.providers.capabilities import Capabilities


class Outcome(StrEnum):
    SUPPORTED = "supported"
    REFUSED = "refused"
    IGNORED = "ignored"
    UNKNOWN = "unknown"


STREAMING = "streaming"
"""The least that a server must do: text in a stream that ends with a final event."""

_IN_VAIN = frozenset(
    {
        "store",
        "previous_response_id",
        "background",
        "starting_after",
        "tool_choice",
        "json_schema",
        "metadata",
        "prompt_cache_key",
        "safety_identifier",
    }
)
"""What is better not sent to a server that ignores it: it does nothing, or the adapter has another way to its end."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome for one capability. `said` holds the server's words, or what was seen instead of the wanted.

    `answer` tells in a few words what the adapter read; `seconds` is how long that took.
    """

    name: str
    outcome: Outcome
    said: str = ""
    answer: str = ""
    seconds: float = 0.0

    @property
    def works(self) -> bool | None:
        """What the record says: None where nothing was learnt."""
        if self.outcome is Outcome.SUPPORTED:
            return True
        if self.outcome is Outcome.REFUSED or (self.outcome is Outcome.IGNORED and self.name in _IN_VAIN):
            return False
        return None


@dataclass(frozen=True, slots=True)
class Report:
    """All findings about one model of one server. `flaws` are answers that broke the adapter's contract."""

    base_url: str
    model: str
    at: datetime
    findings: tuple[Finding, ...]
    flaws: tuple[str, ...] = ()

    @property
    def is_usable(self) -> bool:
        """Whether the least holds: streamed text with a final event."""
        return any(one.name == STREAMING and one.outcome is Outcome.SUPPORTED for one in self.findings)

    @property
    def capabilities(self) -> Capabilities:
        known = Capabilities()
        for finding in self.findings:
            known = known.learned(finding.name, finding.works)
        return known

    def to_record(self) -> dict[str, dict[str, Any]]:
        """The findings by name, as an endpoint stores them. Times are ISO 8601 in UTC."""
        return {
            one.name: {
                "outcome": str(one.outcome),
                "works": one.works,
                "said": one.said,
                "model": self.model,
                "at": self.at.isoformat(timespec="seconds"),
            }
            for one in self.findings
        }

    def to_json(self) -> Mapping[str, Any]:
        return {
            "base_url": self.base_url,
            "model": self.model,
            "at": self.at.isoformat(timespec="seconds"),
            "usable": self.is_usable,
            "capabilities": self.capabilities.to_json(),
            "findings": self.to_record(),
            "flaws": list(self.flaws),
        }

    def table(self) -> str:
        """The findings for a terminal, one to a line."""
        head = ("capability", "outcome", "seconds", "answer", "what was said")
        rows = [
            (one.name, str(one.outcome), f"{one.seconds:.1f}" if one.seconds else "", one.answer, one.said)
            for one in self.findings
        ]
        widths = [max(len(row[at]) for row in (head, *rows)) for at in range(4)]
        lines = ["  ".join((*(row[at].ljust(widths[at]) for at in range(4)), row[4])).rstrip() for row in (head, *rows)]
        lines.insert(1, "-" * max(len(line) for line in lines))
        lines += [f"Not as the contract demands: {flaw}" for flaw in self.flaws]
        verdict = "can be used" if self.is_usable else "cannot be used: it gives no streamed text that ends"
        return "\n".join([*lines, "", f"{self.model} at {self.base_url} {verdict}."])
