import os
import stat

import pytest

from include.files import replacing, write_whole


def full_disk(_):
    raise OSError(28, "No space left on device")


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    """Readers keep what they had, and no draft stays behind."""
    path = tmp_path / "page.html"
    write_whole(path, "ancien")
    monkeypatch.setattr("os.fsync", full_disk)

    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "nouveau")

    assert path.read_text() == "ancien"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path):
    """Half of a file is never seen under its name, however it is written."""
    path = tmp_path / "results.jsonl"
    write_whole(path, "ancien")

    with replacing(path) as file:
        file.write(b"nou")
        file.flush()
        seen = path.read_text()
        file.write(b"veau")

    assert (seen, path.read_text()) == ("ancien", "nouveau")


def test_a_secret_is_never_readable_by_others(tmp_path):
    """Not while it is written either."""
    path = tmp_path / "passwords.json"

    with replacing(path, 0o600) as file:
        file.write(b"{}")
        modes = {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}

    assert modes == {0o600}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_mode_is_exact_whatever_the_umask_says(tmp_path):
    """A page meant for a group can be read by it, also when a service keeps its files to itself."""
    before = os.umask(0o077)
    try:
        write_whole(tmp_path / "page.html", "page", 0o640)
        write_whole(tmp_path / "note.json", "note")
    finally:
        os.umask(before)

    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("page.html", "note.json")]
    assert modes == [0o640, 0o600]
