"""The jail: what goes in comes out, and what must not be possible is not. Each attack also runs outside, and works."""

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core import jail
from core.jail import Failure, FailureCode, Limits, Value

EVAL = "builtins:eval"
EXEC = "builtins:exec"
SHORT = Limits(wall_seconds=60, cpu_seconds=20)


def evaluate(code: str, limits: Limits = SHORT) -> jail.Outcome:
    return jail.run(EVAL, data=code.encode(), limits=limits)


def execute(code: str, limits: Limits = SHORT) -> jail.Outcome:
    return jail.run(EXEC, data=code.encode(), limits=limits)


def outside(code: str) -> "subprocess.CompletedProcess[str]":
    """The control: the same code in a child process without a jail."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def failed(outcome: jail.Outcome) -> Failure:
    assert isinstance(outcome, Failure), outcome
    return outcome


def test_json_comes_back() -> None:
    outcome = evaluate("{'text': 'é漢🙂', 'pages': [[0, 3]], 'none': None}")
    assert isinstance(outcome, Value)
    assert outcome.result == {"text": "é漢🙂", "pages": [[0, 3]], "none": None}
    assert "seccomp" in outcome.protections


def test_bytes_come_back_whole() -> None:
    outcome = evaluate(r"bytes(range(256)) * 1000 + b'\n'")
    assert isinstance(outcome, Value)
    assert outcome.result == bytes(range(256)) * 1000 + b"\n"


def test_a_file_and_arguments_go_in(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_bytes(b"b\xc3\xa9")
    outcome = jail.run("codecs:decode", data=path, arguments={"encoding": "utf-8"})
    assert isinstance(outcome, Value)
    assert outcome.result == "bé"


def test_it_starts_quickly() -> None:
    """In time of the processor: by the clock it takes as long as a busy machine lets it."""

    def seconds() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    times = []
    for _ in range(5):
        before = seconds()
        evaluate("1")
        times.append(seconds() - before)
    assert 0 < min(times) < 0.4


def test_an_exception_is_an_outcome() -> None:
    failure = failed(execute("raise KeyError('no such page')"))
    assert (failure.code, failure.error) == (FailureCode.ERROR, "KeyError")
    assert "no such page" in failure.message


def test_what_json_cannot_hold_is_an_error() -> None:
    assert failed(evaluate("object()")).code is FailureCode.ERROR


def test_printing_does_not_reach_the_answer() -> None:
    outcome = evaluate("print('{\"kind\": \"json\"}') or __import__('os').write(1, b'junk') and 7")
    assert isinstance(outcome, Value)
    assert outcome.result == 7


@pytest.mark.parametrize("code", ["while True: pass", "import time; time.sleep(600)"])
def test_wall_time_is_bounded(code: str) -> None:
    started = time.monotonic()
    failure = failed(execute(code, Limits(wall_seconds=0.8, cpu_seconds=300)))
    assert failure.code is FailureCode.TIMEOUT
    assert time.monotonic() - started < 60


def test_cpu_time_is_bounded() -> None:
    failure = failed(execute("while True: pass", Limits(wall_seconds=100, cpu_seconds=1)))
    assert failure.code is FailureCode.TIMEOUT
    assert "CPU" in failure.message


@pytest.mark.parametrize("code", ["bytearray(2_000_000_000)", "[0] * 10**9", "[b'x' * 10**6 for _ in range(10**6)]"])
def test_memory_is_bounded(code: str) -> None:
    assert failed(evaluate(f"len({code})", Limits(memory_bytes=300 << 20))).code is FailureCode.MEMORY


def test_a_crash_is_told_with_its_signal() -> None:
    failure = failed(execute("import ctypes; ctypes.string_at(0)"))
    assert (failure.code, failure.signal) == (FailureCode.CRASH, signal.SIGSEGV)
    failure = failed(execute("import os; os.abort()"))
    assert (failure.code, failure.signal) == (FailureCode.CRASH, signal.SIGABRT)


def test_leaving_without_an_answer_is_a_crash() -> None:
    failure = failed(execute("import os; os._exit(0)"))
    assert failure.code is FailureCode.CRASH
    assert "status 0" in failure.message


def test_output_is_bounded() -> None:
    limits = Limits(output_bytes=1000)
    assert isinstance(evaluate("'x' * 900", limits), Value)
    assert failed(evaluate("'x' * 2000", limits)).code is FailureCode.OUTPUT_LIMIT


def test_output_is_bounded_for_one_that_does_not_ask() -> None:
    # descriptor 1 is not the answer's any more: find the pipe and flood it
    flood = "import os\nfor d in range(3, 20):\n try:\n  while True: os.write(d, b'x' * 65536)\n except OSError: pass"
    assert failed(execute(flood, Limits(output_bytes=1000))).code is FailureCode.OUTPUT_LIMIT


def test_a_forged_answer_is_not_trusted() -> None:
    forge = (
        "import os\nfor d in range(3, 20):\n try: os.write(d, b'{\"kind\": 1}\\n')\n except OSError: pass\nos._exit(0)"
    )
    assert failed(execute(forge)).code is FailureCode.CRASH


def test_diagnostics_are_bounded_and_do_not_block() -> None:
    outcome = evaluate("__import__('sys').stderr.write('x' * 5_000_000) and 1")
    assert isinstance(outcome, Value)


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_no_network(listener: int) -> None:
    connect = f"import socket; socket.create_connection(('127.0.0.1', {listener}), 5)"
    assert outside(connect).returncode == 0
    assert failed(execute(connect)).error == "PermissionError"


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"])
def test_no_socket_of_any_family(family: str) -> None:
    create = f"import socket; socket.socket(socket.{family}, socket.SOCK_DGRAM)"
    assert outside(create).returncode == 0
    assert failed(execute(create)).error == "PermissionError"


def test_no_socket_by_a_plain_system_call() -> None:
    number = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
    call = f"__import__('ctypes').CDLL(None, use_errno=True).syscall({number}, 2, 1, 0)"
    assert int(outside(f"print({call})").stdout) > 0
    outcome = evaluate(call)
    assert isinstance(outcome, Value)
    assert outcome.result == -1


@pytest.mark.parametrize(
    "start",
    ["import subprocess; subprocess.run(['true'])", "import os; os._exit(0) if os.fork() == 0 else os.wait()"],
)
def test_no_other_process(start: str) -> None:
    assert outside(start).returncode == 0
    assert failed(execute(start)).error == "PermissionError"


def test_threads_are_allowed() -> None:
    code = "(f := __import__('concurrent.futures').futures.ThreadPoolExecutor(2)).submit(lambda: 5).result()"
    outcome = evaluate(code)
    assert isinstance(outcome, Value)
    assert outcome.result == 5


def test_no_signal_to_others() -> None:
    with subprocess.Popen(["sleep", "600"]) as bystander:
        attack = f"import os; os.kill({bystander.pid}, 9)"
        try:
            assert failed(execute(attack)).error == "PermissionError"
            assert bystander.poll() is None
            assert outside(attack).returncode == 0
            assert bystander.wait(60) == -signal.SIGKILL
        finally:
            bystander.kill()


def test_the_environment_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hush-hush")
    dump = "import os; raise ValueError(str(dict(os.environ)))"
    assert "hush-hush" in outside(dump).stderr
    failure = failed(execute(dump))
    assert "MALLOC" in failure.message
    assert "hush-hush" not in failure.message


def test_nor_can_the_parents_be_read() -> None:
    for name in ("environ", "mem"):
        assert outside(f"open('/proc/{os.getpid()}/{name}', 'rb')").returncode == 0
        assert failed(execute(f"open('/proc/{os.getpid()}/{name}').read(1)")).error == "PermissionError"


SOCKETS = """
import os, stat
found = []
for descriptor in range(64):
    try:
        found.append(stat.S_ISSOCK(os.fstat(descriptor).st_mode))
    except OSError:
        pass
raise ValueError(f"{sum(found)} sockets of {len(found)} descriptors")
"""


def test_no_inherited_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.set_inheritable(True)
        careless = subprocess.run(
            [sys.executable, "-c", SOCKETS], close_fds=False, capture_output=True, text=True, timeout=60, check=False
        )
        assert "1 sockets" in careless.stderr
        # the three standard streams and the answer
        assert failed(execute(SOCKETS)).message == "0 sockets of 4 descriptors"


def test_open_files_are_bounded() -> None:
    failure = failed(execute("x = [open('/dev/null') for _ in range(100)]", Limits(open_files=32)))
    assert failure.error == "OSError"
    assert "Too many open files" in failure.message


def test_nothing_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / "left behind"
    write = f"open({str(target)!r}, 'w').write('x')"
    assert outside(write).returncode == 0
    target.unlink()
    assert failed(execute(write)).code is FailureCode.ERROR
    assert not target.exists() or target.stat().st_size == 0


def test_other_peoples_files_are_hidden(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush-hush")
    read = f"raise ValueError(open({str(secret)!r}).read())"
    assert "hush-hush" in outside(read).stderr
    control = evaluate("1")
    assert isinstance(control, Value)
    if "landlock" not in control.protections:
        pytest.skip("this kernel has no Landlock")
    assert failed(execute(read)).error == "PermissionError"
    assert failed(execute(f"import os; os.unlink({str(secret)!r})")).error == "PermissionError"
    assert secret.exists()


def test_capabilities_are_gone() -> None:
    failure = failed(execute("raise ValueError(open('/proc/self/status').read())"))
    if failure.error == "ValueError":
        assert "CapEff:\t0000000000000000" in failure.message
    else:
        assert failure.error == "PermissionError"


def test_a_jailed_child_dies_with_its_parent() -> None:
    script = (
        "from core import jail; "
        "jail.run('builtins:exec', data=b'import time; time.sleep(600)', limits=jail.Limits(wall_seconds=600))"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        try:
            child = _only_child(parent.pid)
            parent.kill()
            parent.wait(60)
            assert child.wait(60) is None or not child.is_running()
        finally:
            parent.kill()


def _only_child(pid: int) -> psutil.Process:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        children = psutil.Process(pid).children()
        # confined, and no more than starting: only then does it hear of its parent's death
        if children and children[0].cwd() == "/":
            time.sleep(0.2)
            return children[0]
        time.sleep(0.02)
    raise AssertionError("no child was started")


def test_nobody_is_left_behind_when_the_caller_is_interrupted() -> None:
    before = set(psutil.Process().children(recursive=True))

    def alarm(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.7)
    try:
        with pytest.raises(KeyboardInterrupt):
            execute("import time; time.sleep(600)", Limits(wall_seconds=600))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert set(psutil.Process().children(recursive=True)) == before


def test_many_threads_can_jail_at_once() -> None:
    outcomes: list[jail.Outcome] = []
    threads = [threading.Thread(target=lambda n=n: outcomes.append(evaluate(f"{n} * 2"))) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(o.result for o in outcomes if isinstance(o, Value)) == [0, 2, 4, 6, 8, 10]  # type: ignore[type-var]
