"""What tests of turns that call tools share: an assistant with the tools of `tests.tools`, and a message asked."""

import uuid
from typing import Any

from chat.models import Assistant, Item, Turn
from core.bridge import in_database
from core.models import User
from tests import factories
from tests import tools as samples
from tests.chat_client import Tab, tab_of
from tests.responses_server import ResponsesServer
from tools.models import ToolCall


def make_assistant(person: User, upstream: ResponsesServer, **version: Any) -> Assistant:
    """An assistant with all tools; `version` holds fields of its version, and `capabilities` of its endpoint."""
    capabilities = version.pop("capabilities", {})
    endpoint = factories.responses_endpoint(upstream.base_url, capabilities=capabilities)
    model = factories.chat_model(endpoint=endpoint, name="scripted")
    values = {"retrieval": "off", "tools": [{"name": name} for name in [*samples.NAMES, "forbidden"]], **version}
    return factories.assistant(owner=person, model=model, **values)


async def answered(
    person: User, assistant: Assistant, text: str = "Go.", *, conversation: uuid.UUID | None = None
) -> tuple[Turn, dict[str, Any], Tab]:
    """Ask and wait for the end; returns the turn, its last frame, and the tab with what it showed."""
    async with tab_of(person) as tab:
        created = await tab.ask(text, conversation or uuid.uuid4(), assistant=assistant.id)
        final = await tab.until("turn.final", where=lambda frame: frame["turn"] == created["turn"])
    return await in_database(Turn.objects.get, id=created["turn"]), final, tab


def call(tool: str, call_id: str = "", **arguments: Any) -> dict[str, Any]:
    """A call as the scripted upstream makes it."""
    return {"name": tool, "arguments": arguments, **({"call_id": call_id} if call_id else {})}


def outputs(body: Any) -> list[tuple[str, str]]:
    """The outputs that a request carries, by call id, in their order."""
    return [(item["call_id"], item["output"]) for item in body["input"] if item["type"] == "function_call_output"]


def rows(turn: Turn) -> dict[str, ToolCall]:
    return {row.call_id: row for row in ToolCall.objects.filter(turn=turn.id)}


def kinds(turn: Turn) -> list[str]:
    return list(Item.objects.filter(turn=turn).order_by("position").values_list("type", flat=True))
