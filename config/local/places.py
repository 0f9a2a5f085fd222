"""Where everything lies inside the data folder, who owns it, and where the sockets are."""

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from config.local.accounts import Account
from config.local.errors import SettingError

# sun_path holds 108 bytes with the closing NUL; PostgreSQL appends this name to the folder
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_MAX = 107

_OF_SERVERS = ("postgres", "redis", "run")
_OF_APPLICATION = ("log", "files", "static")
_MARK = "lock"
_OWN_NAMES = {*_OF_SERVERS, *_OF_APPLICATION, _MARK, "keys.json", "software", "run-directory", "lost+found"}


@dataclass(frozen=True)
class Places:
    """Paths of one installation; `run` is short enough for sockets and open to the servers' user only."""

    data: Path
    run: Path

    @property
    def postgres(self) -> Path:
        return self.data / "postgres"

    @property
    def cluster(self) -> Path:
        return cluster_path(self.data)

    @property
    def redis(self) -> Path:
        return self.data / "redis"

    @property
    def log(self) -> Path:
        return self.data / "log"

    @property
    def software(self) -> Path:
        return self.data / "software"

    @property
    def keys(self) -> Path:
        return self.data / "keys.json"

    @property
    def beat_schedule(self) -> Path:
        return self.data / "beat-schedule"

    @property
    def redis_socket(self) -> Path:
        return self.run / "redis.sock"


def lock_path(data: Path) -> Path:
    return data / _MARK


def cluster_path(data: Path) -> Path:
    return data / "postgres" / "data"


def claim(data: Path) -> None:
    """Make the data folder if need be. Raises `SettingError` where it holds other things or cannot be made."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if lock_path(data).exists():
            return
        foreign = sorted(entry.name for entry in data.iterdir() if entry.name not in _OWN_NAMES)
    except OSError as error:
        raise SettingError(f"DATA_DIR {data} cannot be used: {error.strerror}.") from error
    if foreign:
        raise SettingError(f"DATA_DIR {data} holds other things ({foreign[0]}); name an empty folder.")


def lay_out(data: Path, *, application: Account, servers: Account) -> Places:
    """Make the folders that are missing, each for its owner; what root or a former user left is handed over.

    To be called after `claim`, with the lock held. Raises `SettingError` where the folder is not ours or cannot be
    reached by the servers' user.
    """
    try:
        _own(data, application, 0o700 if application == servers else 0o711)
        for name, owner in _owners(application, servers):
            (data / name).mkdir(mode=0o700, exist_ok=True)
            _own(data / name, owner, 0o700)
    except OSError as error:
        raise SettingError(f"DATA_DIR {data} cannot be used: {error.strerror}.") from error
    if not servers.is_me and not servers.can_run(["test", "-x", str(data / "postgres")]):
        raise SettingError(
            f"DATA_DIR {data} cannot be reached by the user {servers.name}, under whose name the servers run. "
            "Name a folder that it can reach, such as /var/lib/parley."
        )
    return Places(data, _run_directory(data, servers))


def find_places(data: Path) -> Places:
    """The places of an installation that has been laid out before."""
    note = data / "run-directory"
    return Places(data, Path(note.read_text(encoding="utf-8")) if note.exists() else data / "run")


def _owners(application: Account, servers: Account) -> list[tuple[str, Account]]:
    return [(name, servers) for name in _OF_SERVERS] + [(name, application) for name in _OF_APPLICATION]


def _own(path: Path, owner: Account, mode: int) -> None:
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise SettingError(f"{path} has to be a folder.")
    if found.st_uid != owner.uid:
        if os.geteuid() != 0:
            raise SettingError(f"{path} belongs to another user.")
        _hand_over(path, owner)
    if stat.S_IMODE(found.st_mode) != mode:
        path.chmod(mode)


def _hand_over(top: Path, owner: Account) -> None:
    """Change owners without following links: whoever owned the tree may have planted some."""
    for _, _, names, folder in os.fwalk(top, follow_symlinks=False):
        os.fchown(folder, owner.uid, owner.gid)
        for name in names:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if found.st_nlink == 1:
                os.chown(name, owner.uid, owner.gid, dir_fd=folder, follow_symlinks=False)


def _run_directory(data: Path, owner: Account) -> Path:
    inside = data / "run"
    if len(os.fsencode(inside / SOCKET_NAME)) <= SOCKET_PATH_MAX:
        return inside
    note = data / "run-directory"
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    wanted = Path(note.read_text(encoding="utf-8")) if note.exists() else None
    short = Path("/tmp") / f"parley-{owner.uid}-{digest}"  # noqa: S108  (made exclusively, or checked to be ours)
    for path in filter(None, (wanted, short)):
        if _make_private(path, owner):
            break
    else:
        path = Path(tempfile.mkdtemp(prefix="parley-", dir="/tmp"))
        os.chown(path, owner.uid, owner.gid)
    note.write_text(str(path), encoding="utf-8")
    return path


def _make_private(path: Path, owner: Account) -> bool:
    """Make the folder, or check that what stands there is ours and closed to everyone else."""
    try:
        path.mkdir(mode=0o700)
        os.chown(path, owner.uid, owner.gid)
    except FileExistsError:
        found = path.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == owner.uid and not found.st_mode & 0o077
    except OSError:
        return False
    return True
