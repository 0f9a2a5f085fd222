"""`python -m config.local up`: everything Parley needs, under one supervisor, until Ctrl-C."""

import os
import sys
from collections.abc import Mapping

from config.local.accounts import Account, become, me, service_account
from config.local.errors import StepFailed, Stopped
from config.local.external import check_database, check_redis
from config.local.keys import keep_keys
from config.local.leftovers import end_leftovers, forget_dead_postmaster
from config.local.lock import Lock, hold
from config.local.options import BASE_DIR, Options, read_options
from config.local.places import Places, claim, lay_out, lock_path
from config.local.stack import STOP_ORDER, Stack, make_stack
from config.local.supervisor import Supervisor
from config.local.terminal import Terminal
from config.local.web import answers, check_port

# a cluster that was killed replays what it had not yet written to its files
_PG_SECONDS = 300.0
_REDIS_SECONDS = 30.0
_STEP_SECONDS = 900.0
_WEB_SECONDS = 90.0


def up(environment: Mapping[str, str], terminal: Terminal) -> None:
    """Run Parley until a signal asks to stop. Raises `LocalError`.

    A start by root goes on under an unprivileged user's name wherever that user can read the code.
    """
    os.umask(0o077)
    options = read_options(environment, as_root=me().uid == 0)
    for warning in options.warnings:
        terminal.say(warning)
    claim(options.data_dir)
    with hold(lock_path(options.data_dir)) as lock:
        application, servers = _accounts(options)
        places = lay_out(options.data_dir, application=application, servers=servers)
        if application.is_me:
            _say_if_root(application, servers, terminal)
            _run(options, places, servers, lock, terminal)
            return
    _go_on_as(application, options)


def _accounts(options: Options) -> tuple[Account, Account]:
    """Who runs Parley's own processes, and who runs PostgreSQL and Redis."""
    mine = me()
    if mine.uid != 0:
        return mine, mine
    service = service_account(options.service_user)
    readable = service.can_run([sys.executable, "-c", "import config.local.up"], BASE_DIR)
    return (service, service) if readable else (mine, service)


def _say_if_root(application: Account, servers: Account, terminal: Terminal) -> None:
    if application.uid == 0:
        terminal.say(
            f"Parley runs as root, PostgreSQL and Redis as {servers.name}: that user cannot read {BASE_DIR} or its "
            "Python. Put Parley into a folder that it can read, such as /opt/parley, to run all of it unprivileged."
        )


def _go_on_as(account: Account, options: Options) -> None:
    environment = {
        **options.environment,
        "DATA_DIR": str(options.data_dir),
        "HOME": str(options.data_dir),
        "USER": account.name,
        "LOGNAME": account.name,
    }
    os.chdir(BASE_DIR)
    become(account)
    os.execve(sys.executable, [sys.executable, "-m", "config.local", "up"], environment)  # noqa: S606


def _run(options: Options, places: Places, servers: Account, lock: Lock, terminal: Terminal) -> None:
    ended = end_leftovers(places.data)
    if ended:
        terminal.say(f"Ended {ended} processes that a former start had left behind.")
    check_port(options.host, options.port)
    stack = make_stack(options, places, keep_keys(places.keys), servers)
    _check_external(stack)
    with Supervisor(terminal, places.log, stop_order=STOP_ORDER) as supervisor:
        try:
            _start(stack, supervisor, lock, terminal)
            supervisor.run()
        except Stopped:
            pass
        terminal.say("Stopping…")
    terminal.say("Stopped.")


def _check_external(stack: Stack) -> None:
    environment = stack.environment()
    if stack.cluster is None:
        check_database("DATABASE_URL", environment["DATABASE_URL"])
        if environment.get("DATABASE_OWNER_URL"):
            check_database("DATABASE_OWNER_URL", environment["DATABASE_OWNER_URL"])
    if stack.redis is None:
        check_redis(environment)


def _start(stack: Stack, supervisor: Supervisor, lock: Lock, terminal: Terminal) -> None:
    start_servers(stack, supervisor, terminal)
    terminal.say("Preparing the database and the pages…")
    supervisor.run_steps([stack.migrate(), stack.collect_static()], seconds=_STEP_SECONDS)
    said = supervisor.run_steps([stack.bootstrap()], seconds=_STEP_SECONDS)["bootstrap"]
    terminal.say("Starting web, worker and beat…")
    for program in (stack.web(), stack.worker(), stack.beat()):
        supervisor.keep(program)
    options = stack.options
    if not supervisor.wait(lambda: answers(options.host, options.port, options.public_url), _WEB_SECONDS, every=0.25):
        raise StepFailed(
            f"The web process does not answer after {_WEB_SECONDS:.0f} seconds; see {stack.places.log / 'web.log'}."
        )
    lock.tell(url=options.public_url, programs=dict(supervisor.pids))
    for line in said:
        terminal.say(line)
    terminal.say(f"Parley is ready: {options.public_url}  (Ctrl-C stops it; logs in {stack.places.log})")


def start_servers(stack: Stack, supervisor: Supervisor, terminal: Terminal) -> None:
    if stack.cluster:
        if not (stack.places.cluster / "PG_VERSION").exists():
            terminal.say(f"Making a database in {stack.places.postgres}…")
        stack.cluster.create()
        supervisor.keep(stack.cluster.program(), before_start=lambda: forget_dead_postmaster(stack.places.data))
    if stack.redis:
        supervisor.keep(stack.redis.program())
    for server, program, seconds in ((stack.redis, "redis", _REDIS_SECONDS), (stack.cluster, "postgres", _PG_SECONDS)):
        if server and not supervisor.wait(server.ready, seconds):
            log = stack.places.log / f"{program}.log"
            raise StepFailed(f"{program} does not answer after {seconds:.0f} seconds; see {log}.")
    if stack.cluster:
        stack.cluster.settle()
