"""A web process that is killed in the middle of an upload: what was acknowledged is there, and the upload goes on."""

import base64
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

import retrieval.tasks  # noqa: F401  (registers the handlers, as a worker does)
from core import outbox
from core.models import User, Work
from retrieval.models import Document, Upload, VectorStore
from retrieval.services import resumable
from tests import backends, factories
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parents[2]
PART = 256 * 1024
CONTENT = b"".join(b"%07d tide tables of Korsund\n" % number for number in range(40_000))
TOKEN = "a" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the web process keeps files; this process looks into it only by way of the rows."""
    return tmp_path


class Web:
    """A web process of its own that can be killed and started again."""

    def __init__(self, folder: Path, person: User) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._environment = {
            **os.environ,
            "DATABASE_URL": backends.database_url(),
            "DATA_DIR": str(folder),
            "STATIC_ROOT": str(settings.STATIC_ROOT),
            "PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "UPLOAD_PART_BYTES": str(PART),
            backends.NAME: "web",
        }
        self._cookie = f"{settings.SESSION_COOKIE_NAME}={factories.session_of(person)}; csrftoken={TOKEN}"
        self.process = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.serving", "--port", str(self.port)], cwd=ROOT, env=self._environment
        )
        wait_until(self._answers)
        return self.process

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        backends.await_end(backends.database_url(), {"web"})

    def _answers(self) -> bool:
        assert self.process.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(self, method: str, at: str, body: bytes = b"", **headers: str) -> Any:
        """The answer, with its body read."""
        asking = HTTPConnection("127.0.0.1", self.port, timeout=120)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"Tus-Resumable": "1.0.0", "Cookie": self._cookie, "X-CSRFToken": TOKEN, **named}
        asking.request(method, at, body, given)
        answer = asking.getresponse()
        answer.read()
        asking.close()
        return answer

    def offset(self, at: str) -> int:
        return int(self.ask("HEAD", at).headers["Upload-Offset"])

    def patch(self, at: str, offset: int, size: int = PART) -> Any:
        kind = "application/offset+octet-stream"
        part = CONTENT[offset : offset + size]
        return self.ask("PATCH", at, part, Upload_Offset=str(offset), Content_Type=kind)

    def begin(self, store: VectorStore) -> str:
        named = f"filename {base64.b64encode(b'tides.txt').decode()}"
        at = f"/library/{store.pk}/uploads/"
        answer = self.ask("POST", at, Upload_Length=str(len(CONTENT)), Upload_Metadata=named)
        assert answer.status == HTTPStatus.CREATED
        return str(answer.headers["Location"])

    def go_on(self, at: str) -> None:
        """Send what is missing, from where the server says."""
        while (offset := self.offset(at)) < len(CONTENT):
            assert self.patch(at, offset).status == HTTPStatus.NO_CONTENT


@contextmanager
def running(folder: Path, person: User) -> Iterator[Web]:
    web = Web(folder, person)
    try:
        yield web
    finally:
        web.kill()


def it_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND application_name = 'web' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


def killed_while(web: Web, locked: Callable[[], object], request: Callable[[], object]) -> None:
    """Kill the process while `request` waits for rows that `locked` has locked."""
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            request()
        except (OSError, HTTPException) as error:
            failed.append(error)

    asking = threading.Thread(target=ask)
    with transaction.atomic():
        locked()
        asking.start()
        wait_until(it_waits_for_a_lock)
        web.process.send_signal(signal.SIGKILL)
        web.process.wait(10)
    asking.join(30)
    assert failed, "the request got an answer: the process was killed too late"
    backends.await_end(backends.database_url(), {"web"})


def no_new_files() -> None:
    """Make whoever adds a file wait until the end of this transaction."""
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE retrieval_file IN SHARE MODE")


def assert_whole(folder: Path) -> None:
    """One document of exactly these bytes, one file, and nothing else in the storage."""
    document = Document.objects.select_related("file").get()
    kept = [path for path in (folder / "files").rglob("*") if path.is_file()]
    assert kept == [folder / "files" / document.file.storage_name]
    assert hashlib.sha256(kept[0].read_bytes()).digest() == hashlib.sha256(CONTENT).digest()
    assert Upload.objects.get().state == "done"


@pytest.fixture
def store() -> VectorStore:
    return factories.store(owner=factories.user())


def test_killed_between_the_bytes_and_the_row(folder: Path, store: VectorStore) -> None:
    assert store.owner
    with running(folder, store.owner) as web:
        at = web.begin(store)
        for offset in (0, PART):
            assert web.patch(at, offset).status == HTTPStatus.NO_CONTENT
        killed_while(web, lambda: list(Upload.objects.select_for_update()), lambda: web.patch(at, 2 * PART))
        parts = [path for path in (folder / "files" / "uploads").rglob("*") if path.is_file()]
        assert len(parts) == 3, "its bytes were stored"
        web.start()
        assert web.offset(at) == 2 * PART, "and do not count"
        web.go_on(at)
        assert_whole(folder)


def test_killed_in_the_middle_of_a_part(folder: Path, store: VectorStore) -> None:
    assert store.owner
    with running(folder, store.owner) as web:
        at = web.begin(store)
        assert web.patch(at, 0).status == HTTPStatus.NO_CONTENT
        half = HTTPConnection("127.0.0.1", web.port, timeout=60)
        half.putrequest("PATCH", at)
        half.putheader("Content-Length", str(PART))
        half.endheaders(CONTENT[PART : PART + PART // 2])
        web.kill()
        half.close()
        web.start()
        assert web.offset(at) == PART
        web.go_on(at)
        assert_whole(folder)


def test_killed_before_the_document_is_made(folder: Path, store: VectorStore) -> None:
    """All bytes are acknowledged by then: nobody needs to come back for the document to be made."""
    assert store.owner
    last = len(CONTENT) - len(CONTENT) % PART
    with running(folder, store.owner) as web:
        at = web.begin(store)
        for offset in range(0, last, PART):
            web.patch(at, offset)
        killed_while(web, no_new_files, lambda: web.patch(at, last))
        assert Upload.objects.get().state == "received"
        assert not Document.objects.exists()
        web.start()
        told = web.ask("GET", at)
        assert told.status == HTTPStatus.OK
        files = [path for path in (folder / "files").rglob("*") if path.is_file()]
        document = Document.objects.select_related("file").get()
        assert Upload.objects.get().state == "done"
        assert folder / "files" / document.file.storage_name in files
        assert hashlib.sha256(CONTENT).hexdigest() == document.sha256


def test_a_worker_makes_the_document_when_nobody_comes_back(folder: Path, store: VectorStore, settings: Any) -> None:
    assert store.owner
    last = len(CONTENT) - len(CONTENT) % PART
    with running(folder, store.owner) as web:
        at = web.begin(store)
        for offset in range(0, last, PART):
            web.patch(at, offset)
        killed_while(web, no_new_files, lambda: web.patch(at, last))
        location = {"location": str(folder / "files"), "base_url": None}
        settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": location}}
        Work.objects.filter(kind=resumable.FINISH).update(run_after=timezone.now())
        assert outbox.run_one()
        assert Upload.objects.get().state == "done"
        assert Document.objects.get().sha256 == hashlib.sha256(CONTENT).hexdigest()
