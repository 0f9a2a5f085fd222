"""Puts files into a store as a browser does, some at a time, and waits until all of them have come to an end."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import psycopg

_CSRF = "0123456789abcdef0123456789abcdef"
_AT_ONCE = 4
_LOOK = 0.02
_LIVE = "FROM retrieval_document WHERE store_id = %s AND life = 'live'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who uploads, and where: the address of Parley, the cookies by name."""

    url: str
    cookies: dict[str, str]

    @classmethod
    def signed_in(cls, url: str, *, session: tuple[str, str], csrf_cookie: str) -> "Person":
        name, key = session
        return cls(url=url, cookies={name: key, csrf_cookie: _CSRF})


async def upload(person: Person, store: str, files: Mapping[str, bytes]) -> float:
    """Upload all of them, contents by name; returns the seconds it took. Raises SystemExit where one is refused."""
    limit = asyncio.Semaphore(_AT_ONCE)
    headers = {"X-CSRFToken": _CSRF, "Accept": "application/json", "Referer": person.url}

    async def one(session: aiohttp.ClientSession, name: str, content: bytes) -> None:
        async with limit:
            form = aiohttp.FormData()
            form.add_field("file", content, filename=name)
            async with session.post(f"{person.url}/library/{store}/files/", data=form, headers=headers) as answer:
                if answer.status not in {200, 201}:
                    raise SystemExit(f"{name} was refused: {answer.status} {(await answer.text())[:300]}")

    begun = time.monotonic()
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookies=person.cookies, cookie_jar=jar) as session:
        await asyncio.gather(*(one(session, *file) for file in files.items()))
    return time.monotonic() - begun


def await_end(database: str, store: str, count: int, *, seconds: float) -> dict[str, int]:
    """Wait until `count` documents of the store are final; returns how many are in which state."""
    deadline = time.monotonic() + seconds
    with psycopg.connect(database, autocommit=True) as looking:
        while time.monotonic() < deadline:
            # one cheap look: whoever measures must not be what is measured
            (ended,) = looking.execute(
                f"SELECT count(*) {_LIVE} AND state IN ('ready', 'failed')", [store]
            ).fetchone() or (0,)
            if ended >= count:
                break
            time.sleep(_LOOK)
        rows = looking.execute(f"SELECT state, count(*) {_LIVE} GROUP BY state", [store]).fetchall()
    return {str(state): int(number) for state, number in rows}


def counts(database: str, store: str) -> dict[str, int]:
    """Documents, pages and chunks of the store."""
    with psycopg.connect(database, autocommit=True) as looking:
        row = looking.execute(f"SELECT count(*), sum(page_count), sum(chunk_count) {_LIVE}", [store]).fetchone()
    assert row is not None
    return dict(zip(("files", "pages", "chunks"), map(int, row), strict=True))
