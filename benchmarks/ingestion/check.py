"""Looks whether everything is found: `python -m ... STORE`, with the settings of the benchmark's own servers.

Asks Parley's own search for every invented code of the corpus. Output is JSON: how many were asked for, how many were
found in the right file (and on the right page where there are pages), and how many chunks and vectors there are.
"""

import os
import sys

import django
import orjson

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from benchmarks.ingestion.corpus import BOOKS, PAGES, SECTIONS, TEXTS, code  # noqa: E402 - needs the setup
from retrieval.models import Chunk, ChunkEmbedding, VectorStore  # noqa: E402
from retrieval.search import Passage, Query, retrieve_now  # noqa: E402


def main() -> None:
    scope = VectorStore.objects.filter(pk=sys.argv[1])
    wanted = [
        (code("text", file, part), f"document-{file:02d}", None) for file in range(TEXTS) for part in range(SECTIONS)
    ]
    wanted += [(code("book", file, part), f"book-{file}", part + 1) for file in range(BOOKS) for part in range(PAGES)]
    found = 0
    chunks = Chunk.objects.filter(store__in=scope).count()
    vectors = ChunkEmbedding.objects.filter(store__in=scope).count()
    for word, name, page in wanted:
        passages = retrieve_now(Query(dense=(), lexical=word), scope=scope, limit=1)
        found += bool(
            passages
            and word in passages[0].text
            and passages[0].document_name.startswith(name)
            and (page is None or page in _pages(passages[0]))
        )
    print(orjson.dumps({"asked": len(wanted), "found": found, "chunks": chunks, "vectors": vectors}).decode())


def _pages(passage: Passage) -> range:
    return range(passage.page_start or 0, (passage.page_end or 0) + 1)


if __name__ == "__main__":
    main()
