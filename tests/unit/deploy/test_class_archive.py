from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from deploy.local.class_archive import ClassArchive

MEMORY = Path("/dev/shm")


@pytest.mark.parametrize("elsewhere", [None, MEMORY])
def test_an_archive_is_taken_over_once_also_from_another_disk(
    tmp_path: Path, elsewhere: Path | None
) -> None:
    if elsewhere and not elsewhere.exists():
        pytest.skip("there is no other disk")
    archive = ClassArchive(tmp_path, [])
    with TemporaryDirectory(dir=elsewhere) as folder:
        written = Path(folder) / "classes.jsa"
        for content in ("first", "second"):
            written.write_text(content)
            archive.adopt(written)
    (kept,) = tmp_path.rglob("*.*")
    assert (kept.name, kept.read_text()) == ("kafka.jsa", "first")
