"""Which pages may open a socket: those of this site, by the rule that Django has for forms (CWE-1385)."""

from typing import Any
from urllib.parse import urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import split_domain_port, validate_host

_PORTS = {"http": 80, "https": 443}


class SameOrigin:
    """Lets a socket through whose Origin is the host and port that it was opened at, or is trusted.

    Browsers send the session's cookie to every port of a host, so the host alone says nothing. The host must be one
    of ours: a foreign name may lead here too. All this is asked before the session is looked at.
    """

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        may_pass = is_ours(headers.get(b"origin", ""), headers.get(b"host", ""))
        return await (self._application if may_pass else WebsocketDenier())(scope, receive, send)


def is_ours(origin: str, host: str) -> bool:
    """Whether a page of this origin may talk to the site that it calls by this host."""
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    try:
        asked = urlsplit(origin)
        port = asked.port
    except ValueError:
        return False
    # a secure cookie is no business of a page that anybody on the way can write
    if asked.scheme not in ({"https"} if settings.SESSION_COOKIE_SECURE else _PORTS):
        return False
    domain, host_port = split_domain_port(host)
    own = _PORTS[asked.scheme]
    return validate_host(domain, settings.ALLOWED_HOSTS) and (asked.hostname, port or own) == (
        domain.strip("[]"),
        int(host_port or own),
    )
