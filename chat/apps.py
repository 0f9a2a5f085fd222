"""Django's description of the chat room."""

from django.apps import AppConfig

from chat.realtime import revocations


class ChatConfig(AppConfig):
    name = "chat"
    verbose_name = "Chat"

    def ready(self) -> None:
        from chat.services.store_uses import uses  # noqa: PLC0415 - needs the models
        from retrieval.services.stores import register_uses  # noqa: PLC0415

        revocations.connect()
        register_uses(uses)
