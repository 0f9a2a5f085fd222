"""The tools of this installation: those that `settings.TOOLS` names, and nothing that was merely imported."""

from collections.abc import Iterator, Mapping
from functools import cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from tools.base import AnyTool, Tool


class Registry(Mapping[str, AnyTool]):
    """Tools by name, in the order of the setting."""

    def __init__(self, tools: Iterator[AnyTool]) -> None:
        self._tools: dict[str, AnyTool] = {}
        for tool in tools:
            if tool.name in self._tools:
                raise ImproperlyConfigured(f"TOOLS names two tools that are called {tool.name}.")
            self._tools[tool.name] = tool

    def __getitem__(self, name: str) -> AnyTool:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)


def installed() -> Registry:
    """Return the registry; raises `ImproperlyConfigured` for a path that leads to no tool."""
    return _load(tuple(settings.TOOLS))


@cache
def _load(paths: tuple[str, ...]) -> Registry:
    return Registry(_tool(path) for path in paths)


def _tool(path: str) -> AnyTool:
    try:
        found = import_string(path)
    except (ImportError, ValueError) as error:
        raise ImproperlyConfigured(f"TOOLS names {path!r}, which cannot be loaded: {error}") from error
    if not isinstance(found, Tool):
        raise ImproperlyConfigured(f"TOOLS names {path!r}, which is no tool.")
    return found
