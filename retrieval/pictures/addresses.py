"""What stands for a picture in a request until it is sent, and the data URL that is sent."""

import base64
import uuid

from retrieval.models import Picture
from retrieval.pictures import kept

PREFIX = "parley:picture/"


def reference_to(file: uuid.UUID) -> str:
    return f"{PREFIX}{file}"


def data_url(mime_type: str, content: bytes) -> str:
    return f"data:{mime_type};base64,{base64.b64encode(content).decode()}"


def url_of(reference: str) -> str | None:
    """The data URL of the picture that is referred to; None where it is gone."""
    picture = Picture.objects.filter(file=uuid.UUID(reference.removeprefix(PREFIX))).first()
    content = kept.read(picture.pk, kept.PICTURE) if picture else None
    return data_url(picture.mime_type, content) if picture and content is not None else None
