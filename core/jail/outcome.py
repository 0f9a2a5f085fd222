"""What a jailed run is given and what comes out of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

MEBIBYTE = 1024 * 1024

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of one run. Bytes and seconds throughout.

    `memory_bytes` bounds the address space (RLIMIT_AS), which is more than what is resident: threads' stacks
    and mapped libraries count too.
    """

    wall_seconds: float = 60.0
    cpu_seconds: int = 60
    memory_bytes: int = 1024 * MEBIBYTE
    output_bytes: int = 64 * MEBIBYTE
    open_files: int = 64
    file_bytes: int = 0


class FailureCode(StrEnum):
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASH = "crash"
    OUTPUT_LIMIT = "output_limit"
    ERROR = "error"
    UNPROTECTED = "unprotected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """The function returned. `result` is its JSON value, or bytes where it returned bytes.

    `protections` names what was in force besides the limits: `seccomp` always, `landlock` and `namespace`
    where the kernel has them.
    """

    result: Json | bytes
    protections: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The function did not return. `signal` is set for a crash, `error` (a class's name) for an exception."""

    code: FailureCode
    message: str
    signal: int | None = None
    error: str = ""


Outcome = Value | Failure
