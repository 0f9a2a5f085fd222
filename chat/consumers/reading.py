"""A frame from the wire: read into its shape, or refused with a sentence, whatever was sent."""

from typing import Any

import orjson
from django.conf import settings
from pydantic import ValidationError

from chat.consumers import incoming
from core.errors import InvalidInputError

# Bytes of a frame; a message that is short enough always fits, however its characters are written.
MAX_FRAME_BYTES = max(256 * 1024, 5 * settings.MESSAGE_MAX_CHARS)
# Bytes of a refused frame that are still searched for its `ref`.
MAX_SEARCHED_BYTES = 4 * MAX_FRAME_BYTES


def read(text: str | None) -> Any:
    """Return the frame; raises InvalidInputError for bytes, and for what is too large, no JSON, or no frame."""
    if text is None:
        raise InvalidInputError("Frames are JSON texts.")
    if len(text) > MAX_FRAME_BYTES or (not text.isascii() and len(text.encode()) > MAX_FRAME_BYTES):
        raise InvalidInputError(f"This frame is too large: {MAX_FRAME_BYTES:,} bytes fit.")
    try:
        return incoming.parser.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInputError(f"This frame cannot be read: {place or 'frame'}: {first['msg']}.") from None


def ref_of(text: str | None) -> str | None:
    """Return the `ref` of a frame that is refused, so that its sender knows which one it was."""
    if text is None or len(text) > MAX_SEARCHED_BYTES:
        return None
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    ref = frame.get("ref") if isinstance(frame, dict) else None
    return ref if isinstance(ref, str) and len(ref) <= incoming.MAX_REF_CHARS else None
