"""The WebSocket: parse, authorise, call a service, send frames (docs/websocket.md)."""

from chat.consumers.socket import ChatConsumer

__all__ = ["ChatConsumer"]
