"""What a server can do, as far as it is known, and what is therefore sent to it.

A record holds only what was probed or set by an administrator; everything else is unknown. Unknown fields that
carry the meaning of a request (tools, an output schema) are sent, since leaving them out would change the answer
unseen; unknown fields that only help (cache keys, metadata, stored state) are left out, since small servers
answer them with 400.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from core import capabilities

CAPABILITIES = tuple(name for name in capabilities.CAPABILITIES if name != capabilities.RESUME)
"""The names of what a server can do. A record may hold others: a top-level parameter of that name is gated by it."""

SENT_WHEN_UNKNOWN = frozenset(
    {
        "store",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "json_schema",
        "verbosity",
        "reasoning",
        "truncation",
        "idempotency_key",
        "input_image",
        "input_file",
    }
)

_FULL_HOSTS = ("api.openai.com",)
_FULL_SUFFIXES = (".api.openai.com", ".openai.azure.com", ".services.ai.azure.com")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """A tri-state record: a name is known to work (True), known not to (False), or absent, which is unknown."""

    known: Mapping[str, bool] = field(default_factory=dict)

    def allows(self, name: str) -> bool:
        """Whether a field that needs the capability is sent."""
        return self.known.get(name, name in SENT_WHEN_UNKNOWN)

    def has(self, name: str) -> bool:
        """Whether the capability is known to work; unknown is no."""
        return self.known.get(name, False)

    @property
    def resumes(self) -> bool:
        """Whether answers are generated in the background of the server, so that a lost stream can be taken up again.

        The server then keeps every answer for a while, so somebody has to want it: `resume` stands in the record only
        where it was set in the admin, and is never assumed.
        """
        return all(self.has(name) for name in (capabilities.RESUME, "store", "background", "starting_after"))

    def learned(self, name: str, works: bool | None) -> Self:
        """The record with one more finding; None forgets what was known."""
        rest = {key: value for key, value in self.known.items() if key != name}
        return type(self)(rest if works is None else {**rest, name: works})

    def to_json(self) -> dict[str, bool]:
        return dict(self.known)

    @classmethod
    def from_json(cls, record: Mapping[str, object] | None) -> Self:
        """Reads a stored record; null and anything that is not a boolean mean unknown."""
        return cls({name: value for name, value in (record or {}).items() if isinstance(value, bool)})

    @classmethod
    def for_server(cls, base_url: str, record: Mapping[str, object] | None = None) -> Self:
        """A server's record: all of the protocol for OpenAI and Azure, nothing for others, then what was found out."""
        base = dict.fromkeys(CAPABILITIES, True) if is_full_server(base_url) else {}
        return cls({**base, **cls.from_json(record).known})


def is_full_server(base_url: str) -> bool:
    """Whether the address is one of the servers that define the protocol."""
    host = (urlsplit(base_url).hostname or "").lower()
    return host in _FULL_HOSTS or host.endswith(_FULL_SUFFIXES)
