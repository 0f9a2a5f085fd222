"""What unit tests have in common."""

import pytest

from core import jail
from core.jail.starter import nursery


@pytest.fixture(autouse=True)
def nursery_of_the_jail(request: pytest.FixtureRequest) -> None:
    """Tests of the jail count this process's children: the nursery is one of them before each, and outlasts it."""
    if request.node.path.stem.startswith("test_jail"):
        nursery.close()
        jail.run("builtins:eval", data=b"1")
