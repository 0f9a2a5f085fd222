"""The data folder: what is refused, who may enter, and sockets with short names."""

import stat
from pathlib import Path

import pytest

from config.local.accounts import me
from config.local.errors import AlreadyRunning, LocalError, SettingError
from config.local.keys import keep_keys, read_keys
from config.local.lock import hold, holder
from config.local.places import SOCKET_NAME, SOCKET_PATH_MAX, Places, claim, find_places, lay_out, lock_path


def laid_out(data: Path) -> Places:
    claim(data)
    return lay_out(data, application=me(), servers=me())


def test_every_folder_is_closed_to_others(tmp_path: Path) -> None:
    places = laid_out(tmp_path / "data")
    for folder in (places.data, places.postgres, places.redis, places.run, places.log):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_with_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    before = tmp_path.stat().st_mode
    with pytest.raises(SettingError, match="holds other things"):
        claim(tmp_path)
    assert tmp_path.stat().st_mode == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["letters"]


def test_a_file_in_place_of_the_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder", encoding="utf-8")
    with pytest.raises(SettingError, match="cannot be used"):
        claim(tmp_path / "data")


@pytest.mark.parametrize("length", [20, 60, 90, 150, 220])
def test_a_socket_path_fits_however_long_the_folder_is(tmp_path: Path, length: int) -> None:
    data = tmp_path / ("d" * max(1, length - len(str(tmp_path))))
    places = laid_out(data)
    assert len(str(places.run / SOCKET_NAME)) <= SOCKET_PATH_MAX
    assert stat.S_IMODE(places.run.stat().st_mode) == 0o700
    assert laid_out(data).run == places.run
    assert find_places(data).run == places.run
    if places.run.parent != data:
        places.run.rmdir()


def test_a_short_folder_that_someone_else_has_opened_is_not_used(tmp_path: Path) -> None:
    data = tmp_path / ("d" * 150)
    first = laid_out(data).run
    first.chmod(0o777)
    second = laid_out(data).run
    assert second != first
    assert stat.S_IMODE(second.stat().st_mode) == 0o700
    first.rmdir()
    second.rmdir()


def test_secrets_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = keep_keys(path)
    assert keep_keys(path) == read_keys(path) == keys
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len({keys.secret_key, keys.postgres_admin, keys.postgres_owner, keys.postgres_app}) == 4


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"secret_key": "a"}'])
def test_damaged_secrets_are_never_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(LocalError, match="damaged"):
        keep_keys(path)
    assert path.read_text(encoding="utf-8") == content


def test_a_second_start_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    path = lock_path(tmp_path)
    assert holder(path) is None
    with hold(path) as lock:
        lock.tell(url="http://localhost:8000")
        facts = holder(path)
        assert facts is not None
        assert facts["url"] == "http://localhost:8000"
        with pytest.raises(AlreadyRunning, match=f"process {facts['pid']}"), hold(path):
            pass
    assert holder(path) is None
