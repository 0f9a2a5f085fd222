"""What every test shares. The servers and the network guard are plugins: see `services.py` and `network.py`."""

import pytest

from tests import backends


@pytest.fixture(autouse=True)
def _alone(request: pytest.FixtureRequest) -> None:
    """No other program works in the database that a test commits to: it would run the test's turns and take its work.

    Tests of the whole `site` want that.
    """
    marker = request.node.get_closest_marker("django_db")
    if marker is not None and marker.kwargs.get("transaction") and "site" not in request.fixturenames:
        request.getfixturevalue("django_db_setup")
        assert backends.others() == set()
