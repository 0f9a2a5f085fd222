"""How often to kill, and where the figures are said."""

import os
from collections.abc import Callable

import pytest

_figures: list[str] = []


@pytest.fixture
def times() -> int:
    """Rounds of each test (`CHAOS_TIMES`)."""
    return int(os.environ.get("CHAOS_TIMES", "3"))


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say a figure at the end of the run."""
    return lambda figure: _figures.append(f"{request.node.name}: {figure}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _figures:
        terminalreporter.section("figures")
        for line in _figures:
            terminalreporter.write_line(line)
