"""Writes `docs/schemas` from the code: `make schemas`. No test of the suite."""

import pytest

from tests.frames import as_text, file_of, generated


@pytest.mark.parametrize("name", sorted(generated()))
def test_write(name: str) -> None:
    file_of(name).parent.mkdir(exist_ok=True)
    file_of(name).write_text(as_text(generated()[name]))
