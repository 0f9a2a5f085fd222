"""Names that people give are stored as one harmless line."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.services.names import MAX_LENGTH, clean_name


@given(st.text(max_size=600))
def test_any_text_becomes_a_clean_line(name: str) -> None:
    cleaned = clean_name(name)
    assert 0 < len(cleaned) <= MAX_LENGTH
    assert cleaned == cleaned.strip()
    assert not set(cleaned) & set("/\\")
    assert not {unicodedata.category(char) for char in cleaned} & {"Cc", "Cs", "Zl", "Zp"}
    assert not any(
        unicodedata.bidirectional(char) in {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"}
        for char in cleaned
    )
    assert clean_name(cleaned) == cleaned


@pytest.mark.parametrize(
    ("given_name", "stored"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\report.pdf", "report.pdf"),
        ("folder/", "folder"),
        ("inv\u202efdp.exe", "invfdp.exe"),
        ("a\0b\r\nc.txt", "a b c.txt"),
        ("  many   spaces .txt ", "many spaces .txt"),
        ("re\u0301sume\u0301.md", "résumé.md"),
        ("\u200b", "Unnamed"),
        ("..", "Unnamed"),
        ("", "Unnamed"),
        ("👩\u200d🔬.txt", "👩\u200d🔬.txt"),
        ("x" * 300 + ".pdf", "x" * 251 + ".pdf"),
    ],
)
def test_names(given_name: str, stored: str) -> None:
    assert clean_name(given_name) == stored
