"""Assistants and what was said with them, in the admin."""

from chat.admin.assistants import AssistantAdmin
from chat.admin.background import BackgroundCallAdmin
from chat.admin.conversations import ConversationAdmin, ItemAdmin, ResponseAdmin, TurnAdmin
from chat.admin.memory import FactAdmin, MemoryOffAdmin
from chat.admin.versions import AssistantVersionAdmin

__all__ = [
    "AssistantAdmin",
    "AssistantVersionAdmin",
    "BackgroundCallAdmin",
    "ConversationAdmin",
    "FactAdmin",
    "ItemAdmin",
    "MemoryOffAdmin",
    "ResponseAdmin",
    "TurnAdmin",
]
