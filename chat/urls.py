"""The addresses of the chat."""

from django.urls import path

from chat.views import citations, files, pages, sent

app_name = "chat"

urlpatterns = [
    path("", pages.home, name="home"),
    path("c/<uuid:conversation_id>/", pages.conversation, name="conversation"),
    path("c/<uuid:conversation_id>/turns/", pages.older, name="older"),
    path("c/<uuid:conversation_id>/files/", files.upload, name="upload"),
    path("conversations/", pages.conversations, name="conversations"),
    path("citations/<uuid:citation_id>/", citations.citation, name="citation"),
    path("turns/<uuid:turn_id>/sent/", sent.sent, name="sent"),
]
