"""Files that mean harm beside those of others, through a worker process: they fail alone, all others are ready."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.models import Work
from retrieval.models import Chunk, Document
from tests import backends, factories, hostile
from tests.documents import docx, paragraph, zipped
from tests.ingesting import assert_whole, put, put_file

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parents[2]
WORKER = """
import django; django.setup()
import retrieval.tasks
from core import outbox
while outbox.run_one(): pass
print("alive")
"""


def run_worker() -> str:
    """One process does all that is due, in the test's database."""
    environment = {**os.environ, "DATABASE_URL": backends.database_url(), "DJANGO_SETTINGS_MODULE": "config.settings"}
    ended = subprocess.run(
        [sys.executable, "-c", WORKER],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2_000:]
    return ended.stdout


def test_a_bad_file_between_good_ones_of_another_person() -> None:
    theirs, mine = factories.store(owner=factories.user()), factories.store(owner=factories.user())
    prologue, text = hostile.laughs()
    harmful = {
        "bomb.docx": (hostile.office_file("a.docx", "A" * 80_000_000), {"too_large"}),
        "laughs.odt": (hostile.office_file("a.odt", text, prologue), {"corrupt_file"}),
        "swelling.pdf": (hostile.swelling_pdf(), {"extraction_memory", "no_text_found", ""}),
        "many.pdf": (hostile.many_pages(10_001), {"too_many_pages"}),
        "circle.pdf": (hostile.cyclic_pdfs()["pages that hold themselves"], {"corrupt_file", "no_text_found", ""}),
        "parts.docx": (zipped({"word/document.xml": "<w:document"}), {"corrupt_file"}),
        "../../e\u202efdp.docx": (docx(paragraph("") * 3), {"no_text_found"}),
    }
    good: list[Document] = []
    bad: list[tuple[Document, set[str]]] = []
    for name, (content, codes) in harmful.items():
        good.append(put(mine, f"# Log of {len(good)}\n\nThe tide was high.".encode(), f"log-{len(good)}.md"))
        bad.append((put(theirs, content, name), codes))
    good.append(put_file(mine, "lighthouse.pdf"))
    assert run_worker().endswith("alive\n")
    for document in good:
        assert_whole(document)
    for document, codes in bad:
        document.refresh_from_db()
        assert document.state in {"ready", "failed"}
        assert document.error_code in codes, document.name
        assert document.state == "ready" or document.error_message.endswith(".")
    assert not Chunk.objects.filter(document__state="failed").exists()
    assert not Work.objects.exists()
