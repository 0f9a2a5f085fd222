"""Runs the probes one after another, within a limit of time for all of them."""

import asyncio
from datetime import UTC, datetime

from chat.providers.base import Target
from chat.providers.openai.probing.asking import REQUEST_SECONDS, Asking
from chat.providers.openai.probing.findings import Finding, Outcome, Report
from chat.providers.openai.probing.probes import NAMES, PROBES, streaming

TOTAL_SECONDS = 600.0


async def probe(
    target: Target, *, request_seconds: float = REQUEST_SECONDS, total_seconds: float = TOTAL_SECONDS
) -> Report:
    """Ask a server about everything that a capability record holds; some thirty requests of a few hundred tokens.

    What the target's own record says is not used. Never raises for what a server does: that is a finding.
    """
    asking = Asking(target, request_seconds=request_seconds)
    findings: list[Finding] = []
    try:
        async with asyncio.timeout(total_seconds):
            findings += await streaming(asking)
            usable = findings[0].outcome is Outcome.SUPPORTED
            for one in PROBES if usable else ():
                findings += await one(asking)
        rest = "not asked: there is no streamed text"
    except TimeoutError:
        rest = "not asked: the time was up"
    finally:
        await asking.aclose()
    asked = {finding.name for finding in findings}
    names = ("streaming", "usage", *(name for one in PROBES for name in NAMES[one]))
    findings += [Finding(name, Outcome.UNKNOWN, rest) for name in names if name not in asked]
    return Report(target.base_url, target.model, datetime.now(UTC), tuple(findings), tuple(asking.flaws))
