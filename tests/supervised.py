"""A supervisor over programs given as JSON, in a process of its own that tests can kill.

    python -m tests.supervised FOLDER '[{"name": …, "command": […], "seconds": 5}, …]'

`[]` starts PostgreSQL and Redis of `config.local` instead. Says "up" when everything has started.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from config.local.accounts import Account, me, service_account
from config.local.errors import LocalError
from config.local.keys import keep_keys
from config.local.leftovers import end_leftovers
from config.local.lock import hold
from config.local.options import BASE_DIR, read_options
from config.local.places import claim, lay_out, lock_path
from config.local.process import MARK, Program, Stage
from config.local.stack import STOP_ORDER, make_stack
from config.local.supervisor import Supervisor
from config.local.terminal import Terminal
from config.local.up import start_servers


def servers_account() -> Account:
    return service_account("parley") if me().uid == 0 else me()


def main(folder: Path, programs: list[dict[str, object]]) -> int:
    terminal = Terminal()
    claim(folder)
    with hold(lock_path(folder)) as lock:
        places = lay_out(folder, application=me(), servers=servers_account())
        terminal.say(f"ended {end_leftovers(folder, patience=1)}")
        with Supervisor(terminal, places.log, stop_order=STOP_ORDER) as supervisor:
            if programs:
                for program in programs:
                    supervisor.keep(_program(folder, program))
            else:
                options = read_options({"DATA_DIR": str(folder)}, as_root=False, base_dir=BASE_DIR)
                stack = make_stack(options, places, keep_keys(places.keys), servers_account())
                begun = time.monotonic()
                start_servers(stack, supervisor, terminal)
                terminal.say(f"seconds {time.monotonic() - begun:.2f}")
            lock.tell(programs=dict(supervisor.pids))
            terminal.say("up")
            supervisor.run()
    terminal.say("stopped")
    return 0


def _program(folder: Path, given: dict[str, object]) -> Program:
    command = [str(part) for part in given["command"]]  # type: ignore[attr-defined]
    return Program(
        name=str(given["name"]),
        command=command,
        environment={**os.environ, MARK: str(folder)},
        directory=folder,
        stop=(Stage(signal.SIGTERM, float(str(given.get("seconds", 5)))),),
    )


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
    except LocalError as error:
        Terminal().say(str(error))
        sys.exit(error.status)
