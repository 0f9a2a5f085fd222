"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path
from django.utils.translation import gettext_lazy as _

admin.site.site_header = _("Parley")
admin.site.site_title = _("Parley")
admin.site.index_title = _("Administration")

urlpatterns = [
    path("", include("chat.urls")),
    path("", include("retrieval.urls")),
    path("", include("core.urls")),
    path("account/", include("allauth.urls")),
    path("admin/", admin.site.urls),
]
