"""Log files stay bounded, and no line is lost or torn on its way into them."""

import itertools
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from config.local.logs import MAX_LINE, Lines, LogFile, Shown


@given(st.lists(st.binary(max_size=200).filter(lambda line: b"\n" not in line), max_size=60))
def test_a_log_file_never_outgrows_its_bound_and_ends_with_the_newest_lines(lines: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "web.log"
        log = LogFile(path, max_bytes=1000)
        for line in lines:
            log.write(line)
        log.close()
        older = path.with_name("web.log.1")
        assert path.stat().st_size <= 1000
        kept = (older.read_bytes() if older.exists() else b"") + path.read_bytes()
        assert b"".join(line + b"\n" for line in lines).endswith(kept)


def test_a_log_file_is_for_its_owner_only_and_is_continued(tmp_path: Path) -> None:
    for line in (b"one", b"two"):
        log = LogFile(tmp_path / "web.log")
        log.write(line)
        log.close()
    assert (tmp_path / "web.log").read_bytes() == b"one\ntwo\n"
    assert (tmp_path / "web.log").stat().st_mode & 0o777 == 0o600


@given(st.binary(max_size=400), st.lists(st.integers(min_value=0, max_value=400), max_size=8))
def test_lines_are_the_same_however_the_stream_was_cut(stream: bytes, cuts: list[int]) -> None:
    ends = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    lines = Lines()
    got = [line for start, end in itertools.pairwise(ends) for line in lines.feed(stream[start:end])]
    got += lines.finish()
    want = stream.split(b"\n")
    assert got == [line.rstrip(b"\r") for line in want[:-1]] + ([want[-1]] if want[-1] else [])


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    lines = Lines()
    got = [line for _ in range(100) for line in lines.feed(b"x" * 1000)]
    assert got
    assert all(len(line) <= MAX_LINE for line in got)


def test_a_flood_of_errors_does_not_flood_the_terminal() -> None:
    shown = Shown(r"\bERROR\b", limit=3, window=60)
    assert not shown.admits("INFO all is well")
    assert [shown.admits("ERROR again") for _ in range(5)] == [True, True, True, False, False]
