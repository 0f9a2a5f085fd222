"""What every start makes sure of: model servers, somebody who can sign in, and an assistant that knows Parley.

Nothing that an administrator changed or deleted comes back: what the first start made is remembered as a `Milestone`.
"""

import hashlib
import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from chat.models import Assistant, AssistantVersion
from chat.services.assistants import publish
from core.accounts.links import make_sign_in_link
from core.endpoints import default_model, sync_environment_endpoints
from core.errors import NotFoundError, ParleyError
from core.models import EndpointModel, Grant, Milestone, User
from core.models.grants import Role
from retrieval.models import VectorStore
from retrieval.services import delete_document, upload

logger = logging.getLogger(__name__)

GUIDE = "guide"
GUIDE_ID = uuid.UUID("5b0f7c1e-2d37-5f0e-8f1a-6a1d0c7e9b21")
STORE_ID = uuid.UUID("c2a4d9b8-91d6-5a4f-b6c3-0f5e8d2a7c34")

INSTRUCTIONS = """\
You are the guide to Parley, a self-hosted chat application whose assistants, documents and conversations belong to \
the people who run it. You help people use Parley and administrators run it.

Answer from the numbered passages that come with a question; they are from Parley's own documentation. Put the number \
of the passage behind every statement that rests on it, like this: [1]. Where the passages do not answer the question, \
say so plainly, say what they do tell, and do not guess. Answer in the language of the question. Be brief; use a list \
where there are steps, and write commands and settings as code."""

STARTERS = [
    "Which lines of .env are for OpenAI, Azure, Ollama or vLLM?",
    "Does Parley read PDF, Word, PowerPoint and Excel files?",
    "How do I publish a new version of an assistant?",
    "In which folder is all data kept, and how do I move it?",
    "What is lost when Redis is emptied?",
]

_LOCK = 0x626F6F74  # any number that nobody else locks


@dataclass(frozen=True, slots=True)
class Started:
    """Who can let others in. `sign_in_link` is set while no administrator has ever signed in."""

    administrator: str
    sign_in_link: str | None


def bootstrap() -> Started:
    """Make sure of all of it. Idempotent; processes that do it at once take turns. What is amiss is logged.

    Raises `ImproperlyConfigured` for settings that cannot be meant.
    """
    sync_environment_endpoints()
    with transaction.atomic():
        _take_turn()
        administrator = _administrator()
        milestone = _guide(administrator)
        link = None if _somebody_has_signed_in() else make_sign_in_link(user=administrator)
    with transaction.atomic():
        _take_turn()
        _keep_documentation_current(milestone, administrator)
    return Started(administrator.email, link)


def _take_turn() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _somebody_has_signed_in() -> bool:
    return User.objects.filter(is_superuser=True, last_login__isnull=False).exists()


def _administrator() -> User:
    """The administrator of ADMIN_EMAIL, else the first one there is; made where there is none."""
    administrators = User.objects.filter(is_superuser=True, is_active=True).order_by("date_joined", "id")
    named = administrators.filter(email__iexact=settings.ADMIN_EMAIL).first()
    if found := named or administrators.first():
        return found
    person = User.objects.filter(email__iexact=settings.ADMIN_EMAIL).first()
    if person is None:
        return User.objects.create_superuser(settings.ADMIN_EMAIL)
    # nobody else could let anyone in: who sets ADMIN_EMAIL runs this installation
    logger.warning("There was no active administrator: %s is one now.", person.email)
    person.is_active = person.is_staff = person.is_superuser = True
    person.save(update_fields=["is_active", "is_staff", "is_superuser"])
    return person


def _guide(administrator: User) -> Milestone:
    """Make the ready assistant and its store on the first start only."""
    milestone, first = Milestone.objects.get_or_create(name=GUIDE, defaults={"details": {"documents": {}}})
    if not first:
        return milestone
    store = VectorStore.objects.create(
        id=STORE_ID,
        name="Parley documentation",
        description="What the guide answers from. Kept current with the installed version.",
        embedding_model=default_model(EndpointModel.Purpose.EMBEDDING),
    )
    assistant = Assistant.objects.create(
        id=GUIDE_ID,
        name="Parley guide",
        description="Answers questions about using and running Parley, with citations from its documentation.",
        position=0,
    )
    version = AssistantVersion.objects.create(
        assistant=assistant,
        number=1,
        instructions=INSTRUCTIONS,
        starters=STARTERS,
        retrieval=AssistantVersion.Retrieval.AUTO,
    )
    version.stores.set([store])
    for target in (store, assistant):
        Grant.objects.create(target=target, everyone=True, role=Role.READER, created_by=administrator)
    publish(version=version, by=administrator)
    return milestone


def documentation() -> Iterator[tuple[str, bytes]]:
    """Path (relative to the checkout) and content of every page of the documentation, decision records left out."""
    root: Path = settings.BASE_DIR
    pages = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    for page in pages:
        path = page.relative_to(root)
        if page.is_file() and path.parts[:2] != ("docs", "adr"):
            yield path.as_posix(), page.read_bytes()


def _keep_documentation_current(milestone: Milestone, administrator: User) -> None:
    """Bring the store to the installed documentation. A page that did not change is left, even if it was deleted."""
    store = VectorStore.objects.filter(id=STORE_ID).first()
    if store is None:
        return
    milestone = Milestone.objects.get(pk=milestone.pk)  # another process may just have done it
    known: dict[str, Any] = milestone.details["documents"]
    pages = dict(documentation())
    for path, content in pages.items():
        sha256 = hashlib.sha256(content).hexdigest()
        before = known.get(path)
        if not content or (before and before["sha256"] == sha256):
            continue
        try:
            document = upload(user=administrator, store=store, name=path, content=BytesIO(content)).document
        except ParleyError as error:
            logger.warning("%s was not taken into the documentation: %s", path, error.message)
            continue
        known[path] = {"sha256": sha256, "document": str(document.pk)}
        if before and before["document"] != str(document.pk):
            _remove(administrator, before)
    for path in known.keys() - pages.keys():
        _remove(administrator, known.pop(path))
    milestone.save(update_fields=["details"])


def _remove(administrator: User, page: dict[str, str]) -> None:
    try:
        delete_document(user=administrator, document_id=uuid.UUID(page["document"]))
    except NotFoundError:
        logger.info("A former page of the documentation was gone already.")
