"""Pictures that we make: where words stand on a page, pictures made anew, and how many are drawn at a time."""

import asyncio
import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from retrieval.errors import CorruptFileError, EncryptedFileError, ExtractionError, TooLargeError
from retrieval.extraction import pdf as pdf_reader
from retrieval.extraction.builder import Bounds
from retrieval.pictures import jailed, pdf, photos
from retrieval.pictures.queue import Drawings, TooManyDrawnError
from tests.pdfs import is_near, opened, picture, plain_pdf
from tests.pdfs import pdf as make_pdf

FILES = Path(__file__).parents[1] / "files"
LINES = [
    [("The tide at Korsund turns at ", False), ("six in", True)],
    [("the morning", True), (", and again late.", False)],
]
TEXT = "The tide at Korsund turns at six in\nthe morning, and again late."
QUOTE = "six in\nthe morning"


def marked(content: bytes, text: str, quote: str) -> list[list[float]]:
    start = text.index(quote)
    answer = pdf.marks(content, spans=[{"page": 1, "text": text, "start": start, "end": start + len(quote)}])
    boxes: list[list[float]] = answer["pages"][0]["boxes"]
    return boxes


def drawn(content: bytes, width: int = 900, number: int = 1) -> Image.Image:
    made = pdf.page(content, number=number, width=width)
    assert isinstance(made, bytes), made
    return opened(made)


def covered(image: Image.Image, boxes: list[list[float]]) -> np.ndarray[Any, Any]:
    """Which points of the picture are in one of the boxes."""
    mask = np.zeros((image.height, image.width), dtype=bool)
    for x, y, width, height in boxes:
        left, top = int(x * image.width), int(y * image.height)
        mask[top : int((y + height) * image.height) + 1, left : int((x + width) * image.width) + 1] = True
    return mask


def reds_and_blacks(image: Image.Image) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    points = np.asarray(image.convert("RGB")).astype(int)
    reddish = (points[..., 0] > 150) & (points[..., 1] < 110) & (points[..., 2] < 110)
    return reddish, points.max(axis=2) < 90


class TestMarks:
    @pytest.mark.parametrize("turned", [0, 90, 180, 270])
    def test_the_boxes_lie_on_the_words_and_on_no_others(self, turned: int) -> None:
        content = make_pdf([LINES], turned=turned)
        # lines of a page that stands on its head are read in another order
        text = pdf_reader.read(content, mime="application/pdf", bounds=Bounds(10_000, 10)).text
        boxes = [box for words in QUOTE.split("\n") for box in marked(content, text, words)]
        image = drawn(content, 1800)
        assert (image.width > image.height) == (turned in {90, 270})
        reddish, blackish = reds_and_blacks(image)
        inside = covered(image, boxes)
        assert reddish.sum() > 100
        assert (reddish & inside).sum() == reddish.sum()
        # a neighbouring letter may touch the box of a word
        assert (blackish & inside).sum() < 0.02 * blackish.sum()

    def test_a_line_has_one_box(self) -> None:
        assert len(marked(make_pdf([LINES]), TEXT, QUOTE)) == 2
        assert len(marked(make_pdf([LINES]), TEXT, TEXT)) == 2

    def test_white_space_does_not_matter(self) -> None:
        content = make_pdf([LINES])
        other = TEXT.replace(" ", "  \n")
        assert marked(content, other, QUOTE.replace(" ", "  \n")) == marked(content, TEXT, QUOTE)

    def test_of_the_same_words_those_at_this_place_are_marked(self) -> None:
        content = plain_pdf("ebb and flow\nebb and flow\nebb and flow")
        text = "ebb and flow\nebb and flow\nebb and flow"
        tops = []
        for turn in range(3):
            start = 13 * turn
            answer = pdf.marks(content, spans=[{"page": 1, "text": text, "start": start, "end": start + 3}])
            tops.append(answer["pages"][0]["boxes"][0][1])
        assert tops == sorted(set(tops))

    def test_text_that_was_read_in_another_order_is_found_by_itself(self) -> None:
        content = make_pdf([LINES])
        shuffled = ", and again late. six in the morning The tide at Korsund turns at"
        assert marked(content, shuffled, "six in the morning") == marked(content, TEXT, QUOTE)

    @pytest.mark.parametrize("quote", ["seven in the morning", "   "])
    def test_what_is_not_on_the_page_has_no_box(self, quote: str) -> None:
        assert marked(make_pdf([LINES]), f"{TEXT} {quote}", quote) == []


class TestPage:
    def test_it_is_as_wide_as_asked_and_has_the_page_s_shape(self) -> None:
        content = make_pdf([LINES], size=(300, 600))
        assert drawn(content, 900).size == (900, 1800)
        assert pdf.sizes(content) == {"sizes": [[300, 600]]}

    def test_a_page_that_would_have_too_many_points_is_drawn_smaller(self) -> None:
        image = drawn(make_pdf([LINES], size=(20, 14_000)), 1800)
        assert image.width * image.height <= pdf.MAX_POINTS

    @pytest.mark.parametrize(
        ("content", "error"),
        [
            (b"%PDF-1.7\nnothing", CorruptFileError),
            (plain_pdf("One page."), CorruptFileError),
        ],
        ids=["broken", "no page 2"],
    )
    def test_what_cannot_be_drawn_is_said(self, tmp_path: Path, content: bytes, error: type[ExtractionError]) -> None:
        path = tmp_path / "it.pdf"
        path.write_bytes(content)
        with pytest.raises(error, match=r"\.$"):
            jailed.page_picture(path, number=2, width=900)

    def test_a_locked_one_is_not_drawn(self, tmp_path: Path) -> None:
        written = io.BytesIO()
        canvas = Canvas(written, encrypt=StandardEncryption("secret"))
        canvas.drawString(100, 100, "locked")
        canvas.save()
        path = tmp_path / "it.pdf"
        path.write_bytes(written.getvalue())
        with pytest.raises(EncryptedFileError):
            jailed.page_picture(path, number=1, width=900)


def prepared(content: bytes, mime: str, tmp_path: Path) -> jailed.Prepared:
    path = tmp_path / "picture"
    path.write_bytes(content)
    return jailed.prepare(path, mime=mime)


class TestPrepare:
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
    def test_every_kind_keeps_its_colours(self, kind: str, tmp_path: Path) -> None:
        made = prepared(picture(kind), f"image/{kind.lower()}", tmp_path)
        image = opened(made.content)
        assert made.mime_type == f"image/{(image.format or '').lower()}"
        assert made.mime_type == ("image/jpeg" if kind in {"JPEG", "WEBP"} else "image/png")
        assert image.size == (made.width, made.height) == (60, 40)
        assert is_near(image.getpixel((30, 20)), (200, 30, 40))
        small = opened(made.small)
        assert (small.format, small.size) == ("WEBP", (made.small_width, made.small_height))

    @pytest.mark.parametrize(
        ("mode", "value", "seen"),
        [
            ("1", 1, (255, 255, 255)),
            ("L", 90, (90, 90, 90)),
            ("LA", (90, 255), (90, 90, 90)),
            ("I;16", 0x8000, (128, 128, 128)),
            ("RGBA", (0, 0, 255, 0), (255, 255, 255)),
            ("RGBA", (0, 0, 255, 255), (0, 0, 255)),
        ],
    )
    def test_every_kind_of_point(self, mode: str, value: Any, seen: tuple[int, ...], tmp_path: Path) -> None:
        written = io.BytesIO()
        Image.new(mode, (50, 50), value).save(written, "PNG")
        image = opened(prepared(written.getvalue(), "image/png", tmp_path).content)
        assert image.mode == "RGB"
        assert is_near(image.getpixel((25, 25)), seen)

    def test_a_large_one_becomes_smaller(self, tmp_path: Path) -> None:
        made = prepared(picture("JPEG", size=(5000, 1000)), "image/jpeg", tmp_path)
        assert (made.width, made.height) == (jailed.LONGEST, round(jailed.LONGEST / 5))
        assert max(made.small_width, made.small_height) == jailed.THUMBNAIL

    def test_one_that_does_not_compress_is_kept_within_its_bytes(self, tmp_path: Path) -> None:
        written = io.BytesIO()
        Image.effect_noise((2048, 2048), 120).save(written, "PNG")
        made = prepared(written.getvalue(), "image/png", tmp_path)
        assert made.mime_type == "image/jpeg"
        assert len(made.content) <= jailed.MAX_BYTES

    def test_what_a_camera_wrote_beside_the_points_is_gone_and_the_picture_upright(self, tmp_path: Path) -> None:
        written, exif = io.BytesIO(), Image.Exif()
        exif[0x0112] = 6  # turned by a quarter
        exif[0x010E] = "MARK-IN-EXIF"
        exif.get_ifd(0x8825).update({1: "N", 2: (IFDRational(59), IFDRational(20), IFDRational(0))})
        image = Image.new("RGB", (80, 40), (10, 10, 200))
        image.paste((200, 10, 10), (0, 0, 40, 40))
        image.save(written, "JPEG", exif=exif, comment=b"MARK-IN-COMMENT")
        assert b"MARK-IN-EXIF" in written.getvalue()
        made = prepared(written.getvalue(), "image/jpeg", tmp_path)
        for content in (made.content, made.small):
            again = opened(content)
            assert not again.getexif()
            assert b"MARK-IN" not in content
            assert b"Exif" not in content
        shown = opened(made.content)
        assert shown.size == (40, 80)
        assert is_near(shown.getpixel((20, 10)), (200, 10, 10), 30)

    def test_a_bomb_is_refused_before_it_is_unpacked(self, tmp_path: Path) -> None:
        written = io.BytesIO()
        Image.new("1", (40_000, 40_000)).save(written, "PNG")
        assert len(written.getvalue()) < 1_000_000
        with pytest.raises(TooLargeError, match=r"40,000 × 40,000"):
            prepared(written.getvalue(), "image/png", tmp_path)

    @pytest.mark.parametrize(
        ("content", "mime"),
        [
            (picture("PNG")[:60], "image/png"),
            (picture("JPEG", size=(800, 800))[:300], "image/jpeg"),
            (picture("PNG"), "image/gif"),
            (b"II*\0" + bytes(40), "image/tiff"),
        ],
        ids=["cut png", "cut jpeg", "another kind", "no tiff"],
    )
    def test_a_broken_one_is_said_so(self, content: bytes, mime: str, tmp_path: Path) -> None:
        with pytest.raises(CorruptFileError, match="damaged"):
            prepared(content, mime, tmp_path)

    def test_the_answer_is_one_line_and_two_pictures(self) -> None:
        answer = photos.prepare(
            picture(), mime="image/png", longest=100, thumbnail=50, max_points=10_000, max_bytes=10_000
        )
        assert isinstance(answer, bytes)
        line, _, body = answer.partition(b"\n")
        head = orjson.loads(line)
        assert opened(body[: head["bytes"]]).format == "PNG"
        assert opened(body[head["bytes"] :]).format == "WEBP"


class TestDrawings:
    async def test_what_is_asked_for_at_once_is_drawn_once(self) -> None:
        drawings, let_go, calls = Drawings(at_once=1, waiting=0), threading.Event(), []

        def draw() -> int:
            calls.append(1)
            let_go.wait()
            return 7

        waiting = [asyncio.create_task(drawings.drawn("page", draw)) for _ in range(5)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        let_go.set()
        assert await asyncio.gather(*waiting[1:]) == [7] * 4
        assert calls == [1]

    async def test_more_than_may_wait_are_sent_away_and_let_in_again(self) -> None:
        drawings, let_go = Drawings(at_once=1, waiting=2), threading.Event()

        def draw() -> bool:
            return let_go.wait()

        waiting = [asyncio.create_task(drawings.drawn(number, draw)) for number in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyDrawnError) as refused:
            await drawings.drawn("one more", draw)
        assert refused.value.retryable
        let_go.set()
        assert await asyncio.gather(*waiting) == [True] * 3
        assert await drawings.drawn("one more", draw)

    async def test_what_nobody_waits_for_is_not_drawn(self) -> None:
        drawings, let_go, calls = Drawings(at_once=1, waiting=5), threading.Event(), []
        first = asyncio.create_task(drawings.drawn("first", let_go.wait))
        left = asyncio.create_task(drawings.drawn("left", lambda: calls.append(1)))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        let_go.set()
        assert await first
        assert await drawings.drawn("last", lambda: "drawn") == "drawn"
        assert calls == []

    async def test_a_failure_reaches_all_who_wait_and_is_not_remembered(self) -> None:
        drawings = Drawings(at_once=1, waiting=1)

        def fail() -> None:
            raise CorruptFileError("It is damaged.")

        for _ in range(2):
            with pytest.raises(CorruptFileError):
                await drawings.drawn("page", fail)
        assert await drawings.drawn("page", lambda: 1) == 1
