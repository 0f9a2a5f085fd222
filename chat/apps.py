"""Django's description of the chat room."""

from django.apps import AppConfig

from chat.realtime import revocations


class ChatConfig(AppConfig):
    name = "chat"
    verbose_name = "Chat"

    def ready(self) -> None:
        revocations.connect()
