"""How much a person may keep, and how much it is.

The quota of a person is their own row; else, figure by figure, the most generous of their groups' rows; else the row
for everyone; else the settings QUOTA_FILES, QUOTA_BYTES and QUOTA_TOKENS. A superuser without a row of their own has no
limit: they may change every row.

What counts belongs to who uploaded it, wherever it lies. Files and bytes count once per content; tokens count for each
document, since each is indexed for itself. What is being deleted does not count, nor do the tokens of what failed.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.template.defaultfilters import filesizeformat

from core.models import User
from retrieval.errors import QuotaExceededError
from retrieval.models import Document, File, Quota

_ASK = "An administrator can raise the limit."
_GONE = (Document.Life.DELETING, Document.Life.REPLACED)


@dataclass(frozen=True, slots=True)
class Limits:
    """The most of each figure; None is no limit."""

    files: int | None
    size: int | None
    tokens: int | None

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return (self.files, self.size, self.tokens) != (None, None, None)


@dataclass(frozen=True, slots=True)
class Meter:
    """One figure as a page shows it; `percent` and `limit` are None where there is no limit."""

    label: str
    used: str
    limit: str | None
    percent: int | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a person keeps: different files, their bytes, tokens of their documents' chunks."""

    files: int
    size: int
    tokens: int
    limits: Limits

    @property
    def meters(self) -> list[Meter]:
        return [
            _meter("Files", self.files, self.limits.files, f"{self.files:,}", f"{self.limits.files or 0:,}"),
            _meter(
                "Storage", self.size, self.limits.size, filesizeformat(self.size), filesizeformat(self.limits.size or 0)
            ),
            _meter("Tokens", self.tokens, self.limits.tokens, f"{self.tokens:,}", f"{self.limits.tokens or 0:,}"),
        ]


def _meter(label: str, used: int, limit: int | None, shown: str, shown_limit: str) -> Meter:
    if limit is None:
        return Meter(label, shown, None, None)
    return Meter(label, shown, shown_limit, min(100, 100 * used // limit) if limit else 100)


def limits(user: User) -> Limits:
    """The limits that hold for `user` now."""
    of_groups = Q(group__in=user.groups.order_by().values("pk"))
    rows = list(Quota.objects.filter(Q(user=user) | of_groups | Q(everyone=True)))
    if own := [row for row in rows if row.user_id == user.pk]:
        return _most_generous(own)
    if user.is_superuser:
        return Limits(None, None, None)
    if chosen := [row for row in rows if row.group_id is not None] or rows:
        return _most_generous(chosen)
    return Limits(settings.QUOTA_FILES or None, settings.QUOTA_BYTES or None, settings.QUOTA_TOKENS or None)


def _most_generous(rows: Sequence[Quota]) -> Limits:
    def most(figures: Sequence[int | None]) -> int | None:
        known = [figure for figure in figures if figure is not None]
        return max(known) if len(known) == len(figures) else None

    return Limits(
        most([row.files for row in rows]), most([row.size for row in rows]), most([row.tokens for row in rows])
    )


def usage(user: User) -> Usage:
    """What `user` keeps now, and may keep."""
    return _usage(user, limits(user))


def check(user: User, *, files: int = 0, size: int = 0, tokens: int = 0) -> None:
    """Raise QuotaExceededError where so much more is more than `user` may keep. `size` is in bytes.

    Says how it is now; only `admit` and `admit_tokens` hold others off until the transaction ends.
    """
    allowed = limits(user)
    if allowed.any:
        _refuse(_usage(user, allowed), files, size, tokens)


def admit(user: User, *, sha256: str, size: int, instead_of: Document | None = None) -> None:
    """Let no other upload of `user` pass until this transaction ends; raise QuotaExceededError where it is too much.

    Content that the person keeps already adds nothing; what takes the place of a document adds what it is larger by.
    """
    allowed = limits(user)
    if not allowed.any:
        return
    _hold(user.pk)
    if not _counted(user.pk).filter(sha256=sha256).exists():
        freed = _freed(user.pk, instead_of)
        _refuse(_usage(user, allowed), 0 if freed else 1, max(0, size - freed), 0)


def admit_tokens(document: Document, tokens: int) -> None:
    """Write the tokens of a document that is about to be indexed, in the caller's transaction.

    From then on they count. Raises QuotaExceededError where its uploader may not keep so many more.
    """
    user = document.uploaded_by
    if user is not None and (allowed := limits(user)).tokens is not None:
        _hold(user.pk)
        _refuse(_usage(user, allowed, besides=[document.pk, *filter(None, [document.replaces_id])]), 0, 0, tokens)
    Document.objects.filter(pk=document.pk).update(token_count=tokens)


def _hold(user: uuid.UUID) -> None:
    """One at a time adds to what a person keeps: two that both fit alone must not pass together."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"quota {user}"])


def _counted(user: uuid.UUID) -> QuerySet[File]:
    kept = Document.objects.filter(file=OuterRef("pk")).exclude(life__in=_GONE)
    return File.objects.filter(Exists(kept), owner=user)


def _freed(user: uuid.UUID, document: Document | None) -> int:
    """The bytes that the person keeps for this document alone."""
    if document is None:
        return 0
    others = Document.objects.filter(file=OuterRef("pk")).exclude(pk=document.pk).exclude(life__in=_GONE)
    files = File.objects.filter(~Exists(others), pk=document.file_id, owner=user)
    return files.values_list("size", flat=True).first() or 0


def _usage(user: User, allowed: Limits, *, besides: Sequence[uuid.UUID] = ()) -> Usage:
    files = _counted(user.pk).aggregate(number=Count("pk"), size=Sum("size"))
    documents = Document.objects.filter(uploaded_by=user)
    indexed = documents.exclude(life__in=_GONE).exclude(state=Document.State.FAILED).exclude(pk__in=besides)
    tokens = indexed.aggregate(tokens=Sum("token_count"))["tokens"]
    return Usage(files["number"], files["size"] or 0, tokens or 0, allowed)


def _refuse(now: Usage, files: int, size: int, tokens: int) -> None:
    most = now.limits
    if files and most.files is not None and now.files + files > most.files:
        raise QuotaExceededError(f"You keep {now.files:,} of the {most.files:,} files that you may keep. {_ASK}")
    if size and most.size is not None and now.size + size > most.size:
        raise QuotaExceededError(
            f"You use {filesizeformat(now.size)} of the {filesizeformat(most.size)} that your files may take; "
            f"this would be {filesizeformat(size)} more. {_ASK}"
        )
    if tokens and most.tokens is not None and now.tokens + tokens > most.tokens:
        raise QuotaExceededError(
            f"You use {now.tokens:,} of the {most.tokens:,} tokens that your documents may have; "
            f"this would be {tokens:,} more. {_ASK}"
        )
