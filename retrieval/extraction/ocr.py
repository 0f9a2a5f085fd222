"""Reads text from pictures (tesseract), inside the jail: the library is called, no program is started.

So the jail stays as tight as for every other reader. The functions are those of tesseract's C interface (capi.h) and
of leptonica, which decodes pictures for it. `available` tells outside of the jail whether there is OCR here.
"""

import contextlib
import ctypes
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from retrieval.errors import CorruptFileError, ExtractionError, TooLargeError

NOT_HERE = (
    "pictures are read only where OCR is installed on the server. "
    "An administrator can install tesseract; then try again."
)

# Pixels: a page is rendered with at most so many, and a picture with more is not even decoded.
PAGE_PIXELS = 40_000_000
PICTURE_PIXELS = 100_000_000
# Below it, in percent, what was read is more likely a pattern than words.
LEAST_CONFIDENCE = 40
# More languages at once make it slower and no better: then OCR_LANGUAGES has to choose.
MAX_LANGUAGES = 6
MAX_PICTURES = 1_000

_LIBRARIES = ("libtesseract.so.5", "libtesseract.so.4", "libtesseract.so")
_PROGRAM_SECONDS = 20
# Data that is no language: orientation and script detection, and mathematics.
_NO_LANGUAGES = frozenset({"osd", "equ", "snum"})
_LISTED = re.compile(r"""languages(?: in "(?P<folder>[^"\n]*)")?""")
_EMPTY_LINES = re.compile(r"\n\s*\n\s*")
_AUTO_WITH_ORIENTATION, _AUTO = 1, 3
_DEFAULT_RESOLUTION = 300

Pointer = ctypes.c_void_p


@dataclass(frozen=True, slots=True, kw_only=True)
class OcrData:
    """What tesseract can read: languages by its own names ("eng", "chi_sim"), and the folder of their data."""

    languages: tuple[str, ...]
    orientation: bool
    folder: str


def available() -> OcrData | None:
    """What OCR there is on this machine, or None. Asks the program once it is there, and again as long as it is not."""
    program = shutil.which("tesseract")
    return _ask(program) if program else None


@cache
def _ask(program: str) -> OcrData | None:
    command = [program, "--list-langs"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_PROGRAM_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    head, *names = (ended.stdout or ended.stderr).strip().splitlines() or [""]
    found = _LISTED.search(head)
    languages = tuple(sorted(name for name in names if name not in _NO_LANGUAGES and "/" not in name))
    if found is None or not languages:
        return None
    return OcrData(languages=languages, orientation="osd" in names, folder=found["folder"] or "")


def chosen(data: OcrData, wanted: str) -> tuple[str, ...]:
    """The languages to read with: those `wanted` ("eng+deu") that are there, otherwise all, English first."""
    asked = tuple(name for name in wanted.split("+") if name in data.languages)
    ordered = sorted(data.languages, key=lambda name: (name != "eng", name))
    return asked or tuple(ordered[:MAX_LANGUAGES])


@dataclass
class Ocr:
    """Tesseract, ready to read pictures until its time is over. Made inside the jail."""

    languages: tuple[str, ...]
    folder: str
    orientation: bool
    seconds: float
    _library: ctypes.CDLL = field(init=False)
    _handle: int = field(init=False)
    _end: float = field(init=False)

    def __post_init__(self) -> None:
        self._end = time.monotonic() + self.seconds
        self._library = _load()
        self._handle = self._library.TessBaseAPICreate()
        names = "+".join(self.languages).encode()
        if self._library.TessBaseAPIInit3(self._handle, self.folder.encode() or None, names):
            raise ExtractionError("OCR cannot be used on this server: its languages cannot be loaded.", retryable=True)
        mode = _AUTO_WITH_ORIENTATION if self.orientation else _AUTO
        self._library.TessBaseAPISetPageSegMode(self._handle, mode)

    @property
    def is_over(self) -> bool:
        """There is no time for another page."""
        return time.monotonic() > self._end

    def read_pixels(self, pixels: bytes, width: int, height: int, stride: int, resolution: int) -> str:
        """The text of a grey picture, a byte a pixel; `resolution` in dots per inch."""
        self._library.TessBaseAPISetImage(self._handle, pixels, width, height, 1, stride)
        return self._recognise(resolution)

    def read_pictures(self, data: bytes) -> Iterator[str]:
        """The text of each picture in a file (TIFF can hold many). Raises TooLargeError, CorruptFileError."""
        for picture in self._pictures(data):
            with self._freed(picture):
                width, height = self._library.pixGetWidth(picture), self._library.pixGetHeight(picture)
                if width * height > PICTURE_PIXELS:
                    raise TooLargeError(_too_large())
                self._library.TessBaseAPISetImage2(self._handle, picture)
                yield self._recognise(self._library.pixGetXRes(picture) or _DEFAULT_RESOLUTION)

    def _pictures(self, data: bytes) -> Iterator[int]:
        if data[:4] in {b"II*\0", b"MM\0*"}:
            offset = ctypes.c_size_t(0)
            for _ in range(MAX_PICTURES):
                self._refuse_large(data[offset.value :] if offset.value else data)
                picture = self._library.pixReadMemFromMultipageTiff(data, len(data), ctypes.byref(offset))
                if not picture:
                    raise CorruptFileError(_DAMAGED)
                yield picture
                if not offset.value:
                    return
            return
        self._refuse_large(data)
        picture = self._library.pixReadMem(data, len(data))
        if not picture:
            raise CorruptFileError(_DAMAGED)
        yield picture

    def _refuse_large(self, data: bytes) -> None:
        """Before anything is decoded: what the header says of the size."""
        numbers = [ctypes.c_int(0) for _ in range(6)]
        # format, width, height, bits, samples, colour map
        if self._library.pixReadHeaderMem(data, len(data), *map(ctypes.byref, numbers)):
            return  # the decoder says what is wrong, or knows more
        if numbers[1].value * numbers[2].value > PICTURE_PIXELS:
            raise TooLargeError(_too_large())

    @contextlib.contextmanager
    def _freed(self, picture: int) -> Iterator[None]:
        try:
            yield
        finally:
            self._library.pixDestroy(ctypes.byref(Pointer(picture)))

    def _recognise(self, resolution: int) -> str:
        self._library.TessBaseAPISetSourceResolution(self._handle, resolution)
        found = self._library.TessBaseAPIGetUTF8Text(self._handle)
        if not found:
            return ""
        text = ctypes.string_at(found).decode(errors="replace")
        self._library.TessDeleteText(found)
        sure = self._library.TessBaseAPIMeanTextConf(self._handle) >= LEAST_CONFIDENCE
        self._library.TessBaseAPIClear(self._handle)
        return _EMPTY_LINES.sub("\n\n", text.replace("\f", "")).strip() if sure else ""


_DAMAGED = "This picture is damaged or incomplete and cannot be opened."


def _too_large() -> str:
    return f"This picture has more than {PICTURE_PIXELS // 1_000_000} million pixels, and was not read."


def _load() -> ctypes.CDLL:
    """The library with the types of its functions; leptonica's are found through it."""
    for name in _LIBRARIES:
        with contextlib.suppress(OSError):
            library = ctypes.CDLL(name)
            break
    else:
        raise ExtractionError("OCR cannot be used on this server: its library cannot be loaded.", retryable=True)
    integer, text, size = ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t
    numbers = [ctypes.POINTER(integer)] * 6
    signatures: dict[str, tuple[object, list[object]]] = {
        "TessBaseAPICreate": (Pointer, []),
        "TessBaseAPIInit3": (integer, [Pointer, text, text]),
        "TessBaseAPISetPageSegMode": (None, [Pointer, integer]),
        "TessBaseAPISetImage": (None, [Pointer, text, integer, integer, integer, integer]),
        "TessBaseAPISetImage2": (None, [Pointer, Pointer]),
        "TessBaseAPISetSourceResolution": (None, [Pointer, integer]),
        "TessBaseAPIGetUTF8Text": (Pointer, [Pointer]),
        "TessBaseAPIMeanTextConf": (integer, [Pointer]),
        "TessBaseAPIClear": (None, [Pointer]),
        "TessDeleteText": (None, [Pointer]),
        "pixReadMem": (Pointer, [text, size]),
        "pixReadMemFromMultipageTiff": (Pointer, [text, size, ctypes.POINTER(size)]),
        "pixReadHeaderMem": (integer, [text, size, *numbers]),
        "pixGetWidth": (integer, [Pointer]),
        "pixGetHeight": (integer, [Pointer]),
        "pixGetXRes": (integer, [Pointer]),
        "pixDestroy": (None, [ctypes.POINTER(Pointer)]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
