"""Addresses of the library and its documents."""

from django.urls import path

from retrieval import views

app_name = "retrieval"

urlpatterns = [
    path("library/", views.library, name="library"),
    path("library/<uuid:store_id>/", views.store, name="store"),
    path("library/<uuid:store_id>/rows/", views.rows, name="rows"),
    path("library/<uuid:store_id>/actions/", views.bulk, name="bulk"),
    path("library/<uuid:store_id>/files/", views.upload, name="upload"),
    path("library/<uuid:store_id>/uploads/", views.begin, name="begin_upload"),
    path("uploads/<uuid:upload_id>/", views.upload_parts, name="upload_parts"),
    path("documents/<uuid:document_id>/", views.document, name="document"),
    path("documents/<uuid:document_id>/retry/", views.retry, name="retry"),
    path("documents/<uuid:document_id>/delete/", views.delete, name="delete"),
    path("documents/<uuid:document_id>/file/", views.file, name="file"),
    path("documents/<uuid:document_id>/pages/<int:number>.webp", views.page_picture, name="page_picture"),
    path("documents/<uuid:document_id>/marks/", views.page_marks, name="page_marks"),
    path("documents/<uuid:document_id>/picture/", views.picture, name="picture"),
    path("documents/<uuid:document_id>/picture/small.webp", views.small_picture, name="small_picture"),
]
