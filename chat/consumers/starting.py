"""Which service answers a frame that begins a turn."""

from chat.consumers.incoming import Starting, TurnContinue, TurnCreate, TurnEdit, TurnRetry
from chat.services import messages, turns
from chat.services.starting import Started
from core.models import User


def start(user: User, frame: Starting) -> Started:
    """Do what the frame asks for; raises what the services raise."""
    match frame:
        case TurnCreate():
            return turns.start_turn(user=user, message=_message(frame))
        case TurnRetry():
            return turns.retry_turn(user=user, turn_id=frame.turn, client_id=frame.client_id)
        case TurnContinue():
            return turns.continue_turn(user=user, turn_id=frame.turn, client_id=frame.client_id)
        case TurnEdit():
            edit = messages.Edit(client_id=frame.client_id, text=frame.text, files=frame.files)
            return messages.edit_turn(user=user, turn_id=frame.turn, edit=edit)


def _message(frame: TurnCreate) -> turns.Message:
    return turns.Message(
        conversation=frame.conversation,
        client_id=frame.client_id,
        text=frame.text,
        assistant=frame.assistant,
        files=frame.files,
        parent=frame.parent,
        follows=frame.parent is not None,
        uses_memory=frame.uses_memory,
    )
