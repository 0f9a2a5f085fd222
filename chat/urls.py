"""The addresses of the chat."""

from django.urls import path

from chat.views import citations, files, memory, pages, sent

app_name = "chat"

urlpatterns = [
    path("", pages.home, name="home"),
    path("c/<uuid:conversation_id>/", pages.conversation, name="conversation"),
    path("c/<uuid:conversation_id>/turns/", pages.older, name="older"),
    path("c/<uuid:conversation_id>/files/", files.upload, name="upload"),
    path("c/<uuid:conversation_id>/uploads/", files.begin, name="begin_upload"),
    path("conversations/", pages.conversations, name="conversations"),
    path("citations/<uuid:citation_id>/", citations.citation, name="citation"),
    path("turns/<uuid:turn_id>/sent/", sent.sent, name="sent"),
    path("memory/", memory.memory, name="memory"),
    path("memory/export/", memory.export, name="memory_export"),
    path("memory/<uuid:assistant_id>/", memory.memory_of, name="memory_of"),
    path("memory/<uuid:assistant_id>/switch/", memory.switch, name="memory_switch"),
    path("memory/<uuid:assistant_id>/delete/", memory.delete_all, name="memory_delete"),
    path("facts/<uuid:fact_id>/edit/", memory.edit, name="fact_edit"),
    path("facts/<uuid:fact_id>/delete/", memory.delete, name="fact_delete"),
]
