"""`healthcheck.py PORT`: whether the web process here is well, asked as a proxy with TLS would pass a visitor on."""

import http.client
import os
import sys
from urllib.parse import urlsplit


def is_well(*, port: int, public_url: str) -> bool:
    """Whether `/healthz` answers 200 on this port within 4 seconds to a request for `public_url`."""
    public = urlsplit(public_url)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        headers = {"Host": public.netloc, "X-Forwarded-Proto": public.scheme}
        connection.request("GET", "/healthz", headers=headers)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not is_well(port=int(sys.argv[1]), public_url=os.environ["PUBLIC_URL"]))
