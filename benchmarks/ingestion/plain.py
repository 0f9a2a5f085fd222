"""The plain script: files to text to chunks to vectors to one table with both indexes, in one process.

`python -m ... FOLDER UPSTREAM_PORT`, with the database in DATABASE_URL. It isolates nothing, keeps no state and knows
no users: what the libraries themselves cost. Prints its figures as JSON.
"""

import asyncio
import base64
import json
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import aiohttp
import numpy as np
import orjson
import psycopg
import pypdfium2
from numpy.typing import NDArray
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from semantic_text_splitter import MarkdownSplitter, TextSplitter

from benchmarks.ingestion.upstream import DIMENSIONS
from core.tokens import count_tokens

BATCH, CONCURRENCY = 256, 4
# the sizes that a new vector store has
TOKENS, OVERLAP = 240, 28

Vector = NDArray[np.float32]


def text_of(path: Path) -> str:
    if path.suffix != ".pdf":
        return path.read_text(encoding="utf-8")
    document = pypdfium2.PdfDocument(path)
    pages = []
    for number in range(len(document)):
        page = document[number]
        textpage = page.get_textpage()
        pages.append(textpage.get_text_bounded())
        textpage.close()
        page.close()
    document.close()
    return "\n\n".join(pages)


def chunks_of(texts: Sequence[tuple[Path, str]]) -> Iterator[tuple[str, int, str]]:
    markdown = MarkdownSplitter.from_callback(count_tokens, TOKENS, OVERLAP)
    plain = TextSplitter.from_callback(count_tokens, TOKENS, OVERLAP)
    for path, text in texts:
        splitter = markdown if path.suffix == ".md" else plain
        for position, chunk in enumerate(splitter.chunks(text)):
            yield path.name, position, chunk


async def embed(texts: Sequence[str], url: str) -> list[Vector]:
    limit = asyncio.Semaphore(CONCURRENCY)

    async def one(session: aiohttp.ClientSession, start: int) -> list[Vector]:
        asked = {"model": "any", "input": texts[start : start + BATCH], "encoding_format": "base64"}
        async with limit, session.post(url, data=orjson.dumps(asked)) as answer:
            rows = orjson.loads(await answer.read())["data"]
        return [np.frombuffer(base64.b64decode(row["embedding"]), np.float32) for row in rows]

    async with aiohttp.ClientSession() as session:
        parts = await asyncio.gather(*(one(session, start) for start in range(0, len(texts), BATCH)))
    return [vector for part in parts for vector in part]


def prepare(database: "psycopg.Connection[tuple[object, ...]]") -> None:
    database.execute("DROP SCHEMA IF EXISTS plain CASCADE")
    database.execute("CREATE SCHEMA plain")
    database.execute(
        "CREATE TABLE plain.chunk (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, file text, position int,"
        " body text, words tsvector GENERATED ALWAYS AS (to_tsvector('simple', body)) STORED,"
        f" embedding halfvec({DIMENSIONS}))"
    )
    database.execute("CREATE INDEX ON plain.chunk USING hnsw (embedding halfvec_cosine_ops)")
    database.execute("CREATE INDEX ON plain.chunk USING gin (words)")


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as database:
        prepare(database)
        register_vector(database)
        count_tokens("loads the tokenizer")
        begun = [time.perf_counter()]
        texts = [(path, text_of(path)) for path in sorted(folder.iterdir())]
        begun.append(time.perf_counter())
        rows = list(chunks_of(texts))
        begun.append(time.perf_counter())
        vectors = asyncio.run(
            embed([body for _file, _position, body in rows], f"http://127.0.0.1:{port}/v1/embeddings")
        )
        begun.append(time.perf_counter())
        copying = "COPY plain.chunk (file, position, body, embedding) FROM STDIN (FORMAT BINARY)"
        with database.cursor().copy(copying) as copy:
            copy.set_types(["text", "int4", "text", "halfvec"])
            for row, vector in zip(rows, vectors, strict=True):
                copy.write_row((*row, HalfVector(vector)))
        begun.append(time.perf_counter())
    used = resource.getrusage(resource.RUSAGE_SELF)
    stages = dict(zip(("extract", "split", "embed", "copy"), np.diff(begun).round(3).tolist(), strict=True))
    print(
        json.dumps(
            {
                "seconds": round(begun[-1] - begun[0], 2),
                "stages": stages,
                "chunks": len(rows),
                "cpu_s": round(used.ru_utime + used.ru_stime, 2),
                "rss_mb": used.ru_maxrss // 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
