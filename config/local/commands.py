"""The commands of Parley's own processes, the same here and in containers."""

import sys
from collections.abc import Sequence
from pathlib import Path

# seconds that open requests and sockets get when the web process is asked to end
WEB_DRAIN_SECONDS = 10
# seconds that running turns get after that (`chat.turns.runner`), and a little more
TURN_DRAIN_SECONDS = 25


def web_command(*, host: str, port: int, processes: int = 1, python: str = sys.executable) -> Sequence[str]:
    """Pages, uploads, WebSockets, turns. No access log: sign-in links are addresses."""
    return [
        *(python, "-m", "uvicorn", "config.asgi:application"),
        *("--host", host, "--port", str(port), "--workers", str(processes)),
        *("--ws", "websockets-sansio", "--lifespan", "on"),
        *("--no-access-log", "--no-server-header", "--log-level", "warning"),
        *("--timeout-graceful-shutdown", str(WEB_DRAIN_SECONDS)),
    ]


def worker_command(*, concurrency: int, python: str = sys.executable) -> Sequence[str]:
    """Documents, summaries, titles, sweeps."""
    return [
        *(python, "-m", "celery", "-A", "config", "worker"),
        *("--concurrency", str(concurrency), "--without-gossip", "--without-mingle"),
    ]


def beat_command(*, schedule: Path, python: str = sys.executable) -> Sequence[str]:
    """Periodic work."""
    return [*(python, "-m", "celery", "-A", "config", "beat"), *("--schedule", str(schedule), "--pidfile=")]


def manage_command(*arguments: str, python: str = sys.executable) -> Sequence[str]:
    return [python, "manage.py", *arguments]
