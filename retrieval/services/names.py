"""Makes names that people gave fit to be stored and shown."""

import re
import unicodedata
from pathlib import PurePosixPath

MAX_LENGTH = 255
MAX_PATH_LENGTH = 1000
UNNAMED = "Unnamed"
_MAX_SUFFIX = 20
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Characters that reorder or hide what stands around them: "invoice\u202efdp.exe" reads as a PDF's name
# (Unicode Standard Annex 9, "Directional Formatting Characters").
_DECEPTIVE = re.compile("[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")


def clean_name(name: str) -> str:
    """A file's name as one clean line without a path; its suffix survives shortening."""
    name = one_line(name.replace("\\", "/").rstrip("/").rpartition("/")[2], limit=None)
    if not name.strip(". "):
        return UNNAMED
    suffix = PurePosixPath(name).suffix
    suffix = suffix if len(suffix) <= _MAX_SUFFIX else ""
    return name if len(name) <= MAX_LENGTH else name[: MAX_LENGTH - len(suffix)].rstrip() + suffix


def clean_path(path: str) -> str:
    """The folders and the name of a file, each cleaned, with nothing that leads elsewhere; without folders empty.

    What is too long loses its first folders.
    """
    parts = [part for part in path.replace("\\", "/").split("/") if part.strip(". ")]
    cleaned = [clean_name(part) for part in parts]
    while len("/".join(cleaned)) > MAX_PATH_LENGTH:
        del cleaned[0]
    return "/".join(cleaned) if len(cleaned) > 1 else ""


def one_line(name: str, *, limit: int | None) -> str:
    """`name` in one line without control characters and text direction tricks, cut to `limit` characters."""
    name = unicodedata.normalize("NFC", _DECEPTIVE.sub("", name))
    visible = "".join(" " if unicodedata.category(char) in _UNSEEN else char for char in name)
    return " ".join(visible.split())[:limit].rstrip()
