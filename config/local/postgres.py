"""PostgreSQL 18 with pgvector from a wheel: one cluster in the data folder, reachable through a Unix socket only.

Three roles with random passwords (SCRAM): `parley_admin` makes roles and extensions and is used by nothing else,
`parley_owner` owns the database and changes its tables, `parley_app` reads and writes rows.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from config.local.accounts import Account
from config.local.binaries import PostgresBinaries
from config.local.errors import LocalError, StepFailed
from config.local.keys import Keys
from config.local.places import Places
from config.local.process import Program, Stage

ADMIN = "parley_admin"
OWNER = "parley_owner"
APP = "parley_app"
DATABASE = "parley"

_INITDB = (
    "--encoding=UTF8",
    # PostgreSQL's own Unicode rules: the same order and case on every machine, whatever locales it has
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--auth=scram-sha-256",
    "--data-checksums",
    "--no-instructions",
)
_TUNING: Mapping[str, str] = {
    # for two cores and a few gigabytes; ALTER SYSTEM wins over what initdb writes
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "256MB",
    "max_connections": "200",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u ",
}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One cluster: `create` it once, run its `program`, wait until it is `ready`, `settle` roles and database."""

    places: Places
    binaries: PostgresBinaries
    account: Account
    keys: Keys
    overrides: Mapping[str, str] = field(default_factory=dict)

    def url(self, role: str = APP, database: str = DATABASE) -> str:
        """In the form that libpq and django-environ both read."""
        password = {ADMIN: self.keys.postgres_admin, OWNER: self.keys.postgres_owner, APP: self.keys.postgres_app}
        return f"postgresql://{role}:{password[role]}@/{database}?host={quote(str(self.places.run), safe='')}"

    def create(self) -> bool:
        """Run initdb unless the cluster exists; true where it was made. Raises `LocalError`.

        A cluster of another major version is refused, not touched.
        """
        version = self.places.cluster / "PG_VERSION"
        if version.exists():
            self._refuse_other_major(version.read_text(encoding="ascii").strip())
            return False
        # an initdb that was interrupted leaves nothing at the place where the next start looks
        new = self.places.postgres / "new"
        shutil.rmtree(new, ignore_errors=True)
        self._initdb(new)
        new.rename(self.places.cluster)
        return True

    def program(self) -> Program:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.places.run),
            "unix_socket_permissions": "0700",
            "password_encryption": "scram-sha-256",
            "dynamic_shared_memory_type": _shared_memory(),
            **self.overrides,
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Program(
            name="postgres",
            command=[str(self.binaries.server), "-D", str(self.places.cluster), *arguments],
            environment=_environment(),
            directory=self.places.cluster,
            account=self.account,
            # fast shutdown, then immediate
            stop=(Stage(signal.SIGINT, 20), Stage(signal.SIGQUIT, 10)),
            orphan_signal=signal.SIGINT,
            shows=r"\b(FATAL|PANIC): +(?! |the database system is|terminating connection)",
        )

    def ready(self) -> bool:
        """Whether it takes connections."""
        try:
            self._connect("postgres").close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise LocalError(
                    f"{self.places.keys} does not fit the database in {self.places.postgres}; "
                    "restore both from the same backup."
                ) from error
            return False
        return True

    def settle(self, *, may_create_databases: bool = False) -> None:
        """Make what is missing of roles, database, extension and rights; a later start changes nothing.

        `may_create_databases` lets the owner role make test databases.
        """
        with self._connect("postgres") as connection:
            found = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
            for role, password in ((OWNER, self.keys.postgres_owner), (APP, self.keys.postgres_app)):
                if role not in found:
                    _make_role(connection, role, password)
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                self._extend("template1")
                connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
            if may_create_databases:
                connection.execute(f"ALTER ROLE {OWNER} CREATEDB")
        self._extend(DATABASE)
        with self._connect(DATABASE) as connection:
            for statement in _RIGHTS:
                connection.execute(statement)

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(self.url(ADMIN, database), connect_timeout=5, autocommit=True)

    def _extend(self, database: str) -> None:
        with self._connect(database) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            # the wheel may have brought a newer pgvector since
            connection.execute("ALTER EXTENSION vector UPDATE")

    def _refuse_other_major(self, found: str) -> None:
        ours = str(self.binaries.major())
        if found != ours:
            raise LocalError(
                f"{self.places.postgres} was made by PostgreSQL {found}, and this Parley brings PostgreSQL {ours}: "
                "dump it with the former version and restore the dump."
            )

    def _initdb(self, target: Path) -> None:
        settings = [f"--set={name}={value}" for name, value in _TUNING.items()]
        sync = ["--no-sync"] if self.overrides.get("fsync") == "off" else []
        with _password_file(self.places.postgres / "password", self.keys.postgres_admin, self.account) as password:
            ended = subprocess.run(
                [self.binaries.initdb, "-D", target, "-U", ADMIN, f"--pwfile={password}", *_INITDB, *settings, *sync],
                env=_environment(),
                cwd=self.places.postgres,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                **self.account.popen_arguments(),
            )
        if ended.returncode != 0:
            lines = (ended.stderr or ended.stdout).strip().splitlines() or ["no message"]
            raise StepFailed(f"PostgreSQL's initdb failed: {lines[0]}")
        (target / "pg_hba.conf").write_text("local all all scram-sha-256\n", encoding="ascii")


_RIGHTS = (
    f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC",
    f"GRANT CONNECT, TEMPORARY ON DATABASE {DATABASE} TO {APP}",
    f"GRANT USAGE ON SCHEMA public TO {APP}",
    f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {APP}",
    f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} GRANT USAGE, SELECT ON SEQUENCES TO {APP}",
)


@contextmanager
def _password_file(path: Path, password: str, account: Account) -> Iterator[Path]:
    """initdb takes a password from a file only."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password + "\n")
        os.fchown(file.fileno(), account.uid, account.gid)
    try:
        yield path
    finally:
        path.unlink()


def _make_role(connection: psycopg.Connection, role: str, password: str) -> None:
    """The password leaves this process as a SCRAM verifier, so that no log can hold it."""
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    connection.execute(
        sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
            sql.Identifier(role), sql.Literal(verifier.decode())
        )
    )


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _shared_memory() -> str:
    """Containers often have 64 MB of /dev/shm, too little for a parallel index build; files do there."""
    try:
        shm = os.statvfs("/dev/shm")  # noqa: S108  (only its size is read)
    except OSError:
        return "mmap"
    return "posix" if shm.f_frsize * shm.f_blocks >= 1024**3 else "mmap"
