"""One run of one tool: arguments in as the model wrote them, text out as the model will read it.

A tool is a guest in the process: it has a deadline, and what it raises is its own failure and not the turn's.
"""

import asyncio
import logging
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from tools.base import AnyTool, Context
from tools.errors import InvalidArgumentsError, InvalidResultError, ToolCrashedError, ToolError, ToolTimeoutError

logger = logging.getLogger(__name__)

# Seconds that a cancelled tool gets to clean up; nobody waits longer for it.
GRACE = 1.0
# Mistakes in arguments that are told at once.
_MAX_MISTAKES = 5
# Room for the mark where an output is cut.
_MARK_ROOM = 80


def parse_arguments(tool: AnyTool, raw: str) -> BaseModel:
    """Validate the arguments of a call; "" means an empty object. Raises InvalidArgumentsError, with what to mend."""
    try:
        arguments: BaseModel = tool.arguments.model_validate_json(raw if raw.strip() else "{}")
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        said = [_mistake(detail) for detail in details[:_MAX_MISTAKES]]
        more = f" (and {len(details) - _MAX_MISTAKES} more)" if len(details) > _MAX_MISTAKES else ""
        raise InvalidArgumentsError(
            f"The arguments of {tool.name} are not valid: {'; '.join(said)}{more}. Mend them and call it again."
        ) from None
    return arguments


def _mistake(detail: Any) -> str:
    path = ".".join(map(str, detail["loc"]))
    return f"{path}: {detail['msg']}" if path else str(detail["msg"])


async def run_tool(tool: AnyTool, arguments: BaseModel, context: Context, *, seconds: float) -> str:
    """Run a tool and return its output, at most `limits.output_chars` long.

    Raises ToolError for what the model is told instead. Cancelling it cancels the tool.
    """
    running = asyncio.ensure_future(tool.run(arguments, context))
    try:
        done, _ = await asyncio.wait({running}, timeout=seconds)
    except asyncio.CancelledError:
        await _cancel(running, tool)
        raise
    if not done:
        await _cancel(running, tool)
        raise ToolTimeoutError(f"{tool.name} did not end within {seconds:.3g} s and was stopped.")
    return cut(_text(tool, _result(tool, running)), tool.limits.output_chars)


def _result(tool: AnyTool, ended: "asyncio.Future[Any]") -> Any:
    if ended.cancelled():
        raise ToolCrashedError(f"{tool.name} ended without a result.")
    error = ended.exception()
    if error is None:
        return ended.result()
    if isinstance(error, ToolError) or not isinstance(error, Exception):
        raise error
    logger.error("The tool %s failed", tool.name, exc_info=error)
    raise ToolCrashedError(f"{tool.name} failed for a reason of its own. Go on without it.")


def _text(tool: AnyTool, result: Any) -> str:
    try:
        checked = tool.result.model_validate(result, from_attributes=True)
        return orjson.dumps(checked.model_dump(mode="json")).decode()
    except (ValidationError, orjson.JSONEncodeError) as error:
        logger.error("The tool %s gave an invalid result: %s", tool.name, error)  # noqa: TRY400 - told, not crashed
        raise InvalidResultError(f"{tool.name} gave a result that cannot be used. Go on without it.") from None


def cut(text: str, limit: int) -> str:
    """Return `text` with at most `limit` characters; where something is left out, the end says so."""
    if len(text) <= limit:
        return text
    kept = max(0, limit - _MARK_ROOM)
    return f"{text[:kept]}\n… [cut: {len(text) - kept} of {len(text)} characters are left out]"


async def _cancel(running: "asyncio.Future[Any]", tool: AnyTool) -> None:
    """Cancel a tool; one that does not end is left to itself, and what it raises later goes to the log."""
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=GRACE)
    if done:
        if not running.cancelled():
            running.exception()  # a failure on the way out belongs to a call that is over
        return
    logger.warning("The tool %s does not end when it is cancelled", tool.name)
    running.add_done_callback(lambda ended: None if ended.cancelled() else ended.exception())
