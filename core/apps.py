"""Django's description of the core room."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "core"
    verbose_name = "People and servers"

    def ready(self) -> None:
        from core.accounts import invitations  # noqa: PLC0415 - needs the models

        invitations.connect()
