"""Addresses of the library and its documents, for browsers and for scripts."""

from django.urls import path, re_path

from core.api import no_such_address
from retrieval import views
from retrieval.api import documents as api_documents
from retrieval.api import stores as api_stores
from retrieval.api import uploads as api_uploads

app_name = "retrieval"

urlpatterns = [
    path("library/", views.library, name="library"),
    path("library/<uuid:store_id>/", views.store, name="store"),
    path("library/<uuid:store_id>/settings/", views.settings, name="store_settings"),
    path("library/<uuid:store_id>/shares/", views.share, name="share"),
    path("library/<uuid:store_id>/shares/<uuid:grant_id>/", views.change_share, name="change_share"),
    path("library/<uuid:store_id>/keeping/", views.keep, name="keep"),
    path("library/<uuid:store_id>/offer/", views.offer, name="offer"),
    path("library/<uuid:store_id>/offer/answer/", views.answer_offer, name="answer_offer"),
    path("library/<uuid:store_id>/delete/", views.delete_store, name="delete_store"),
    path("library/<uuid:store_id>/rows/", views.rows, name="rows"),
    path("library/<uuid:store_id>/actions/", views.bulk, name="bulk"),
    path("library/<uuid:store_id>/files/", views.upload, name="upload"),
    path("library/<uuid:store_id>/uploads/", views.begin, name="begin_upload"),
    path("library/<uuid:store_id>/states/", views.states, name="states"),
    path("library/<uuid:store_id>/retry/", views.retry_failed, name="retry_failed"),
    path("library/<uuid:store_id>/indexing/", views.indexing, name="indexing"),
    path("library/<uuid:store_id>/chunks/", views.rechunk, name="rechunk"),
    path("reindexings/<uuid:reindexing_id>/", views.change_reindexing, name="change_reindexing"),
    path("uploads/<uuid:upload_id>/", views.upload_parts, name="upload_parts"),
    path("documents/<uuid:document_id>/", views.document, name="document"),
    path("documents/<uuid:document_id>/retry/", views.retry, name="retry"),
    path("documents/<uuid:document_id>/delete/", views.delete, name="delete"),
    path("documents/<uuid:document_id>/rename/", views.rename, name="rename"),
    path("documents/<uuid:document_id>/move/", views.move, name="move"),
    path("documents/<uuid:document_id>/replace/", views.replace, name="replace"),
    path("documents/<uuid:document_id>/attributes/", views.attributes, name="attributes"),
    path("documents/<uuid:document_id>/dismiss/", views.dismiss, name="dismiss"),
    path("documents/<uuid:document_id>/file/", views.file, name="file"),
    path("documents/<uuid:document_id>/pages/<int:number>.webp", views.page_picture, name="page_picture"),
    path("documents/<uuid:document_id>/marks/", views.page_marks, name="page_marks"),
    path("documents/<uuid:document_id>/picture/", views.picture, name="picture"),
    path("documents/<uuid:document_id>/picture/small.webp", views.small_picture, name="small_picture"),
    path("api/v1/stores", api_stores.stores, name="api_stores"),
    path("api/v1/stores/<uuid:store_id>", api_stores.store, name="api_store"),
    path("api/v1/stores/<uuid:store_id>/documents", api_stores.documents, name="api_documents"),
    path("api/v1/stores/<uuid:store_id>/uploads", api_uploads.begin, name="api_begin_upload"),
    path("api/v1/uploads/<uuid:upload_id>", api_uploads.parts, name="api_upload"),
    path("api/v1/documents/<uuid:document_id>", api_documents.document, name="api_document"),
    path("api/v1/documents/<uuid:document_id>/retry", api_documents.retry, name="api_retry"),
    path("api/v1/documents/<uuid:document_id>/file", api_documents.file, name="api_file"),
    re_path(r"^api/", no_such_address, name="api_unknown"),
]
