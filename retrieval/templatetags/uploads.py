"""`{% upload_area store %}`: where files are taken into a store, for a person who may change it."""

from typing import Any

from django import template
from django.conf import settings
from django.template import Context
from django.utils import timezone

from core.models import User
from retrieval import services
from retrieval.models import Upload, VectorStore

register = template.Library()


@register.inclusion_tag("retrieval/_partials/upload_area.html", takes_context=True)
def upload_area(context: Context, store: VectorStore) -> dict[str, Any]:
    """The area with the person's uploads into this store that were begun and not ended."""
    user = context.get("user")
    left = services.unfinished_uploads(user=user, store=store) if isinstance(user, User) else []
    limits = {
        "part_bytes": settings.UPLOAD_PART_BYTES,
        "upload_bytes": settings.UPLOAD_MAX_BYTES,
        "files": settings.UPLOAD_MAX_FILES,
    }
    return {"store": store, "limits": limits, "unfinished": [_shown(upload) for upload in left]}


def _shown(upload: Upload) -> dict[str, Any]:
    """`age` is how many seconds ago its last part came."""
    age = int((timezone.now() - upload.updated_at).total_seconds())
    fields = ("id", "name", "size", "received", "modified")
    return {**{field: getattr(upload, field) for field in fields}, "age": age}
