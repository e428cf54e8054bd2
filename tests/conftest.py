"""Paths for modules that test files share; how long property tests look (MICRONOVA_TESTS_EXAMPLES asks for more)."""

import gc
import os
import sys
from pathlib import Path

from hypothesis import settings

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "host")]
EXAMPLES = int(os.environ.get("MICRONOVA_TESTS_EXAMPLES", "25"))
settings.register_profile("micronova", max_examples=EXAMPLES, deadline=None)
settings.load_profile("micronova")


def pytest_collection_finish() -> None:
    """Thousands of collected tests are not looked through again by each garbage collection."""
    gc.collect()
    gc.freeze()
