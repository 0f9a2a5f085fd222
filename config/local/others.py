"""The small commands beside `up`: `down`, `status`, `env`, `manage`."""

import os
import shlex
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from config.local.accounts import Account, become, me
from config.local.commands import manage_command
from config.local.errors import LocalError
from config.local.keys import read_keys
from config.local.lock import holder
from config.local.options import BASE_DIR, Options, read_options
from config.local.places import find_places, lock_path
from config.local.stack import Stack, make_stack
from config.local.terminal import Terminal
from retrieval.extraction.ocr import available

_DOWN_SECONDS = 150.0
_OWNERS_COMMANDS = frozenset({"migrate", "sqlmigrate", "flush"})


def down(environment: Mapping[str, str], terminal: Terminal) -> None:
    """Stop the running instance and wait for its end. Raises `LocalError` where it does not end."""
    options = _options(environment)
    facts = holder(lock_path(options.data_dir))
    if facts is None:
        terminal.say(f"Parley is not running on {options.data_dir}.")
        return
    with suppress(ProcessLookupError):
        os.kill(int(facts["pid"]), signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_SECONDS
    while holder(lock_path(options.data_dir)) is not None:
        if time.monotonic() > deadline:
            raise LocalError(f"Process {facts['pid']} has not ended after {_DOWN_SECONDS:.0f} seconds.")
        time.sleep(0.1)
    terminal.say("Stopped.")


def status(environment: Mapping[str, str], terminal: Terminal) -> None:
    options = _options(environment)
    facts = holder(lock_path(options.data_dir))
    if facts is None:
        terminal.say(f"Parley is not running on {options.data_dir}.")
        return
    where = facts.get("url")
    terminal.say(f"Parley is running: {where}" if where else "Parley is starting.")
    terminal.say(f"  supervisor: process {facts.get('pid')}, data in {options.data_dir}")
    for name, pid in facts.get("programs", {}).items():
        terminal.say(f"  {name}: process {pid}")
    ocr = available()
    terminal.say(
        f"  OCR: {', '.join(ocr.languages)}" if ocr else "  OCR: none, pictures and scanned pages are not read"
    )


def env(environment: Mapping[str, str], terminal: Terminal) -> None:
    """Print, as shell `export`s, what a Django command needs to reach the running servers. It holds passwords."""
    stack = _running_stack(_options(environment))
    wanted = stack.environment()
    for name in sorted(wanted):
        if wanted[name] != os.environ.get(name):
            terminal.say(f"export {name}={shlex.quote(wanted[name])}")


def manage(environment: Mapping[str, str], arguments: Sequence[str]) -> None:
    """Replace this process by `manage.py` with those arguments, as the user who runs the instance."""
    stack = _running_stack(_options(environment))
    wanted = stack.environment(as_owner=bool(arguments) and arguments[0] in _OWNERS_COMMANDS)
    folder = stack.places.data.stat()
    os.chdir(BASE_DIR)
    if me().uid == 0 and folder.st_uid != 0:
        become(Account(folder.st_uid, folder.st_gid, str(folder.st_uid)))
        wanted["HOME"] = str(stack.places.data)
    os.execve(sys.executable, list(manage_command(*arguments)), wanted)  # noqa: S606


def _options(environment: Mapping[str, str]) -> Options:
    return read_options(environment, as_root=me().uid == 0)


def _running_stack(options: Options) -> Stack:
    if holder(lock_path(options.data_dir)) is None and (options.database_is_ours or options.redis_is_ours):
        raise LocalError(f"Parley is not running on {options.data_dir}; start it with `make up` first.")
    places = find_places(options.data_dir)
    return make_stack(options, places, read_keys(places.keys), me())
