"""Finds out by small real requests what a server can do, and whether the adapter reads its answers."""

from chat.providers.openai.probing.findings import Finding, Outcome, Report
from chat.providers.openai.probing.prober import probe

__all__ = ["Finding", "Outcome", "Report", "probe"]
