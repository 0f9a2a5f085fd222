"""The tools of one assistant version: those attached to it, with its configuration and its policy for each."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from tools.base import AnyTool, Policy
from tools.errors import ToolDeniedError, UnknownToolError
from tools.registry import installed

logger = logging.getLogger(__name__)

Entry = Mapping[str, Any]
"""How a version names a tool: {"name", "config", "policy"}, the last two optional."""

_SHOWN_NAME = 64


@dataclass(frozen=True, slots=True)
class Attached:
    """A tool as one version has it."""

    tool: AnyTool
    config: BaseModel
    policy: Policy


class Toolbox:
    """What the model is offered, and what a call by name leads to."""

    def __init__(self, attached: Iterable[Attached] = ()) -> None:
        self._attached = {one.tool.name: one for one in attached}

    @property
    def definitions(self) -> tuple[dict[str, Any], ...]:
        """The tools that the model may call, as a request offers them."""
        return tuple(one.tool.definition for one in self._attached.values() if one.policy is Policy.AUTO)

    def allowed(self, name: str) -> Attached:
        """Return the tool that a call may run. Raises UnknownToolError or ToolDeniedError, for the model."""
        found = self._attached.get(name)
        if found is None:
            names = ", ".join(one["name"] for one in self.definitions)
            there = f"There are: {names}." if names else "There are no tools."
            raise UnknownToolError(f"There is no tool named {name[:_SHOWN_NAME]!r}. {there}")
        if found.policy is not Policy.AUTO:
            raise ToolDeniedError(f"The tool {name} may not be used here. Answer without it.")
        return found

    def named(self, name: str) -> Attached | None:
        """The tool of that name, whether a call may run it or not."""
        return self._attached.get(name)


def open_toolbox(entries: Sequence[Entry]) -> Toolbox:
    """Return the tools that these entries attach.

    What was published and cannot be used any more (a tool that was taken away, a configuration of another release) is
    left out with a warning in the log: a call of it is answered like one of an unknown tool.
    """
    attached = []
    for one in _attach(entries):
        if isinstance(one, Attached):
            attached.append(one)
        else:
            logger.warning("A tool is left out: %s", one)
    return Toolbox(attached)


def problems(entries: Sequence[Entry]) -> list[str]:
    """Return sentences for the entries that cannot be attached; empty where all can."""
    return [one for one in _attach(entries) if not isinstance(one, Attached)]


def _attach(entries: Sequence[Entry]) -> Iterator[Attached | str]:
    """What each entry attaches, or the sentences that say why it attaches nothing."""
    registry = installed()
    for entry in entries:
        name, policy = entry["name"], entry.get("policy", Policy.AUTO)
        tool = registry.get(name)
        if tool is None:
            yield f"{name} is not installed. Installed are: {', '.join(registry) or 'none'}."
        elif policy not in {Policy.AUTO, Policy.DENY}:
            yield f"{name}: the policy has to be auto or deny. Approvals (ask) are not there yet."
        else:
            try:
                config = tool.config.model_validate(entry.get("config", {}))
            except ValidationError as error:
                yield from (f"{name}: {_sentence(detail)}" for detail in error.errors(include_url=False))
            else:
                yield Attached(tool, config, Policy.DENY if tool.policy is Policy.DENY else Policy(policy))


def _sentence(detail: Any) -> str:
    return ".".join(map(str, ("config", *detail["loc"]))) + f": {detail['msg']}."
