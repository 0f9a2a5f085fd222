"""How far archives are, and what became of the files in them."""

import uuid
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from core.models import User
from retrieval.models import Archive, ArchiveEntry, VectorStore

State = ArchiveEntry.State


@dataclass(frozen=True, slots=True)
class ArchiveView:
    """An archive as a line of the page: `label` is how far it is, `message` has a line for each file not added."""

    id: uuid.UUID
    state: str
    label: str
    message: str
    retryable: bool = False


def archive_views(user: User, store: VectorStore, ids: Collection[uuid.UUID]) -> list[ArchiveView]:
    """Return the archives of these ids that `user` has put into the store."""
    archives = Archive.objects.filter(owner=user, store=store, pk__in=ids).prefetch_related("entries__document")
    return [_view(archive) for archive in archives]


def _view(archive: Archive) -> ArchiveView:
    entries = list(archive.entries.all())
    counts = Counter(entry.state for entry in entries)
    if archive.state == Archive.State.FAILED:
        return ArchiveView(archive.pk, "failed", archive.get_state_display(), archive.error_message)
    if archive.state != Archive.State.DONE:
        done = len(entries) - counts[State.WAITING]
        far = f" ({done} of {len(entries)})" if entries else ""
        return ArchiveView(archive.pk, archive.state, archive.get_state_display() + far, "")
    told = {"added": counts[State.ADDED], "there already": counts[State.DUPLICATE], "refused": counts[State.REFUSED]}
    parts = [f"{number} {what}" for what, number in told.items() if number or what == "added"]
    if archive.hidden:
        parts.append(f"{archive.hidden} hidden ones left out")
    lines = [_line(entry) for entry in entries if entry.state in {State.DUPLICATE, State.REFUSED}]
    return ArchiveView(archive.pk, "ready", ", ".join(parts), "\n".join(lines))


def _line(entry: ArchiveEntry) -> str:
    if entry.state == State.DUPLICATE:
        return f"{entry.name}: in the store already" + (f", as “{entry.document.name}”" if entry.document else "")
    return f"{entry.name}: {entry.error_message}"
