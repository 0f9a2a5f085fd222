"""The arguments of a probe from a terminal, and what it prints; the key comes from the environment only."""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

from chat.providers.base import Target
from chat.providers.openai.probing.findings import Report
from chat.providers.openai.probing.prober import TOTAL_SECONDS, probe

API_KEY = "API_KEY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base-url", required=True, help="where the server is, such as http://127.0.0.1:11434/v1")
    parser.add_argument("--model", required=True, help="as the server calls it")
    parser.add_argument("--json", type=Path, help="write the findings there")
    parser.add_argument("--seconds", type=float, default=TOTAL_SECONDS, help="for all requests together")


def run(*, base_url: str, model: str, json_file: Path | None, seconds: float) -> Report:
    """Probe a server with the key that stands in the environment's API_KEY; writes the findings where asked to."""
    target = Target(base_url=base_url.rstrip("/"), api_key=os.environ.get(API_KEY, ""), model=model)
    report = asyncio.run(probe(target, total_seconds=seconds))
    if json_file is not None:
        json_file.write_text(json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return report


def main() -> int:
    """`python -m chat.providers.openai.probing`: without an instance of Parley, so nothing is stored."""
    parser = argparse.ArgumentParser(description="Ask a live Responses server what it can do.")
    add_arguments(parser)
    given = parser.parse_args()
    report = run(base_url=given.base_url, model=given.model, json_file=given.json, seconds=given.seconds)
    sys.stdout.write(f"{report.table()}\n")
    return 0 if report.is_usable else 1
