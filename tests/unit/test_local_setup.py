"""The set-up scripts that run before anything is installed."""

import subprocess
import sys
from pathlib import Path

from config.local.options import BASE_DIR


def run(script: str, *arguments: str, path: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-I", str(script), *arguments],
        env={"PATH": str(path), "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def copied(script: str, folder: Path) -> Path:
    """The script in a checkout of its own, so that no test touches the real `.venv`."""
    copy = folder / "config" / "local" / script
    copy.parent.mkdir(parents=True)
    copy.write_bytes((BASE_DIR / "config" / "local" / script).read_bytes())
    return copy


def test_a_missing_system_package_is_one_line_and_no_failure(tmp_path: Path) -> None:
    script = copied("setup_system.py", tmp_path)
    first = run(str(script), "bubblewrap", path=tmp_path)
    assert first.returncode == 0
    assert "no apt-get" in first.stdout
    assert "bubblewrap is not installed: code that a model writes is not run." in first.stdout
    second = run(str(script), "bubblewrap", path=tmp_path)
    assert "no apt-get" not in second.stdout
    assert "bubblewrap is not installed" in second.stdout


def test_a_package_that_is_there_is_not_mentioned(tmp_path: Path) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    ended = run(str(copied("setup_system.py", tmp_path)), "bubblewrap", path=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_a_lock_that_cannot_be_installed_leaves_no_stamp(tmp_path: Path) -> None:
    script = copied("setup_venv.py", tmp_path)
    (tmp_path / "requirements.lock").write_text("nothing-of-this-name==1 --hash=sha256:00\n", encoding="utf-8")
    ended = run(str(script), "requirements.lock", path=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.rstrip().endswith(".")
    assert "Traceback" not in ended.stderr
    assert not list((tmp_path / ".venv").glob(".installed*"))


def test_an_installed_lock_is_not_installed_again_until_it_changes(tmp_path: Path) -> None:
    script = copied("setup_venv.py", tmp_path)
    lock = tmp_path / "requirements.lock"
    lock.write_text("# nothing\n", encoding="utf-8")
    first = run(str(script), "requirements.lock", path=tmp_path)
    assert (first.returncode, first.stdout) == (0, "Installing requirements.lock into .venv…\n"), first.stderr
    assert run(str(script), "requirements.lock", path=tmp_path).stdout == ""
    lock.write_text("# nothing else\n", encoding="utf-8")
    assert "Installing" in run(str(script), "requirements.lock", path=tmp_path).stdout
