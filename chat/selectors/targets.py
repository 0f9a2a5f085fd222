"""Which model answers, and how its server is reached."""

import uuid
from dataclasses import dataclass, replace
from functools import lru_cache

from chat.models import AssistantVersion
from chat.providers.base import Capabilities, Target
from core.endpoints import NoModelError, default_model
from core.models import Endpoint, EndpointModel

# Share of a model's input that is left free for what cannot be counted here.
MARGIN = 0.05


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model to ask, with the limits and prices that its row states.

    `ratio` are the server's tokens for each one that we count, as far as is known.
    """

    row: EndpointModel
    target: Target
    learned: float = 1.0
    """What the turn has learned of the ratio since the row was read."""

    @property
    def ratio(self) -> float:
        return max(self.row.token_ratio, self.learned)

    def with_ratio(self, ratio: float) -> "ModelChoice":
        return replace(self, learned=ratio) if ratio > self.ratio else self

    def answer_limit(self, wanted: int | None) -> int:
        """Tokens that are kept for the answer: those that are asked for, as long as half of the window is left."""
        if wanted is None:
            return self.row.max_output_tokens
        return min(wanted, max(self.row.max_output_tokens, self.row.context_window // 2))

    def ceiling(self, answer: int) -> int:
        """Tokens by our own count that a request may have so that an answer of `answer` tokens still fits.

        Corrected by what the server was seen to count (`ratio`), less a margin for what differs from request to
        request.
        """
        return int((self.row.context_window - answer) * (1 - MARGIN) / self.ratio)

    def ratio_for(self, ceiling: int, answer: int) -> float:
        """The ratio under which a request may have so many tokens by our own count."""
        return (self.row.context_window - answer) * (1 - MARGIN) / ceiling

    @property
    def takes_pictures(self) -> bool:
        """Whether pictures are sent to the model: to a server of which nothing is known they are."""
        return self.target.provider != Endpoint.Provider.EXTRACTIVE and self.target.capabilities.allows("input_image")

    @property
    def takes_tools(self) -> bool:
        """Whether the model can be offered tools, as far as is known."""
        return self.target.provider != Endpoint.Provider.EXTRACTIVE and self.target.capabilities.allows("tools")


def choice_of(model: EndpointModel) -> ModelChoice:
    """Make a row into something a provider can be asked with; raises `NoModelError` for one that is switched off."""
    endpoint = model.endpoint
    if not (model.enabled and endpoint.enabled):
        raise NoModelError(f"The model {model.name} is switched off. An administrator has to choose another one.")
    target = Target(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        model=model.name,
        capabilities=Capabilities.for_server(endpoint.base_url, endpoint.record),
        headers=endpoint.headers,
        connect_timeout=endpoint.connect_timeout,
        read_timeout=endpoint.read_timeout,
        provider=endpoint.provider,
    )
    return ModelChoice(model, target)


def chat_model(version: AssistantVersion) -> EndpointModel:
    """The model of this version, or the site's default."""
    return version.model or default_model(EndpointModel.Purpose.CHAT)


def model_choices(version: AssistantVersion) -> list[ModelChoice]:
    """The version's model, then its fallbacks in order; at least one, or `NoModelError`."""
    rows = [chat_model(version)]
    rows += [fallback.model for fallback in version.fallbacks.select_related("model__endpoint")]
    usable = [row for row in rows if row.enabled and row.endpoint.enabled]
    return [choice_of(row) for row in usable or rows[:1]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A version with the models to ask. Shared between turns: nobody changes it."""

    version: AssistantVersion
    models: tuple[ModelChoice, ...]


PREPARED_STAMP = """
concat_ws(' ',
    (SELECT concat(version.ctid, version.xmin) FROM chat_assistantversion version WHERE version.id = turn.version_id),
    (SELECT string_agg(concat(model.ctid, model.xmin), '') FROM core_endpointmodel model),
    (SELECT string_agg(concat(endpoint.ctid, endpoint.xmin), '') FROM core_endpoint endpoint),
    (SELECT string_agg(concat(fallback.ctid, fallback.xmin), '')
        FROM chat_fallbackmodel fallback WHERE fallback.version_id = turn.version_id))
"""
"""SQL: which row versions `prepared` is made from, for a `chat_turn turn`.

Place and transaction tell one version of a row from every other one (PostgreSQL's documentation, "System Columns").
"""


@lru_cache(maxsize=128)
def prepared(version: uuid.UUID, stamp: str) -> Prepared:
    """Return a version with the models to ask, from memory while the rows that `stamp` names are the same ones.

    Raises `NoModelError` where no model can be asked.
    """
    row = AssistantVersion.objects.select_related("model__endpoint").get(id=version)
    return Prepared(row, tuple(model_choices(row)))
