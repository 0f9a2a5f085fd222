"""The one WebSocket address."""

from typing import Any

from django.urls import path

from chat.consumers import ChatConsumer

# Django's stubs know of views only; channels' URLRouter calls ASGI applications.
_socket: Any = ChatConsumer.as_asgi()

websocket_urlpatterns = [path("ws/", _socket)]
