"""What a page says of pictures that a model did not see."""

from collections.abc import Mapping
from functools import cached_property
from typing import TypeAlias

from django.utils.translation import ngettext

from chat.models import AssistantVersion
from chat.selectors.shown import ShownTurn
from chat.selectors.targets import choice_of
from chat.turns.pictures import GONE, NO_ROOM, REFUSED, TAKES_NONE
from core.endpoints import NoModelError, default_model
from core.models import Endpoint, EndpointModel

_Sentence: TypeAlias = tuple[str, str]

_NO_MODEL: _Sentence = (
    "The picture was not looked at: no model is configured that could see it.",
    "The pictures were not looked at: no model is configured that could see them.",
)
_NO_SIGHT: _Sentence = (
    "The model did not see the picture: its server takes none.",
    "The model did not see the pictures: its server takes none.",
)
_SENTENCES: Mapping[str, _Sentence] = {
    TAKES_NONE: _NO_SIGHT,
    REFUSED: _NO_SIGHT,
    NO_ROOM: (
        "The model did not see one of the pictures: there was no room for it.",
        "The model did not see some of the pictures: there was no room for them.",
    ),
    GONE: (
        "The model did not see the picture: it was not there any more.",
        "The model did not see the pictures: they were not there any more.",
    ),
}


def unseen_pictures(turn: ShownTurn) -> str:
    """Say why pictures of a turn's own message were not seen; empty where they were, or there are none."""
    own = {str(attachment.document_id) for attachment in turn.attachments}
    reasons = [picture.why for picture in turn.unseen if picture.document in own]
    if not reasons:
        return ""
    is_quoting = bool(turn.attempts) and turn.attempts[-1].provider == Endpoint.Provider.EXTRACTIVE
    one, several = _NO_MODEL if is_quoting else _SENTENCES[reasons[0]]
    return ngettext(one, several, len(reasons))


class Sight:
    """Whether a picture in the next message would go to a version's model, as far as is known.

    The site's own model is looked up once, however many versions leave the choice to it.
    """

    def of(self, version: AssistantVersion) -> bool:
        return self._default if version.model is None else _sees(version.model)

    @cached_property
    def _default(self) -> bool:
        try:
            return _sees(default_model(EndpointModel.Purpose.CHAT))
        except NoModelError:
            return True  # that there is no model at all is said elsewhere


def _sees(model: EndpointModel) -> bool:
    try:
        return choice_of(model).takes_pictures
    except NoModelError:
        return True
