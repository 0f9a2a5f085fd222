"""How often to strike, and the table that says what came of it."""

import os
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from tests.chaos.tally import Tally, table

_parts: list[dict[str, Any]] = []
_figures: list[str] = []


@pytest.fixture
def times() -> int:
    """How often each test strikes at each of its points (`CHAOS_TIMES`)."""
    return int(os.environ.get("CHAOS_TIMES", "20"))


@pytest.fixture
def tallied(record_property: Callable[[str, object], None]) -> Iterator[Callable[[str], Tally]]:
    """Make a tally whose lines are in the table at the end of the run, however the test ends."""
    made: list[Tally] = []

    def make(what: str) -> Tally:
        made.append(Tally(what))
        return made[-1]

    yield make
    for tally in made:
        record_property("tally", tally.to_json())


@pytest.fixture
def report(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Callable[[str], None]:
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
