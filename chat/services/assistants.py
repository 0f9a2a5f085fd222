"""Making, drafting, publishing and archiving assistants. Whether the caller may is decided by the caller.

AssistantError
├── InvalidVersionError     (the draft cannot be published; says why, per field)
└── VersionConflictError    (published already, a draft exists already, archived)
"""

from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from chat.models import Assistant, AssistantVersion, FallbackModel
from chat.selectors.targets import chat_model
from chat.services.version_rules import Problems, check_memory, check_shapes, check_tools
from core.endpoints import NoModelError
from core.errors import ConflictError, InvalidInputError
from core.models import EndpointModel, User
from retrieval.models import VectorStore

# what a new draft takes over from the version it is made from; stores and fallbacks are copied beside
_COPIED = (
    "instructions",
    "input_messages",
    "variables",
    "model_id",
    "utility_model_id",
    "parameters",
    "tools",
    "strategy",
    "strategy_parameters",
    "retrieval",
    "retrieval_parameters",
    "passages",
    "starters",
    "remembers",
    "failure_message",
)
_JSON_FIELDS = (
    "parameters",
    "strategy_parameters",
    "retrieval_parameters",
    "variables",
    "input_messages",
    "tools",
    "starters",
)


class InvalidVersionError(InvalidInputError):
    """A draft that cannot be published. `problems` maps a field's name to sentences."""

    code = "invalid_version"

    def __init__(self, problems: Problems) -> None:
        lines = [f"{field}: {sentence}" for field, sentences in problems.items() for sentence in sentences]
        super().__init__(" ".join(lines))
        self.problems = problems


class VersionConflictError(ConflictError):
    """The version or its assistant is in a state where this cannot be done."""

    code = "version_conflict"


@transaction.atomic
def draft_of(*, assistant: Assistant) -> AssistantVersion:
    """Return the assistant's draft; where there is none, a new one that is a copy of the newest version."""
    _lock(assistant)
    newest = assistant.versions.order_by("-number").first()
    if newest is None:
        return AssistantVersion.objects.create(assistant=assistant, number=1)
    draft = assistant.versions.filter(published_at=None).first()
    return draft or _copy(newest)


@transaction.atomic
def draft_from(*, version: AssistantVersion) -> AssistantVersion:
    """Make a new draft out of any version. Raises `VersionConflictError` while there is a draft already."""
    assistant = _lock(version.assistant)
    draft = assistant.versions.filter(published_at=None).first()
    if draft is not None:
        raise VersionConflictError(f"Version {draft.number} is a draft already: publish or delete it first.")
    return _copy(version)


@transaction.atomic
def publish(*, version: AssistantVersion, by: User | None) -> AssistantVersion:
    """Make a draft the version that people talk to from their next turn on; it never changes again.

    Raises `InvalidVersionError` for a draft that cannot work, `VersionConflictError` for one that is published
    already or whose assistant is archived.
    """
    assistant = _lock(version.assistant)
    draft = AssistantVersion.objects.select_for_update().get(pk=version.pk)
    if draft.published_at is not None:
        raise VersionConflictError(f"Version {draft.number} is published already.")
    if assistant.archived_at is not None:
        raise VersionConflictError(f"{assistant.name} is archived: restore it first.")
    if problems := problems_of(draft):
        raise InvalidVersionError(problems)
    draft.number = _next_number(assistant, besides=draft)
    draft.published_at, draft.published_by = timezone.now(), by
    draft.save(update_fields=["number", "published_at", "published_by"])
    assistant.published_version = draft
    assistant.save(update_fields=["published_version", "updated_at"])
    return draft


@transaction.atomic
def archive(*, assistant: Assistant) -> None:
    """Take the assistant from the list. Its conversations stay readable. Archived already: nothing changes."""
    locked = _lock(assistant)
    if locked.archived_at is None:
        locked.archived_at = timezone.now()
        locked.save(update_fields=["archived_at", "updated_at"])
    assistant.archived_at = locked.archived_at


@transaction.atomic
def restore(*, assistant: Assistant) -> None:
    """Bring an archived assistant back into the list."""
    locked = _lock(assistant)
    locked.archived_at = assistant.archived_at = None
    locked.save(update_fields=["archived_at", "updated_at"])


def problems_of(version: AssistantVersion) -> Problems:
    """Return what keeps a stored draft from being published: sentences per field, empty when nothing does."""
    problems = check_shapes({name: getattr(version, name) for name in _JSON_FIELDS})
    for field, sentences in (
        ("model", _model_problems(version)),
        ("fallbacks", _fallback_problems(version)),
        ("stores", _store_problems(version)),
    ):
        if sentences:
            problems.setdefault(field, []).extend(sentences)
    if not problems.keys() & {"tools", "parameters"}:
        problems |= check_tools(version.tools, retrieval=version.retrieval, parameters=version.parameters)
    problems |= check_memory(version.strategy, remembers=version.remembers)
    if "parameters" not in problems and (sentence := _output_problem(version)):
        problems["parameters"] = [sentence]
    return problems


def _lock(assistant: Assistant) -> Assistant:
    """Let one at a time change an assistant's versions."""
    return Assistant.objects.select_for_update().get(pk=assistant.pk)


def _next_number(assistant: Assistant, *, besides: AssistantVersion | None = None) -> int:
    others = assistant.versions.exclude(pk=besides.pk) if besides else assistant.versions.all()
    highest: int | None = others.aggregate(highest=Max("number"))["highest"]
    return (highest or 0) + 1


def _copy(version: AssistantVersion) -> AssistantVersion:
    values: dict[str, Any] = {name: getattr(version, name) for name in _COPIED}
    draft = AssistantVersion.objects.create(
        assistant_id=version.assistant_id, number=_next_number(version.assistant), **values
    )
    draft.stores.set(version.stores.all())
    FallbackModel.objects.bulk_create(
        FallbackModel(version=draft, model_id=fallback.model_id, position=fallback.position)
        for fallback in version.fallbacks.all()
    )
    return draft


def _model_problems(version: AssistantVersion) -> list[str]:
    named = [model for model in (version.model, version.utility_model) if model is not None]
    return [sentence for model in named if (sentence := _unusable(model, EndpointModel.Purpose.CHAT))]


def _fallback_problems(version: AssistantVersion) -> list[str]:
    models = [fallback.model for fallback in version.fallbacks.select_related("model__endpoint")]
    sentences = [sentence for model in models if (sentence := _unusable(model, EndpointModel.Purpose.CHAT))]
    if version.model_id is not None and version.model_id in {model.pk for model in models}:
        sentences.append(f"{version.model} is the model itself and cannot stand in for it.")
    return sentences


def _store_problems(version: AssistantVersion) -> list[str]:
    sentences = []
    for store in version.stores.select_related("embedding_model__endpoint").order_by("name", "id"):
        if store.kind != VectorStore.Kind.LIBRARY:
            sentences.append(f"{store.name}: what was put into a conversation is nobody else's source.")
        elif sentence := _unusable(store.embedding_model, EndpointModel.Purpose.EMBEDDING):
            sentences.append(f"{store.name}: {sentence}")
    return sentences


def _unusable(model: EndpointModel, purpose: EndpointModel.Purpose) -> str:
    if model.purpose != purpose:
        return f"{model} is no {purpose.label.lower()} model."
    if not (model.enabled and model.endpoint.enabled):
        return f"{model} is switched off."
    return ""


def _output_problem(version: AssistantVersion) -> str:
    wanted = version.parameters.get("max_output_tokens")
    if wanted is None:
        return ""
    try:
        model = chat_model(version)
    except NoModelError as error:
        return error.message
    if wanted <= model.max_output_tokens:
        return ""
    return f"max_output_tokens: {model} gives at most {model.max_output_tokens} tokens; {wanted} are wanted."
