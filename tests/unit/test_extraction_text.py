"""Encodings, clean text, languages, and the bookkeeping of offsets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.errors import NoTextFoundError, TooLargeError
from retrieval.extraction.builder import Bounds, TextBuilder, clean
from retrieval.extraction.encoding import decode
from retrieval.extraction.language import detect_language

BOUNDS = Bounds(max_chars=100_000, max_pages=100)

SENTENCES = {
    "en": "The keeper of the light walks to the tower in the evening, and it is lit when the sun has gone down.",
    "de": "Der Wärter geht am Abend zum Turm, und das Licht wird gezündet, wenn die Sonne nicht mehr auf See ist.",
    "fr": "Le gardien du phare monte dans la tour le soir et la lampe brille quand le soleil est dans la mer.",
    "es": "El guardián del faro sube a la torre por la tarde y la luz se enciende cuando el sol se pone en el mar.",
    "sv": "Fyrvaktaren går till tornet på kvällen och ljuset tänds när solen har gått ner i havet och det är mörkt.",
    "ru": "Смотритель поднимается на башню вечером, и свет горит, когда солнце за морем, но не так рано, как она.",
    "ja": "灯台守は夕方に塔へ登り、日が沈むと明かりを灯します。",
    "zh": "灯塔看守人傍晚登上塔楼，太阳落山后点亮灯光。",
    "ko": "등대지기는 저녁에 탑에 올라가 해가 지면 불을 켭니다.",
    "el": "Ο φύλακας του φάρου ανεβαίνει στον πύργο το βράδυ.",
}


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Grüße – 25 €", "utf-8"),
        ("Grüße – 25 €", "utf-8-sig"),
        ("Grüße – 25 €", "utf-16"),
        ("Grüße – 25 €", "utf-32"),
        ("Grüße – 25 €", "windows-1252"),
        (SENTENCES["en"], "utf-16-le"),
        (SENTENCES["en"], "utf-16-be"),
        (SENTENCES["ru"] * 3, "koi8-r"),
        (SENTENCES["ru"] * 3, "windows-1251"),
        (SENTENCES["ja"] * 3, "shift_jis"),
        (SENTENCES["ja"] * 3, "euc-jp"),
        (SENTENCES["ja"] * 3, "iso2022_jp"),
        (SENTENCES["zh"] * 3, "gb18030"),
        (SENTENCES["ko"] * 3, "euc-kr"),
        ("plain words with a stray \0 in them", "ascii"),
    ],
)
def test_any_encoding(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding))[0] == text


def test_a_declared_encoding_is_believed_where_utf8_does_not_fit() -> None:
    page = '<meta charset="iso-8859-2"><p>Łódź</p>'
    assert decode(page.encode("iso-8859-2"), declared=True)[0] == page
    assert decode(page.encode(), declared=True) == (page, "utf-8")


def test_a_declared_encoding_that_does_not_exist() -> None:
    text, _ = decode(b'<meta charset="rot13"><p>caf\xe9</p>', declared=True)
    assert "café" in text


@given(st.binary(max_size=300))
def test_any_bytes_become_text_that_can_be_stored(data: bytes) -> None:
    text = clean(decode(data)[0])
    text.encode()
    assert "\0" not in text
    assert "\r" not in text


@given(st.text())
def test_clean_text_can_be_stored(text: str) -> None:
    cleaned = clean(text + "\ud800\r\n\0")
    cleaned.encode()
    assert not set("\0\r\ud800") & set(cleaned)
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize("code", SENTENCES)
def test_languages(code: str) -> None:
    assert detect_language(SENTENCES[code]) == code


@pytest.mark.parametrize("text", ["", "OK", "4711 0815", "BR-129 BR-130 BR-131", "x = y\nz = x + 1\n" * 10])
def test_no_language_rather_than_a_guess(text: str) -> None:
    assert detect_language(text) == ""


@given(
    st.lists(st.lists(st.tuples(st.booleans(), st.text(alphabet="ab \r\n\0é漢🙂", max_size=8)), max_size=4), max_size=6)
)
def test_offsets_of_pages_and_headings(pages: list[list[tuple[bool, str]]]) -> None:
    builder = TextBuilder(BOUNDS)
    builder.block("start")
    for page in pages:
        builder.begin_page()
        for is_heading, text in page:
            if is_heading:
                builder.heading(2, text)
            else:
                offset = builder.block(text)
                assert builder.offset >= offset
        builder.end_page()
    extraction = builder.finish(mime="text/plain", extractor="test")
    assert len(extraction.pages) == len(pages)
    assert all(a[1] <= b[0] for a, b in zip(extraction.pages, extraction.pages[1:], strict=False))
    assert all(0 <= start <= end <= len(extraction.text) for start, end in extraction.pages)
    for (start, end), page in zip(extraction.pages, pages, strict=True):
        for is_heading, text in page:
            assert clean(text).strip() in extraction.text[start:end] or not is_heading
    for heading in extraction.headings:
        shown = " ".join(extraction.text[heading.offset :].split())
        assert shown.startswith(heading.title)


def test_too_much_text() -> None:
    builder = TextBuilder(Bounds(max_chars=10, max_pages=1))
    builder.block("ten chars.")
    with pytest.raises(TooLargeError, match="10 characters"):
        builder.block("x")


def test_nothing_but_white_space() -> None:
    builder = TextBuilder(BOUNDS)
    builder.block(" \n\t ")
    with pytest.raises(NoTextFoundError, match="pictures"):
        builder.finish(mime="text/plain", extractor="test", no_text="Only pictures.")
