"""The adapter for servers that speak the OpenAI Responses API."""

from chat.providers.openai.provider import OpenAIProvider

__all__ = ["OpenAIProvider"]
