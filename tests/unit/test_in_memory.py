import fcntl
from pathlib import Path

import pytest

from tests import in_memory
from tests.in_memory import PREFIX, has_room, quick_folder, remove_leftovers


def test_what_a_killed_run_has_left_is_removed_and_what_is_in_use_stays(tmp_path: Path) -> None:
    for name in ("left", "used", "begun"):
        (tmp_path / f"{PREFIX}{name}").mkdir()
    (tmp_path / f"{PREFIX}left" / "lock").touch()
    with (tmp_path / f"{PREFIX}used" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_leftovers(tmp_path)
    assert {folder.name for folder in tmp_path.iterdir()} == {f"{PREFIX}used", f"{PREFIX}begun"}


@pytest.mark.parametrize("room", [True, False])
def test_it_is_in_memory_only_with_enough_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: bool
) -> None:
    monkeypatch.setattr(in_memory, "MEMORY", tmp_path)
    monkeypatch.setattr(in_memory, "NEEDED", 0 if room else 2**80)
    with quick_folder() as folder:
        assert (folder.parent == tmp_path) is room
    assert not folder.exists()


def test_where_there_is_no_memory_to_write_to_there_is_no_room(tmp_path: Path) -> None:
    assert not has_room(tmp_path / "nowhere")
