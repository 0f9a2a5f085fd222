"""What is struck and how often, and the table that says what came of it."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from core.bridge import in_database
from tests.chaos.stage import Stage, make_stage
from tests.chaos.tally import Report, Tallied, Tally, table
from tests.chaos.webs import Web, web_processes
from tests.responses_server import ResponsesServer

_parts: list[dict[str, Any]] = []
_figures: list[str] = []


@pytest.fixture
def times() -> int:
    """How often each test strikes at each of its points (`CHAOS_TIMES`)."""
    return int(os.environ.get("CHAOS_TIMES", "20"))


@pytest.fixture
async def stage(transactional_db: None, upstream: ResponsesServer) -> Stage:
    return await in_database(make_stage, upstream)


@pytest.fixture
async def webs(stage: Stage, tmp_path: Path) -> AsyncIterator[list[Web]]:
    async with web_processes(tmp_path) as started:
        yield started


@pytest.fixture
def tallied(record_property: Callable[[str, object], None]) -> Iterator[Tallied]:
    """Make a tally whose lines are in the table at the end of the run, however the test ends."""
    made: list[Tally] = []

    def make(what: str) -> Tally:
        made.append(Tally(what))
        return made[-1]

    yield make
    for tally in made:
        record_property("tally", tally.to_json())


@pytest.fixture
def report(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Report:
    """Say a figure at the end of the run."""
    return lambda figure: record_property("figure", f"{request.node.name}: {figure}")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown":
        _parts.extend(cast(dict[str, Any], value) for name, value in report.user_properties if name == "tally")
        _figures.extend(str(value) for name, value in report.user_properties if name == "figure")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _figures:
        terminalreporter.section("figures")
    for line in _figures:
        terminalreporter.write_line(line)
    if _parts:
        terminalreporter.section("faults and what came of them")
    for line in table(_parts) if _parts else ():
        terminalreporter.write_line(line)
