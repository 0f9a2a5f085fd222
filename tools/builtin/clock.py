"""`current_time`: models do not know what time it is."""

from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field

from tools.base import Context, Limits, Shape, Tool
from tools.errors import ToolFailedError


class Clock(Shape):
    """`zone` counts where the model names none."""

    zone: str = "UTC"


class Where(Shape):
    zone: Annotated[
        str | None,
        Field(description="An IANA time zone such as Europe/Berlin; null for the usual one of this assistant."),
    ] = None


class Now(Shape):
    time: str
    zone: str
    weekday: str


async def _now(where: Where, context: Context) -> Now:
    usual = context.config.zone if isinstance(context.config, Clock) else "UTC"
    name = where.zone or usual
    try:
        # UTC has to be there also where the system has no zone database
        now = datetime.now(UTC if name == "UTC" else ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of the zone database is an OSError
        raise ToolFailedError(
            f"There is no time zone {name[:64]!r}. Use a name of the IANA database, such as Europe/Berlin or UTC."
        ) from None
    return Now(time=now.isoformat(timespec="seconds"), zone=name, weekday=now.strftime("%A"))


CURRENT_TIME = Tool(
    name="current_time",
    description="The present date, time and weekday in a time zone.",
    arguments=Where,
    result=Now,
    run=_now,
    config=Clock,
    limits=Limits(seconds=5),
    repeatable=True,
)
