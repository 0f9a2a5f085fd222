"""Which model answers, and how its server is reached."""

from dataclasses import dataclass

from chat.models import AssistantVersion
from chat.providers.base import Capabilities, Target
from core.endpoints import NoModelError, default_model
from core.models import EndpointModel


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model to ask, with the limits and prices that its row states."""

    row: EndpointModel
    target: Target

    @property
    def input_limit(self) -> int:
        """Tokens that a request may have so that the answer still fits."""
        return self.row.context_window - self.row.max_output_tokens


def choice_of(model: EndpointModel) -> ModelChoice:
    """Make a row into something a provider can be asked with; raises `NoModelError` for one that is switched off."""
    endpoint = model.endpoint
    if not (model.enabled and endpoint.enabled):
        raise NoModelError(f"The model {model.name} is switched off. An administrator has to choose another one.")
    target = Target(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        model=model.name,
        capabilities=Capabilities.for_server(endpoint.base_url, endpoint.capabilities),
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
