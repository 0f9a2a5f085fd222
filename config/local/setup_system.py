#!/usr/bin/env python3
"""`python3 -I config/local/setup_system.py bubblewrap chromium`: system packages, where apt and the rights are there.

Run by the machine's own Python, so it uses the standard library only. It never fails: what cannot be installed is
named in one line with what stays off. A failed attempt is not repeated until `make system` asks for it.
"""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ATTEMPT = ROOT / ".venv" / ".system-packages-attempted"

# package → programs of which one has to be on the PATH, what is off without
PACKAGES = {
    "bubblewrap": (("bwrap",), "code that a model writes is not run"),
    "chromium": (("chromium", "chromium-browser", "google-chrome"), "the tests in a browser cannot run"),
    "tesseract-ocr": (("tesseract",), "pictures and scanned pages are not read"),
}


def main(wanted: list[str]) -> None:
    again = "--again" in wanted
    names = [name for name in wanted if name in PACKAGES]
    missing = [name for name in names if not _there(name)]
    if missing and (again or not ATTEMPT.exists()):
        problem = _install(missing)
        if problem:
            print(problem)
            with suppress(OSError):
                ATTEMPT.parent.mkdir(exist_ok=True)
                ATTEMPT.touch()
    for name in missing:
        if not _there(name):
            off = PACKAGES[name][1]
            print(f"{name} is not installed: {off}. To have it: apt-get install {name}, or `make system` as root.")


def _there(name: str) -> bool:
    return any(shutil.which(program) for program in PACKAGES[name][0])


def _install(names: list[str]) -> str:
    """Returns what went wrong, or an empty text."""
    if not shutil.which("apt-get"):
        return "This machine has no apt-get; its own package manager has to install the system packages."
    prefix = _prefix()
    if prefix is None:
        return "System packages can only be installed by root (or with sudo that asks for no password)."
    print(f"Installing {', '.join(names)} with apt-get…", flush=True)
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *names]):
        try:
            ended = subprocess.run(
                [*prefix, "apt-get", "--quiet", *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            )
        except subprocess.TimeoutExpired:
            return f"apt-get {arguments[0]} took too long."
        # an update may fail for one of several sources; the installation shows whether that mattered
        if ended.returncode != 0 and arguments[0] == "install":
            return f"apt-get install failed: {(ended.stderr.strip().splitlines() or ['no message'])[-1]}"
    return ""


def _prefix() -> list[str] | None:
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "-n"]
    if shutil.which("sudo") and subprocess.run([*sudo, "true"], check=False, capture_output=True).returncode == 0:
        return sudo
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
