"""The state folder: one process at a time, secrets made once, nothing half written."""

import os
import stat
import subprocess
import sys

import pytest

from micronova.cli.folder import StateFolder
from micronova.errors import ConfigError

HOLDER = """
import sys, pathlib
from micronova.cli.folder import StateFolder
folder = StateFolder(pathlib.Path(sys.argv[1]))
folder.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path):
    made = StateFolder(tmp_path / "state")
    made.make()
    yield made
    made.release()


@pytest.fixture
def holder(folder):
    """Another process that runs on the folder."""
    argv = [sys.executable, "-c", HOLDER, str(folder.path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        if process.poll() is None:
            process.stdin.close()


def test_one_process_at_a_time(folder, holder):
    with pytest.raises(ConfigError, match=rf"already runs on .* \(process {holder.pid}\)"):
        folder.acquire()

    assert holder.pid == folder.pid()


def test_a_process_that_ended_or_was_killed_holds_nothing(folder, holder):
    holder.kill()
    holder.wait()

    assert folder.pid() is None
    folder.acquire()


def test_looking_who_runs_does_not_keep_anybody_out(folder):
    assert folder.pid() is None

    folder.acquire()
    folder.release()

    assert folder.pid() is None


def test_a_password_is_made_once_and_for_its_owner_only(folder):
    made = folder.password("admin")
    file = folder.path / "passwords" / "admin"

    assert made == folder.password("admin") == StateFolder(folder.path).password("admin")
    assert made != folder.password("demo")
    assert len(made) >= 20
    assert (0o600, 0o700) == tuple(stat.S_IMODE(place.stat().st_mode) for place in (file, file.parent))


def test_a_place_where_no_folder_can_be_is_told(tmp_path):
    (tmp_path / "file").write_text("")

    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match="can't be used"):
            StateFolder(path).make()


def test_a_folder_that_may_not_be_written_is_told(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)

    with pytest.raises(ConfigError, match="can't be used"):
        StateFolder(tmp_path).make()


def test_erasing_twice_is_no_error(folder):
    folder.password("admin")

    folder.erase()
    folder.erase()

    assert not folder.path.exists()
