"""Text in pictures: read where tesseract is installed, and where it is not, said so and mended by installing it."""

import io
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from PIL import Image, ImageDraw, ImageFont
from pytest_django import Settings
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from core.models import User
from retrieval import services
from retrieval.errors import CorruptFileError, ExtractionError, NoTextFoundError, TooLargeError
from retrieval.extraction import Extraction, ExtractionLimits, extract_file, ocr, sniff
from tests import factories
from tests.ingesting import assert_whole, put_file, work

FILES = Path(__file__).parents[1] / "files"
# What the program prints when it is asked for its languages.
LISTING = """#!/bin/sh
echo 'List of available languages in "/data/" (3):'
echo deu
echo eng
echo osd
"""
WORDS = "The harbour master keeps the keys of the old lighthouse"
LIMITS = ExtractionLimits(seconds=120, max_chars=100_000, max_pages=50, ocr_seconds=300)

needs_ocr = pytest.mark.skipif(ocr.available() is None, reason="tesseract is not installed")


@pytest.fixture
def no_ocr(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without the program: it is looked for on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ocr.available() is None


def drawn(*lines: str, turned: int = 0) -> Image.Image:
    """A scanned page: black words on white, about 150 dots per inch."""
    picture = Image.new("L", (1240, 700), 255)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=36)
    for number, line in enumerate(lines):
        draw.text((80, 80 + 70 * number), line, fill=0, font=font)
    return picture.rotate(turned, expand=True, fillcolor=255)


def saved(*pictures: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": pictures[1:]} if len(pictures) > 1 else {}
    pictures[0].save(buffer, format=form, **more)
    return buffer.getvalue()


def scanned(*pages: Image.Image | str) -> bytes:
    """A PDF of pages that are pictures, and of others with real text."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(620, 350))
    for page in pages:
        if isinstance(page, str):
            canvas.drawString(40, 300, page)
        else:
            width, height = page.width / 2, page.height / 2
            canvas.setPageSize((width, height))
            canvas.drawImage(ImageReader(page), 0, 0, width, height)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def read(folder: Path, content: bytes, name: str = "file", limits: ExtractionLimits = LIMITS) -> Extraction:
    path = folder / name
    path.write_bytes(content)
    return extract_file(path, mime=sniff(path, name), limits=limits)


@needs_ocr
@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"])
def test_pictures_of_every_kind(tmp_path: Path, form: str) -> None:
    extraction = read(tmp_path, saved(drawn(WORDS).convert("RGB"), form=form))
    assert WORDS in extraction.text
    assert extraction.pages == ((0, len(extraction.text)),)
    assert extraction.extractor.startswith("tesseract")


@needs_ocr
def test_scanned_pages_between_others(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    text = "A page with words of its own, more than a stamp on a scan would have."
    path = tmp_path / "mixed.pdf"
    path.write_bytes(scanned(text, drawn(WORDS), drawn("Second scan", turned=0), text))
    extraction = extract_file(path, mime="application/pdf", limits=LIMITS, on_progress=lambda *pair: told.append(pair))
    pages = [extraction.text[start:end] for start, end in extraction.pages]
    assert pages == [text, WORDS, "Second scan", text]
    assert extraction.pictures == 0
    assert extraction.warnings == ()
    assert told[-1] == (4, 4)


@needs_ocr
def test_pages_of_one_tiff(tmp_path: Path) -> None:
    extraction = read(tmp_path, saved(drawn(WORDS), drawn("Second page of it"), form="TIFF"))
    assert [extraction.text[start:end] for start, end in extraction.pages] == [WORDS, "Second page of it"]


@needs_ocr
def test_a_page_that_lies_on_its_side(tmp_path: Path) -> None:
    data = ocr.available()
    assert data is not None
    if not data.orientation:
        pytest.skip("tesseract has no data for orientations here")
    lines = [f"Line {number} of a letter about the harbour and its lights" for number in range(8)]
    assert "about the harbour and its lights" in read(tmp_path, scanned(drawn(*lines, turned=90))).text


@needs_ocr
def test_a_picture_without_words(tmp_path: Path) -> None:
    for content in (saved(Image.new("RGB", (300, 300), "teal")), saved(Image.effect_noise((400, 400), 90))):
        with pytest.raises(NoTextFoundError) as caught:
            read(tmp_path, content)
        assert not caught.value.retryable


@needs_ocr
@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_picture_cut_short_fails_or_gives_what_is_there(tmp_path: Path, form: str, share: float) -> None:
    whole = saved(drawn(WORDS).convert("RGB"), form=form)
    try:
        found = read(tmp_path, whole[: int(len(whole) * share)]).text
    except ExtractionError as error:
        found = error.code
    assert found in {"corrupt_file", "no_text_found"} or found.startswith("The harbour")


def png_header(width: int, height: int) -> bytes:
    """A PNG that is a few bytes long and says that it is huge."""
    whole = saved(Image.new("L", (1, 1)))
    head = bytearray(whole)
    head[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return bytes(head)


@needs_ocr
def test_a_picture_that_swells_is_not_decoded(tmp_path: Path) -> None:
    with pytest.raises(TooLargeError, match="million pixels"):
        read(tmp_path, png_header(60_000, 60_000))
    bomb = saved(Image.new("1", (20_000, 20_000)), form="TIFF")
    with pytest.raises(TooLargeError, match="million pixels"):
        read(tmp_path, bomb)
    # the control: one of a size that is read
    with pytest.raises(NoTextFoundError):
        read(tmp_path, saved(Image.new("1", (2_000, 2_000)), form="TIFF"))


@needs_ocr
def test_when_time_is_over_what_was_read_is_kept_and_said(tmp_path: Path) -> None:
    text = "A page with words of its own, more than a stamp on a scan would have."
    hurried = ExtractionLimits(seconds=120, ocr_seconds=0)
    extraction = read(tmp_path, scanned(text, drawn(WORDS)), limits=hurried)
    assert extraction.text.strip() == text
    assert extraction.warnings == (
        "The pages of this PDF are pictures, and reading all of them would take too long. "
        "Pages 2 to 2 were not all read.",
    )
    with pytest.raises(NoTextFoundError, match="too long"):
        read(tmp_path, scanned(drawn(WORDS)), limits=hurried)


@pytest.mark.usefixtures("no_ocr")
@pytest.mark.parametrize("file", ["scanned.pdf", "picture.png"])
def test_without_ocr_it_says_how_to_have_it_and_can_be_tried_again(file: str) -> None:
    with pytest.raises(NoTextFoundError, match=r"No text was found.*install tesseract") as caught:
        extract_file(FILES / file, mime=sniff(FILES / file), limits=LIMITS)
    assert caught.value.retryable


@needs_ocr
@pytest.mark.parametrize("file", ["scanned.pdf", "picture.png"])
def test_and_once_it_is_there_it_is_read(file: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(tmp_path))
        with pytest.raises(NoTextFoundError):
            extract_file(FILES / file, mime=sniff(FILES / file), limits=LIMITS)
    assert "picture" in extract_file(FILES / file, mime=sniff(FILES / file), limits=LIMITS).text


@pytest.mark.usefixtures("no_ocr")
def test_without_ocr_pages_with_text_are_read_and_the_others_counted(tmp_path: Path) -> None:
    extraction = read(tmp_path, scanned("Words on the first page.", drawn(WORDS), drawn(WORDS)))
    assert extraction.text.strip() == "Words on the first page."
    assert len(extraction.pages) == 3
    assert [warning.partition(":")[0] for warning in extraction.warnings] == ["2 pages are pictures and were not read"]


@needs_ocr
def test_languages_that_are_not_there_are_not_asked_for() -> None:
    data = ocr.OcrData(languages=("deu", "eng", "swe"), orientation=True, folder="")
    assert ocr.chosen(data, "") == ("eng", "deu", "swe")
    assert ocr.chosen(data, "swe+xxx") == ("swe",)
    assert ocr.chosen(data, "xxx") == ("eng", "deu", "swe")


@needs_ocr
def test_a_damaged_picture_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(CorruptFileError, match="picture"):
        read(tmp_path, b"\x89PNG\r\n\x1a\n" + b"nonsense" * 20)


@needs_ocr
@pytest.mark.django_db(transaction=True)
def test_a_document_that_failed_for_want_of_ocr_is_read_once_it_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = factories.store(owner=factories.user())
    document = put_file(store, "scanned.pdf")
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(tmp_path))
        work()
    document.refresh_from_db()
    assert (document.state, document.error_code, document.error_retryable) == ("failed", "no_text_found", True)
    assert "install tesseract" in document.error_message
    assert store.owner
    services.retry_document(user=store.owner, document_id=document.pk)
    work()
    assert_whole(document)
    assert document.revision
    assert "picture" in document.revision.text


class TestAdministrators:
    """They read in the admin what is read."""

    @pytest.mark.django_db
    def test_languages(
        self, boss: User, client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings
    ) -> None:
        program = tmp_path / "tesseract"
        program.write_text(LISTING)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        documents = reverse("admin:retrieval_document_changelist")
        assert "read by OCR, in: eng, deu." in client.get(documents).content.decode()
        settings.OCR_LANGUAGES = "deu"
        assert "read by OCR, in: deu." in client.get(documents).content.decode()

    @pytest.mark.django_db
    def test_none(self, boss: User, client: Client, no_ocr: None) -> None:
        page = client.get(reverse("admin:retrieval_document_changelist")).content.decode()
        assert "no OCR is installed" in page
