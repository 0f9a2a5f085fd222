"""A system call filter (classic BPF) that takes away the network, other processes and the way out to them.

It needs no privileges: `prctl(PR_SET_NO_NEW_PRIVS)` is enough. A list of what is refused, not of what is
allowed: the libraries that read documents use hundreds of harmless calls, which differ between their
versions. See seccomp(2) and the kernel's Documentation/userspace-api/seccomp_filter.rst; numbers are those of
asm/unistd_64.h (x86-64) and asm-generic/unistd.h (aarch64).
"""

import ctypes
import errno
import os
import struct

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_GREATER_EQUAL = 0x35
_JUMP_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06

_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000

# Offsets in struct seccomp_data: nr, arch, then after the instruction pointer the arguments (low word first).
_NUMBER, _ARCH, _ARGUMENT_0 = 0, 4, 16

_CLONE_THREAD = 0x00010000
_X32_BIT = 0x40000000

_ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# name: (x86_64, aarch64); -1 where the architecture lacks it
_REFUSED = {
    # the network; io_uring makes sockets without the call `socket`
    "socket": (41, 198),
    "io_uring_setup": (425, 425),
    # other programs
    "fork": (57, -1),
    "vfork": (58, -1),
    "execve": (59, 221),
    "execveat": (322, 281),
    # leaving the process group that is killed
    "setpgid": (109, 154),
    "setsid": (112, 157),
    # other processes of the same user
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    # parts of the kernel that a reader of documents has no business with
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
}
_CLONE = (56, 220)
_CLONE3 = (435, 435)
_TGKILL = (234, 131)
_PRLIMIT = (302, 261)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def install() -> None:
    """Refuse those calls to this process for good. Call it with one thread alive: threads made later inherit
    it.

    Raises OSError where the kernel or the architecture has no such filter.
    """
    code = _filter(os.uname().machine, os.getpid())
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    unset = ctypes.c_ulong(0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), unset, unset, unset):
        raise OSError(ctypes.get_errno(), "no_new_privs was refused")
    if libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(program), unset, unset):
        raise OSError(ctypes.get_errno(), "a seccomp filter was refused")


def _filter(machine: str, pid: int) -> bytes:
    if machine not in _ARCHES:
        raise OSError(errno.ENOSYS, f"no seccomp filter is written for {machine}")
    column = list(_ARCHES).index(machine)
    refuse = _ERRNO | errno.EPERM
    code = [
        # a call through another ABI has other numbers
        *[_op(_LOAD, _ARCH), _op(_JUMP_EQUAL, _ARCHES[machine], skip_if_true=1), _op(_RETURN, _KILL_PROCESS)],
        _op(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        code += [_op(_JUMP_GREATER_EQUAL, _X32_BIT, skip_if_false=1), _op(_RETURN, _KILL_PROCESS)]
    for numbers in _REFUSED.values():
        if numbers[column] >= 0:
            code += [_op(_JUMP_EQUAL, numbers[column], skip_if_false=1), _op(_RETURN, refuse)]
    # clone3 hides its flags behind a pointer; told that it does not exist, libc falls back to clone
    code += [_op(_JUMP_EQUAL, _CLONE3[column], skip_if_false=1), _op(_RETURN, _ERRNO | errno.ENOSYS)]
    # a thread is fine, a process is not
    code += _on(_CLONE[column], [_op(_JUMP_ANY_BIT, _CLONE_THREAD, skip_if_true=1), _op(_RETURN, refuse)])
    # abort() signals its own process
    code += _on(_TGKILL[column], [_op(_JUMP_EQUAL, pid, skip_if_true=1), _op(_RETURN, refuse)])
    # libraries ask for their own limits, by 0
    code += _on(_PRLIMIT[column], [_op(_JUMP_EQUAL, 0, skip_if_true=1), _op(_RETURN, refuse)])
    return b"".join([*code, _op(_RETURN, _ALLOW)])


def _on(number: int, checks: list[bytes]) -> list[bytes]:
    body = [_op(_LOAD, _ARGUMENT_0), *checks, _op(_RETURN, _ALLOW)]
    return [_op(_JUMP_EQUAL, number, skip_if_false=len(body)), *body]


def _op(code: int, value: int, *, skip_if_true: int = 0, skip_if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, skip_if_true, skip_if_false, value)
