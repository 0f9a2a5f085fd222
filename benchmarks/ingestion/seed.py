"""Makes the rows that the load needs and prints how to use them: `python -m ... UPSTREAM_PORT STORES`.

Runs with the settings of the benchmark's own servers. Output is JSON: the names of the cookies, a session key, and the
ids of so many empty stores of one person.
"""

import os
import sys

import django
import orjson

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings  # noqa: E402 - models can be imported only after setup

from benchmarks.ingestion.upstream import DIMENSIONS  # noqa: E402
from tests import factories  # noqa: E402


def seed(port: int, count: int) -> dict[str, object]:
    owner = factories.user("bench-owner@example.org")
    endpoint = factories.responses_endpoint(f"http://127.0.0.1:{port}/v1")
    model = factories.embedding_model(endpoint=endpoint, name="paced", dimensions=DIMENSIONS)
    stores = [factories.store(owner=owner, model=model) for _ in range(count)]
    return {
        "cookie": settings.SESSION_COOKIE_NAME,
        "csrf_cookie": settings.CSRF_COOKIE_NAME,
        "session": factories.session_of(owner),
        "stores": [str(store.pk) for store in stores],
    }


if __name__ == "__main__":
    print(orjson.dumps(seed(int(sys.argv[1]), int(sys.argv[2]))).decode())
