"""`python -m config.local up | down | status | env | manage …`: Parley on one machine."""

import argparse
import os
import sys

from config.local.errors import LocalError
from config.local.others import down, env, manage, status
from config.local.terminal import Terminal
from config.local.up import up


def main() -> int:
    """Run one command; what goes wrong is one sentence on standard error and a status of its own."""
    parser = argparse.ArgumentParser(prog="python -m config.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start everything; Ctrl-C stops it")
    commands.add_parser("down", help="stop what `up` runs elsewhere")
    commands.add_parser("status", help="what is running")
    commands.add_parser("env", help="print the environment for Django commands (holds passwords)")
    commands.add_parser("manage", help="run manage.py against the running servers", add_help=False)
    chosen, rest = parser.parse_known_args()
    if rest and chosen.command != "manage":
        parser.error(f"unknown argument {rest[0]}")
    terminal = Terminal()
    try:
        match chosen.command:
            case "manage":
                manage(os.environ, rest)
            case "env":
                env(os.environ, terminal)
            case other:
                {"up": up, "down": down, "status": status}[other](os.environ, terminal)
    except LocalError as error:
        Terminal(sys.stderr).say(str(error))
        return error.status
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
