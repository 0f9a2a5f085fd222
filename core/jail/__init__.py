"""A jail: runs one function over bytes nobody trusts, in a child process that can be killed and can do
little.

The child has no network, no secrets in its environment, no inherited socket or database connection, no way to
start other processes, no way to write a file, and limits on memory, CPU, wall time and output. What it may
read is Python, its libraries and our own packages; the bytes to work on arrive through a descriptor that is
already open.

    outcome = jail.run("retrieval.extraction.entry:run", data=path, arguments={"mime": mime})

`run` never raises for what the function did: the outcome is a `Value` or a `Failure`. A function may say how far it
is (`core.jail.progress.report`), for whoever passes `on_progress`.
"""

from core.jail.outcome import Failure, FailureCode, Json, Limits, Outcome, Value
from core.jail.progress import OnProgress
from core.jail.runner import run

__all__ = ["Failure", "FailureCode", "Json", "Limits", "OnProgress", "Outcome", "Value", "run"]
