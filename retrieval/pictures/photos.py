"""Makes uploaded pictures anew: upright, of bounded size, with nothing in them but points. Runs in the jail.

What a camera or a program wrote into the file beside the points (places, names, previews) does not come along.
"""

import io
from typing import Any

import orjson
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from retrieval.errors import CorruptFileError, ExtractionError, TooLargeError

_FORMATS = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/tiff": "TIFF",
    "image/bmp": "BMP",
}
# Drawings and screenshots stay sharp; what a camera took becomes a JPEG as it was.
_PHOTOS = frozenset({"image/jpeg", "image/webp"})
# With the last one even noise of 2,048 × 2,048 points comes to 1.2 MB.
_QUALITIES = (88, 75, 60, 40, 20)
_DAMAGED = "This picture is damaged or incomplete and cannot be shown."


def prepare(
    data: bytes, *, mime: str, longest: int, thumbnail: int, max_points: int, max_bytes: int
) -> bytes | dict[str, Any]:
    """The picture and a small one, behind a line of JSON that says what they are.

    The line is {"mime", "width", "height", "bytes", "small_width", "small_height"}; `bytes` is the length of the first
    picture, the small one is WebP. No side is longer than `longest` or `thumbnail` points.
    """
    Image.MAX_IMAGE_PIXELS = None  # we have a limit and a sentence of our own
    try:
        picture = _opened(data, mime, longest, max_points)
    except ExtractionError as error:
        return {"failed": {"code": error.code, "message": error.message}}
    kind, written = _written(picture, max_bytes, sharp=mime not in _PHOTOS)
    small = picture.copy()
    small.thumbnail((thumbnail, thumbnail), Image.Resampling.LANCZOS)
    head = {
        "mime": kind,
        "width": picture.width,
        "height": picture.height,
        "bytes": len(written),
        "small_width": small.width,
        "small_height": small.height,
    }
    return orjson.dumps(head) + b"\n" + written + _saved(small, "WEBP", quality=80)


def _opened(data: bytes, mime: str, longest: int, max_points: int) -> Image.Image:
    """The first frame on white, in sRGB. Raises CorruptFileError and TooLargeError."""
    try:
        with Image.open(io.BytesIO(data), formats=[_FORMATS[mime]]) as picture:
            width, height = picture.size
            if width * height > max_points:
                most = f"{max_points / 1e6:,.0f} million"
                raise TooLargeError(f"This picture has {width:,} × {height:,} points; at most {most} are taken.")
            picture.draft("RGB", (longest, longest))
            return _plain(_smaller(picture, longest))
    except UnidentifiedImageError as error:
        raise CorruptFileError(_DAMAGED) from error
    # What Pillow raises for broken files of its many formats.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError) as error:
        raise CorruptFileError(_DAMAGED) from error


def _smaller(picture: Image.Image, longest: int) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        top = picture.getextrema()[1]
        # more than eight bits to a point
        scale = 1 / 256 if isinstance(top, int | float) and top > 255 else 1
        picture = picture.convert("F").point(lambda value: value * scale).convert("L")
    elif picture.mode in {"1", "P", "PA", "LA", "La"}:
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    upright = ImageOps.exif_transpose(picture)
    upright.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return upright


def _plain(picture: Image.Image) -> Image.Image:
    picture = _in_srgb(picture)
    plain = Image.new("RGB", picture.size, "white")
    if picture.has_transparency_data:
        layered = picture.convert("RGBA")
        plain.paste(layered, mask=layered.getchannel("A"))
    else:
        plain.paste(picture.convert("RGB"))
    return plain


def _in_srgb(picture: Image.Image) -> Image.Image:
    """The colours as they were meant; as they stand where the profile is no good."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in {"RGB", "CMYK"}:
        return picture
    try:
        meant = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(picture, meant, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return picture
    return converted or picture


def _written(picture: Image.Image, max_bytes: int, *, sharp: bool) -> tuple[str, bytes]:
    if sharp and len(written := _saved(picture, "PNG", optimize=False)) <= max_bytes:
        return "image/png", written
    for quality in _QUALITIES:
        written = _saved(picture, "JPEG", quality=quality)
        if len(written) <= max_bytes:
            break
    return "image/jpeg", written


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    written = io.BytesIO()
    picture.save(written, kind, **options)
    return written.getvalue()
