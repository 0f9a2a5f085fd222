"""What every test shares. The servers and the network guard are plugins: see `services.py` and `network.py`."""

import pytest
from hypothesis import HealthCheck, settings

from tests import backends

# how long an example takes says how busy the machine is
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def _alone(request: pytest.FixtureRequest) -> None:
    """No other program works in the database that a test commits to: it would run the test's turns and take its work.

    Tests of the whole `site` want that.
    """
    marker = request.node.get_closest_marker("django_db")
    if marker is not None and marker.kwargs.get("transaction") and "site" not in request.fixturenames:
        request.getfixturevalue("django_db_setup")
        assert backends.others() == set()
