"""pytest plugin: no test reaches anything but this machine.

An audit hook sees every connection and every look-up that Python code in this process makes. It refuses what leaves
the machine, and the test that tried fails even where the code under test swallowed the refusal.
"""

import ipaddress
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_attempts: list[str] = []
_LOCAL_NAMES = {"", "localhost", "ip6-localhost"}


class NetworkForbidden(RuntimeError):
    """A test tried to reach another machine."""


def is_local(host: str) -> bool:
    """Whether a host given as text can only mean this machine."""
    if host in _LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    match event, arguments:
        case "socket.connect" | "socket.sendto", (_, (str(host), *_)):
            wanted = host
        case "socket.getaddrinfo", (str() | bytes() as host, *_):
            wanted = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        case _:
            return
    if not is_local(wanted):
        _attempts.append(f"{event} {wanted}")
        raise NetworkForbidden(f"tests may not reach {wanted} ({event})")


sys.addaudithook(_refuse)


@contextmanager
def expect_refusal() -> Iterator[None]:
    """For the tests of this guard: the block has to be refused, and the refusal does not fail the test."""
    with pytest.raises(NetworkForbidden):
        yield
    _attempts.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    _attempts.clear()
    result = yield
    if _attempts:
        pytest.fail(f"{item.nodeid} tried to leave this machine: {', '.join(_attempts)}", pytrace=False)
    return result
