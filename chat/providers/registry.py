"""Which provider a target names. The composition root makes one `Providers` of the factories it wants to offer."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from chat.errors import UnknownProviderError
from chat.providers.base import Provider
from chat.providers.extractive import ExtractiveProvider
from chat.providers.openai import OpenAIProvider

Factory: TypeAlias = Callable[[], Provider]

FACTORIES: Mapping[str, Factory] = MappingProxyType({"openai": OpenAIProvider, "extractive": ExtractiveProvider})
"""The providers that come with Parley."""


class Providers:
    """Makes each provider when it is first asked for, and keeps it."""

    def __init__(self, factories: Mapping[str, Factory] = FACTORIES) -> None:
        self._factories = dict(factories)
        self._made: dict[str, Provider] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._factories)

    def get(self, name: str) -> Provider:
        """The provider of that name.

        Raises:
            UnknownProviderError: where no factory has the name.
        """
        if name not in self._factories:
            raise UnknownProviderError(name)
        if name not in self._made:
            self._made[name] = self._factories[name]()
        return self._made[name]

    async def aclose(self) -> None:
        """Closes the connections that all providers hold in the running event loop."""
        for provider in self._made.values():
            await provider.aclose()
