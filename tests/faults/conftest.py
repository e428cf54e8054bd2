"""Clouds in processes of their own, to be hurt."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from outside import Cloud, Session, cloud

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def simulated() -> Iterator[Cloud]:
    """One pretended cloud for all tests that only talk to it."""
    with cloud("--simulate", "--no-demo") as made:
        yield made.up()


@pytest.fixture(scope="session")
def admin(simulated: Cloud) -> Session:
    return simulated.session()


@pytest.fixture(scope="session")
def image(admin: Session) -> str:
    return admin.image(bytes(65536))


@pytest.fixture
def own() -> Iterator[Cloud]:
    """A pretended cloud of the test's own, not started yet."""
    with cloud("--simulate", "--no-demo") as made:
        yield made
