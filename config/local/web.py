"""Is the port free, and does the web process answer?"""

import errno
import http.client
import socket
from urllib.parse import urlsplit

from config.local.errors import SettingError

HEALTH_PATH = "/healthz"


def check_port(host: str, port: int) -> None:
    """Raises `SettingError` where nobody could listen there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            # a server that has just ended leaves connections that do not stand in our way
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        raise SettingError(_why(error, host, port)) from error


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use by another program; stop that one or set PORT, e.g. PORT={port + 1}."
    if error.errno == errno.EACCES:
        return f"Port {port} may only be used by root; set PORT to one above 1023."
    return f"HOST {host} with PORT {port} cannot be used: {error.strerror}."


def answers(host: str, port: int, public_url: str) -> bool:
    """Whether the health page says 200, asked as a visitor of the public address would be passed on by a proxy."""
    public = urlsplit(public_url)
    connection = http.client.HTTPConnection(_reachable(host), port, timeout=2)
    try:
        headers = {"Host": public.netloc, "X-Forwarded-Proto": public.scheme}
        connection.request("GET", HEALTH_PATH, headers=headers)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  (compared, not bound)
