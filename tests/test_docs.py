"""Generated documents are what the code says now."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
DOC = Path(__file__).parent.parent / "doc"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doc")
    subprocess.run([sys.executable, str(DOC / "generate.py"), str(folder)], check=True, timeout=60)
    return folder


@pytest.mark.parametrize("name", ["config.md", "drivers.md", "api-coverage.md", "volume-faults.md"])
def test_regenerating_changes_nothing(fresh, name):
    assert (fresh / name).read_text() == (DOC / name).read_text(), "run script/docs"
