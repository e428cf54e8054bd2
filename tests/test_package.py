"""The built wheel holds all it needs: installed into an empty environment it runs a cloud, and takes it away again."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from zipfile import ZipFile

import pytest

from micronova import __version__

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parent.parent
UV = Path(sys.executable).with_name("uv")


def run(*words, cwd=None, check=True):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MICRONOVA"))}
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=cwd,
        env=environment,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"{words[0]} {words[1]}: {done.stdout}{done.stderr}")
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from this tree."""
    if not UV.exists():
        pytest.skip("uv is not in this environment: script/bootstrap installs it")
    folder = tmp_path_factory.mktemp("dist")
    done = run(UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT, check=False)
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip(f"the build backend can't be had here: {done.stderr[-300:]}")
    assert 0 == done.returncode, done.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def micronova(wheel, tmp_path_factory):
    """The command in an environment that holds the locked dependencies and the wheel, and nothing of this tree."""
    venv = tmp_path_factory.mktemp("empty") / "venv"
    run(UV, "venv", "--quiet", "--python", sys.executable, venv)
    python = venv / "bin" / "python"
    done = run(
        UV, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", ROOT / "requirements.lock",
        check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"the locked dependencies can't be had here: {done.stderr[-300:]}")
    run(UV, "pip", "install", "--quiet", "--python", python, "--no-deps", wheel)
    return venv / "bin" / "micronova"


@pytest.fixture
def state(micronova, tmp_path):
    """A state folder; whatever runs on it is ended afterwards."""
    folder = tmp_path / "state"
    yield folder
    run(micronova, "down", "--erase", "--state", folder, check=False)


def test_the_wheel_holds_the_migrations_and_nothing_but_the_package(wheel):
    names = ZipFile(wheel).namelist()

    assert "micronova/db/migrations/env.py" in names
    for folder in ("micronova/db/migrations/versions", "micronova/db/migrations/pieces"):
        assert {file.name for file in (ROOT / folder).glob("*.py")} == {
            name.rsplit("/", 1)[1] for name in names if name.startswith(f"{folder}/")
        }
    assert {"micronova", f"micronova-{__version__}.dist-info"} == {name.split("/")[0] for name in names}
    assert [] == [name for name in names if name.endswith((".pyc", ".db", ".log"))]


def test_the_command_says_its_version(micronova, tmp_path):
    assert __version__ in run(micronova, "--version", cwd=tmp_path).stdout


def test_a_simulated_cloud_comes_up_answers_and_leaves_nothing(micronova, state, tmp_path):
    up = run(
        micronova, "up", "--simulate", "--detach", "--no-demo", "--listen", "127.0.0.1:0", "--state", state,
        cwd=tmp_path,
    )  # fmt: skip
    url = re.search(r"http://[\w.:]+", up.stdout)[0]
    with urllib.request.urlopen(f"{url}/identity/v3", timeout=10) as answer:
        version = json.load(answer)["version"]
    run(micronova, "status", "--state", state, cwd=tmp_path)
    down = run(micronova, "down", "--erase", "--state", state, cwd=tmp_path)

    assert "v3" in version["id"]
    assert 0 == down.returncode
    assert not state.exists()
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{url}/identity/v3", timeout=5)
