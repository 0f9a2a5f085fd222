"""Tools for tests, registered as an installation registers its own: `settings.TOOLS`, or TOOLS in the environment.

What a tool does to the world is a line in the file `<PARLEY_TEST_EFFECTS>/<mark>`, so that a test can count how often
it was done, also where the process that did it was killed.
"""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from tools.base import Context, Limits, Policy, Shape, Tool
from tools.errors import ToolFailedError

PATHS = [f"tests.tools.{name}" for name in ("ADD", "LOOK", "ACT", "SAY", "TELL", "BREAK", "BRIEF", "FORBIDDEN")]
NAMES = ["add", "look", "act", "say", "tell", "break", "brief"]
FOLDER = "PARLEY_TEST_EFFECTS"


def effects(folder: Path, mark: str) -> list[str]:
    """What was done under this mark: the idempotency key of each time."""
    file = folder / mark
    return file.read_text().splitlines() if file.exists() else []


def _leave(mark: str, context: Context) -> int:
    """Do it, and return how often this call has."""
    folder = Path(os.environ[FOLDER])
    with (folder / mark).open("a") as file:
        file.write(f"{context.idempotency_key}\n")
    return effects(folder, mark).count(context.idempotency_key)


class Numbers(Shape):
    a: Annotated[int, Field(description="The first number.", ge=-1000)]
    b: int | None = None


class Sum(Shape):
    sum: int


async def _add(numbers: Numbers, context: Context) -> Sum:
    return Sum(sum=numbers.a + (numbers.b or 0))


class Wait(Shape):
    mark: str
    seconds: float


class Done(Shape):
    done: str


async def _leave_and_wait(wait: Wait, context: Context) -> Done:
    times = _leave(wait.mark, context)
    await asyncio.sleep(wait.seconds if times == 1 else 0)  # what is run again has been waited for
    return Done(done=wait.mark)


class Length(Shape):
    length: int


class Said(Shape):
    text: str


async def _say(length: Length, context: Context) -> Said:
    return Said(text="x" * length.length)


class How(Shape):
    how: str


async def _break(how: How, context: Context) -> Any:
    if how.how == "says why":
        raise ToolFailedError("Give another name.")
    if how.how == "crashes":
        raise KeyError(how.how)
    if how.how == "cancels itself":
        raise asyncio.CancelledError
    if how.how == "does not end":
        await asyncio.sleep(3600)
    return {"sum": "no number"}


ADD = Tool(name="add", description="Adds.", arguments=Numbers, result=Sum, run=_add, repeatable=True)
LOOK = Tool(name="look", description="Repeatable.", arguments=Wait, result=Done, run=_leave_and_wait, repeatable=True)
ACT = Tool(name="act", description="Once only.", arguments=Wait, result=Done, run=_leave_and_wait)
SAY = Tool(name="say", description="Long.", arguments=Length, result=Said, run=_say, limits=Limits(output_chars=500))
TELL = Tool(name="tell", description="Longer.", arguments=Length, result=Said, run=_say)
BREAK = Tool(name="break", description="Fails.", arguments=How, result=Sum, run=_break, limits=Limits(seconds=0.2))
BRIEF = Tool(
    name="brief",
    description="Has little time.",
    arguments=Wait,
    result=Done,
    run=_leave_and_wait,
    limits=Limits(seconds=0.2),
)
FORBIDDEN = Tool(name="forbidden", description="Denied.", arguments=Numbers, result=Sum, run=_add, policy=Policy.DENY)
NO_TOOL = "a path that leads to no tool"
