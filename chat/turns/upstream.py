"""Responses that go on at their server without us: noted as they begin, found after a takeover, ended with a stop.

Only endpoints whose record says so have them (`Capabilities.resumes`); for all others nothing here asks the database.
"""

from dataclasses import dataclass, replace

from chat.providers.base import Finished, Provider, Request, ResponseStarted, Target
from chat.selectors.targets import ModelChoice
from chat.turns.job import Claimed
from chat.turns.recorder import Attempt
from core import statements
from core.bridge import in_database

_NOTE = """
UPDATE chat_response SET upstream_id = %(upstream)s
FROM chat_turn turn
WHERE chat_response.id = %(response)s AND turn.id = chat_response.turn_id
    AND turn.epoch = %(epoch)s AND turn.status = 'in_progress'
"""
# A retry of the same owner has closed its former attempt, so what still runs was left by a former owner.
_LEFT = """
SELECT upstream_id FROM chat_response
WHERE turn_id = %(turn)s AND step = %(step)s AND model_id = %(model)s AND status = 'in_progress'
    AND epoch < %(epoch)s AND upstream_id <> ''
ORDER BY attempt DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class _Running:
    provider: Provider
    target: Target
    response_id: str


class Upstream:
    """What a turn has running at a server at the moment, if anything."""

    def __init__(self, claimed: Claimed) -> None:
        self._claimed = claimed
        self._running: _Running | None = None
        self._followed = ""
        self._ended: set[str] = set()

    async def with_left_behind(self, request: Request, choice: ModelChoice, step: int) -> Request:
        """The request, naming the response that a former owner of the turn asked for with the same and left running.

        One that was followed to its end, a failure, is not followed again.
        """
        if self._claimed.epoch == 1 or not choice.target.capabilities.resumes:
            return request
        row = await in_database(
            statements.row,
            _LEFT,
            {"turn": self._claimed.turn, "step": step, "model": choice.row.pk, "epoch": self._claimed.epoch},
        )
        self._followed = row[0] if row is not None and row[0] not in self._ended else ""
        return replace(request, resumes=self._followed)

    async def note(self, event: ResponseStarted | Finished, attempt: Attempt, provider: Provider) -> None:
        """Follow an attempt: a response that can be taken up is stored with its id before any of its text is shown."""
        if isinstance(event, Finished):
            self._ended.add(self._followed)
            self._running = None
        elif event.resumable and event.id is not None:
            self._running = _Running(provider, attempt.choice.target, event.id)
            values = {"response": attempt.response, "upstream": event.id[:200], "epoch": self._claimed.epoch}
            await in_database(statements.execute, _NOTE, values)

    async def cancel(self) -> None:
        """End at its server what this turn has running there; where that fails, it comes to its end by itself."""
        running, self._running = self._running, None
        if running is not None:
            await running.provider.cancel(running.response_id, running.target)
