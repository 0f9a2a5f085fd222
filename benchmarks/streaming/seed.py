"""Makes the rows that the load needs and prints how to use them: `python -m ... PEOPLE UPSTREAM_PORT`.

Runs with the settings of the benchmark's own servers. Output is JSON: the session cookie's name, a session key per
person, and the ids of an assistant that searches nothing and of one that searches a small vector store.
"""

import os
import sys

import django
import orjson

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings  # noqa: E402 - models can be imported only after setup

from tests import factories  # noqa: E402

DOCUMENTS = 20
PARAGRAPHS = 10
_TEXT = "Part {part} of document {number} says how this works: the wheel turns, the lever moves, and the lamp is lit."


def seed(people: int, port: int) -> dict[str, object]:
    owner = factories.user("bench-owner@example.org")
    endpoint = factories.responses_endpoint(f"http://127.0.0.1:{port}/v1")
    model = factories.chat_model(endpoint=endpoint, name="paced")
    plain = factories.assistant(owner=owner, model=model, retrieval="off", name="Plain")
    store = factories.store(owner=owner)
    for number in range(DOCUMENTS):
        text = "\n\n".join(_TEXT.format(part=part, number=number) for part in range(PARAGRAPHS))
        factories.indexed_document(store, text=text)
    searching = factories.assistant(owner=owner, model=model, stores=[store], name="Searching", retrieval="auto")
    for assistant in (plain, searching):
        factories.grant(assistant, None)
    return {
        "cookie": settings.SESSION_COOKIE_NAME,
        "sessions": [factories.session_of(factories.user()) for _ in range(people)],
        "plain": str(plain.pk),
        "searching": str(searching.pk),
    }


if __name__ == "__main__":
    print(orjson.dumps(seed(int(sys.argv[1]), int(sys.argv[2]))).decode())
