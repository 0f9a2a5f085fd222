"""Assistants, conversations, turns and what is made in them."""

from chat.models.assistants import Assistant, AssistantVersion, FallbackModel
from chat.models.background import BackgroundCall
from chat.models.conversations import Conversation
from chat.models.items import Attachment, Citation, Item
from chat.models.memory import Fact, FactReading, MemoryOff, Summary, SummaryFailure
from chat.models.turns import Response, SentRequest, Turn

__all__ = [
    "Assistant",
    "AssistantVersion",
    "Attachment",
    "BackgroundCall",
    "Citation",
    "Conversation",
    "Fact",
    "FactReading",
    "FallbackModel",
    "Item",
    "MemoryOff",
    "Response",
    "SentRequest",
    "Summary",
    "SummaryFailure",
    "Turn",
]
