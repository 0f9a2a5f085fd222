"""`manage.py ingest PATH --store NAME`: put a file, or every file below a folder, into a vector store."""

import time
import uuid
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import ParleyError
from core.models import User
from core.models.grants import Role
from retrieval import services
from retrieval.models import Document, VectorStore

# Seconds between two looks at what workers have done.
_LOOK_EVERY = 0.5


class Command(BaseCommand):
    help = "Upload a file, or every file below a folder, into a vector store. Workers do the rest."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path)
        parser.add_argument("--store", required=True, help="The store's name; it is made where there is none.")
        parser.add_argument("--user", default="", help="Whose e-mail address; the first administrator's if not given.")
        parser.add_argument(
            "--wait",
            type=float,
            default=0,
            metavar="SECONDS",
            help="Stay until every file is ready or has failed, at most so long, and say what became of each.",
        )

    def handle(self, *, path: Path, store: str, user: str, wait: float, **_options: Any) -> None:
        if not path.exists():
            raise CommandError(f"There is nothing at {path}.")
        uploader = _person(user)
        into = _store(uploader, store)
        taken: dict[uuid.UUID, Path] = {}
        refused = 0
        for file in _files(path):
            try:
                with file.open("rb") as content:
                    below = str(file.relative_to(path)) if file != path else ""
                    result = services.upload(user=uploader, store=into, name=file.name, content=content, path=below)
                taken[result.document.pk] = file
                outcome = "queued" if result.created else f"already there as {result.document.name}"
            except (ParleyError, OSError) as error:
                refused += 1
                outcome = f"refused: {error}"
            self.stdout.write(f"{file}: {outcome}")
        failed = self._watch(taken, wait) if wait else 0
        if refused or failed:
            raise CommandError(", ".join(said for said in (_some(refused, "refused"), _some(failed, "failed")) if said))

    def _watch(self, taken: dict[uuid.UUID, Path], seconds: float) -> int:
        """Say what becomes of each file as it comes; return how many failed. Raises CommandError when time is up."""
        left, failed = dict(taken), 0
        deadline = time.monotonic() + seconds
        while left:
            known = {one.pk: one for one in Document.objects.live().filter(pk__in=list(left))}
            for key, file in list(left.items()):
                document = known.get(key)
                if document is not None and not document.is_final:
                    continue
                del left[key]
                failed += document is None or document.state == Document.State.FAILED
                self.stdout.write(f"{file}: {_became(document)}")
            if left and time.monotonic() > deadline:
                raise CommandError(f"{len(left)} are still being worked on. Workers go on with them.")
            time.sleep(_LOOK_EVERY if left else 0)
        return failed


def _became(document: Document | None) -> str:
    if document is None:
        return "deleted meanwhile"
    if document.state == Document.State.FAILED:
        return f"failed: {document.error_message}"
    return f"ready, {document.chunk_count} chunk{'' if document.chunk_count == 1 else 's'}"


def _some(number: int, what: str) -> str:
    return f"{number} {what}" if number else ""


def _person(email: str) -> User:
    people = User.objects.filter(is_active=True)
    chosen = people.filter(email__iexact=email) if email else people.filter(is_superuser=True).order_by("date_joined")
    person = chosen.first()
    if person is None:
        raise CommandError(f"There is no active user {email}." if email else "There is no administrator yet.")
    return person


def _store(user: User, name: str) -> VectorStore:
    """The store of that name that the user may change, preferably their own."""
    named = VectorStore.objects.visible_to(user, Role.EDITOR).filter(name=name, kind=VectorStore.Kind.LIBRARY)
    found = list(named)
    own = [store for store in found if store.owner_id == user.pk]
    if len(own or found) > 1:
        raise CommandError(f"There are several vector stores named {name}.")
    return (own or found or [services.create_store(user=user, name=name)])[0]


def _files(path: Path) -> Iterator[Path]:
    """The file itself, or the files below a folder in order; hidden ones and links are left out."""
    if path.is_file():
        yield path
        return
    for below in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in below.relative_to(path).parts)
        if below.is_file() and not below.is_symlink() and not hidden:
            yield below
