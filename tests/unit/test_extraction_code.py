"""Source code: as it is, and what it defines as headings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.chunking import chunk
from retrieval.extraction import Extraction, code, kinds, languages
from retrieval.extraction.builder import Bounds

BOUNDS = Bounds(max_chars=1_000_000, max_pages=1)
PYTHON = "text/x-source-python"


def read(text: str, mime: str = PYTHON) -> Extraction:
    return code.read(text.encode(), mime=mime, bounds=BOUNDS)


LEDGER = '''"""Tiny ledger."""
import os


# A ledger is a list of rows.
@dataclass
class Ledger(Base):
    """class of all: a docstring"""

    async def post(self, account, amount):
        def inner(): pass
        return inner

    def balance(self): ...

def main():
    class_ = 1
'''
JAVA = """package a.b;
/**
 * What it is.
 */
public class Foo<T> extends Bar {
    @Override
    public <R> List<R> map(Function<T, R> f) throws IOException {
        for (int i = 0; i < 3; i++) {
            foo(i);
        }
        return null;
    }
    Foo(int x)
    {
    }
}
"""
GO = (
    "package main\n"
    "// Server serves.\n"
    "type Server struct {\n"
    "}\n"
    "func (s *Server) Run(c context.Context) error {\n"
    "\tgo func() {\n"
    "\t}()\n"
    "}\n"
)
RUST = (
    "#[derive(Debug)]\n"
    "pub struct P { x: f32 }\n"
    "impl<T> Display for P {\n"
    "    pub async fn go(&self) {\n"
    "        match x {\n"
    "        }\n"
    "    }\n"
    "}\n"
)
SCRIPT = (
    "export const handler = async (event: E): Promise<R> => {\n"
    "  if (a) {\n"
    "  }\n"
    "}\n"
    "export default class Foo {\n"
    "  async bar<T>(x: T) {\n"
    "    while (true) {\n"
    "    }\n"
    "  }\n"
    "}\n"
    "type Y = { b: number }\n"
    "it('works', () => {\n"
    "})\n"
)
C = "static int\nadd(int a, int b)\n{\n    return a;\n}\nvoid Foo::bar() const {\n}\nstruct foo {\n  int a;\n};\n"
SQL = "CREATE TABLE users (\n id int\n);\ncreate or replace function total(a int) returns int as $$\n"


@pytest.mark.parametrize(
    ("text", "mime", "found"),
    [
        (LEDGER, PYTHON, [(1, "Ledger"), (2, "post"), (2, "balance"), (1, "main")]),
        (JAVA, "text/x-source-java", [(1, "Foo"), (2, "map"), (2, "Foo")]),
        (GO, "text/x-source-go", [(1, "Server"), (1, "Run")]),
        (RUST, "text/x-source-rust", [(1, "P"), (1, "Display"), (2, "go")]),
        (SCRIPT, "text/x-source-typescript", [(1, "handler"), (1, "Foo"), (2, "bar"), (1, "Y")]),
        (C, "text/x-source-c", [(1, "add"), (1, "bar"), (1, "foo")]),
        (SQL, "text/x-source-sql", [(1, "users"), (1, "total")]),
        ("greet() {\n  echo hi\n}\nfunction bye {\n  :\n}\n", "text/x-source-shell", [(1, "greet"), (1, "bye")]),
        ("\\section{Tides}\ntext\n\\subsection*{Neap}\n", "text/x-source-tex", [(1, "Tides"), (1, "Neap")]),
        ("class: a\nfn: b\n", "text/x-source-yaml", []),
    ],
)
def test_definitions(text: str, mime: str, found: list[tuple[int, str]]) -> None:
    extraction = read(text, mime)
    assert extraction.text == text
    assert [(heading.level, heading.title) for heading in extraction.headings] == found


def test_comments_and_decorators_belong_to_what_follows() -> None:
    first = read(LEDGER).headings[0]
    assert LEDGER[first.offset :].startswith("# A ledger is")


def test_a_chunk_begins_where_a_function_does_and_says_of_what_it_is_part() -> None:
    body = "        total = total + self.rows[0] * 2  # the first row counts twice\n" * 8
    source = "class Ledger:\n" + "".join(f"    def step_{n}(self, total):\n{body}\n" for n in range(8))
    pieces = chunk(read(source), title="app.py")
    wholes = [piece for piece in pieces if piece.text.strip().count("def step_") == 1]
    assert len(wholes) == 8
    for number, piece in enumerate(wholes):
        assert piece.text.count("counts twice") == 8
        assert f"Ledger › step_{number}" in piece.header or number == 0


def test_every_language_has_a_kind_a_label_and_the_reader() -> None:
    assert len(languages.BY_MIME) > 40
    for mime, language in languages.BY_MIME.items():
        assert kinds.LABELS[mime] == f"{language.name} source"
        assert kinds.READERS[mime] == code.__name__


@given(st.text(alphabet="def class(){}\n\t :=#@/é漢.x", max_size=300))
def test_any_text_has_definitions_in_order_and_within(text: str) -> None:
    found = list(code.definitions(text))
    offsets = [offset for offset, _, _ in found]
    assert offsets == sorted(offsets)
    assert all(0 <= offset < len(text) for offset in offsets)
    assert all(level >= 1 and name for _, level, name in found)


@pytest.mark.parametrize(
    "line", ["a" * 299, "(" * 299, "x<" * 149, "public " * 42, "f(a" * 99, "def f" * 59, "type x<" * 42]
)
def test_hostile_lines_take_linear_time(line: str) -> None:
    # a pattern that went back and forth would not end here at all
    assert len(list(code.definitions(f"{line}\n" * 2_000))) <= 2_000
