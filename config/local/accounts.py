"""Under whose name the processes run: never as root where it can be helped.

PostgreSQL refuses to run as root. A start by root therefore uses a system user of Parley's own; a shared one such as
`nobody` would let every other program that runs under that name read the data.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.local.errors import SettingError


@dataclass(frozen=True)
class Account:
    """A user of the machine."""

    uid: int
    gid: int
    name: str

    @property
    def is_me(self) -> bool:
        return self.uid == os.geteuid()

    def popen_arguments(self) -> dict[str, Any]:
        """What `subprocess` needs to start a program under this name, without any group of the caller."""
        if self.is_me:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can_run(self, command: Sequence[str], directory: Path = Path("/")) -> bool:
        """Whether the command, run under this name in `directory`, ends with status 0."""
        try:
            ended = subprocess.run(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=60,
                check=False,
                **self.popen_arguments(),
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return ended.returncode == 0


def me() -> Account:
    """The user this process runs as (a number where the machine knows no name for it)."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Account(uid, os.getegid(), name)


def service_account(name: str) -> Account:
    """The unprivileged system user for a start by root; made where it does not exist yet.

    Raises `SettingError` where there is none and none can be made.
    """
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        _create(name)
        entry = pwd.getpwnam(name)
    if entry.pw_uid == 0:
        raise SettingError(f"SERVICE_USER has to be an unprivileged user; {name} is root.")
    return Account(entry.pw_uid, entry.pw_gid, name)


def _create(name: str) -> None:
    home, shell = "/nonexistent", "/bin/false"
    commands = (
        ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", home, "--shell", shell, name],
        ["adduser", "-S", "-D", "-H", "-h", home, "-s", shell, name],
    )
    for command in commands:
        if shutil.which(command[0]) and subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return
    raise SettingError(
        f"PostgreSQL does not run as root, and the system user {name} could not be made. "
        "Run as an ordinary user, or name an existing unprivileged user in SERVICE_USER."
    )


def become(account: Account) -> None:
    """Drop root's rights for good."""
    os.setgroups([])
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
