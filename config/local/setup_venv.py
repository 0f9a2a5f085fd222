#!/usr/bin/env python3
"""`python3 -I config/local/setup_venv.py requirements.lock`: make `.venv` and install exactly what the lock file names.

Run by the machine's own Python before anything is installed, so it uses the standard library only. It needs pip there,
but not ensurepip (on Debian a package of its own), and does nothing when the lock has been installed before.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
# the second contains what the first names, in the same versions
LOCKS = ("requirements.lock", "requirements-dev.lock")


def main(lock: str) -> None:
    if sys.version_info < (3, 11):  # noqa: UP036  (this file is run by whatever Python the machine has)
        sys.exit(f"Parley needs Python 3.11 or later; {sys.executable} is {sys.version.split()[0]}. Set PYTHON=….")
    descriptor = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        if not _works():
            shutil.rmtree(VENV, ignore_errors=True)
            venv.EnvBuilder(symlinks=True, with_pip=False).create(VENV)
    except OSError as error:
        sys.exit(f"{VENV} cannot be used: {error}. Use a checkout that belongs to you.")
    if not _stamped(lock):
        print(f"Installing {lock} into .venv…", flush=True)
        _install(ROOT / lock)
        for name in LOCKS[: LOCKS.index(lock) + 1]:
            _stamp(name).write_text(_digest(name), encoding="ascii")


def _works() -> bool:
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    return PYTHON.exists() and subprocess.run([PYTHON, "-c", check], check=False).returncode == 0


def _digest(lock: str) -> str:
    return hashlib.sha256((ROOT / lock).read_bytes()).hexdigest()


def _stamp(lock: str) -> Path:
    return VENV / f".installed-{lock}"


def _stamped(lock: str) -> bool:
    return _stamp(lock).exists() and _stamp(lock).read_text(encoding="ascii") == _digest(lock)


def _install(lock: Path) -> None:
    # in an activated environment `python3` is the one without pip
    base = getattr(sys, "_base_executable", sys.executable)
    if subprocess.run([base, "-m", "pip", "--version"], check=False, capture_output=True).returncode == 0:
        installer = [base, "-m", "pip", "--python", str(PYTHON), "--disable-pip-version-check", "--no-input", "install"]
    elif shutil.which("uv"):
        installer = ["uv", "pip", "install", "--python", str(PYTHON)]
    else:
        sys.exit(f"{base} has no pip; install it (on Debian: apt install python3-pip).")
    ended = subprocess.run(
        [*installer, "--quiet", "--require-hashes", "-r", str(lock)],
        check=False,
        env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"},
    )
    if ended.returncode != 0:
        sys.exit(f"{lock.name} could not be installed; the lines above say why.")


if __name__ == "__main__":
    main(sys.argv[1])
