"""The tools of an assistant version: those attached to it, and the search that its way of retrieval needs."""

from collections.abc import Mapping
from typing import Any

from chat.models import AssistantVersion
from tools.toolbox import Toolbox, open_toolbox

FILE_SEARCH = "file_search"


def tool_entries(version: AssistantVersion) -> list[Mapping[str, Any]]:
    """What is attached, as `AssistantVersion.tools` has it; a version whose model searches itself has the search."""
    entries: list[Mapping[str, Any]] = list(version.tools)
    named = {entry["name"] for entry in entries}
    if version.retrieval == AssistantVersion.Retrieval.TOOL and FILE_SEARCH not in named:
        entries.append({"name": FILE_SEARCH, "config": {"passages": version.passages}})
    return entries


def toolbox_of(version: AssistantVersion) -> Toolbox:
    return open_toolbox(tool_entries(version))
