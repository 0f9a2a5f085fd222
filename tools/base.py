"""What a tool is: plain values, a function, and what the function is told about the call.

A module that offers tools makes `Tool` values and names them in `settings.TOOLS` (see `tools.registry`).
"""

import re
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Generic, TypeVar

from django.db.models import QuerySet
from pydantic import BaseModel, ConfigDict

from retrieval.models import VectorStore
from retrieval.search import Filter, Passage
from tools.schema import strict_schema

_NAME = re.compile(r"^[A-Za-z0-9_-]{1,64}$")


class Policy(StrEnum):
    """Whether a call runs: at once, after a person agreed, or not at all."""

    AUTO = "auto"
    ASK = "ask"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a call may take, and characters that its output may have; a longer one is cut, visibly."""

    seconds: float = 30.0
    output_chars: int = 20_000


class Shape(BaseModel):
    """The base of arguments, results and configurations: names that are not known are refused."""

    model_config = ConfigDict(extra="forbid")


class NoConfig(Shape):
    """The configuration of a tool that has none."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a tool knows about its call. `deadline` is when it is cancelled at the latest (aware, UTC).

    `idempotency_key` is the same whenever this call is run again; a tool hands it on to a server that keeps such keys.
    `config` is an instance of the tool's `config`. `scope` asks the database which vector stores the call may search,
    and returns them; of their documents it may find those that are `wanted` (None is all). `cite` numbers passages, so
    that the answer can cite them, and returns their numbers in the same order.
    """

    user: uuid.UUID
    conversation: uuid.UUID
    turn: uuid.UUID
    call_id: str
    idempotency_key: str
    deadline: datetime
    config: BaseModel
    scope: "Callable[[], Awaitable[QuerySet[VectorStore]]]"
    cite: Callable[[Sequence[Passage]], list[int]]
    wanted: Filter | None = None


A = TypeVar("A", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Tool(Generic[A, R]):
    """Something that a model can ask for. `run` raises `ToolFailedError` with a sentence that the model can act on.

    `description` is written for the model. `arguments` and `result` are validated; a field that may be left out is
    declared as `X | None`. `repeatable` says that running a call twice does no more than running it once: such a call
    is run again where its process died, any other is reported as of unknown effect. `version` is written into the
    audit.

    Raises ValueError for a tool that no model could be offered.
    """

    name: str
    description: str
    arguments: type[A]
    result: type[R]
    run: Callable[[A, Context], Awaitable[R]]
    config: type[BaseModel] = NoConfig
    limits: Limits = field(default_factory=Limits)
    policy: Policy = Policy.AUTO
    repeatable: bool = False
    version: str = "1"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a tool: 1 to 64 letters, digits, _ and -.")
        if not self.description.strip():
            raise ValueError(f"The tool {self.name} needs a description for the model.")
        if self.policy is Policy.ASK:
            raise ValueError(f"The tool {self.name} asks a person first, and approvals are not there yet.")
        if self.limits.seconds <= 0 or self.limits.output_chars < 100:
            raise ValueError(f"The limits of the tool {self.name} leave no room for a result.")
        strict_schema(self.arguments)

    @cached_property
    def definition(self) -> dict[str, Any]:
        """The tool as a request to a model offers it: the flat form of the Responses API."""
        return {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": strict_schema(self.arguments),
            "strict": True,
        }


AnyTool = Tool[Any, Any]
