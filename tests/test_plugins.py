"""A third party's manager or driver is one pip-installed file: found, selected by the configuration, or refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

UV = Path(sys.executable).with_name("uv")

SHELF = '''
"""A network manager of another strategy, and a manager of something this cloud never heard of."""

from typing import Annotated, ClassVar

from micronova.db import KEY, Row
from micronova.manager import Manager, periodic, remote
from micronova.network.flat_dhcp import FlatDHCPManager


class LabelledManager(FlatDHCPManager):
    """Flat networks of a third party."""


class Book(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "books"

    id: Annotated[str, KEY]
    title: str


class ShelfManager(Manager):
    """Books."""

    topic = "shelf"
    ROWS = (Book,)

    def __init__(self, runtime, host=None, db_driver=None, *, network=None):
        super().__init__(runtime, host, db_driver)
        self.network = network
        self.ready = False

    @classmethod
    def wired(cls, runtime, others):
        return cls(runtime, network=others["network"])

    async def init_host(self, ctx):
        self.ready = True

    @remote(wait=5)
    async def put(self, ctx, title: str) -> str:
        book = Book(id=self.clock.new_id(), title=title)
        await self.db.write(lambda tx: tx.insert(book), ctx, why="put on the shelf")
        return book.id

    @periodic(every=3600)
    async def dust(self, ctx):
        """Nothing yet."""
'''

TOASTER = '''
"""A hypervisor of a third party."""

from micronova.compute.drivers.fake import FakeComputeDriver


class ToasterDriver(FakeComputeDriver):
    """Runs no guest, but toasts."""
'''

PYPROJECT = """
[project]
name = "{name}"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["micronova"]

{entry_points}
[build-system]
requires = ["uv_build>=0.5"]
build-backend = "uv_build"

[tool.uv.build-backend]
module-root = ""
"""

SHELF_POINTS = """
[project.entry-points."micronova.managers"]
labelled = "cloud_shelf:LabelledManager"
shelf = "cloud_shelf:ShelfManager"
broken = "cloud_shelf:Nothing"
"""
TOASTER_POINTS = """
[project.entry-points."micronova.drivers.compute"]
toaster = "cloud_toaster:ToasterDriver"
"""

INSIDE = """
import asyncio, json, sys
from micronova import config, plugins
from micronova.context import admin_context
from micronova.db import migrate
from micronova.errors import ConfigError, Error
from micronova.plugins import Plugins
from micronova.wiring import Cloud, make_driver

from cloud_shelf import Book

state = sys.argv[1]
found = Plugins()
told = {"managers": found.names(plugins.MANAGERS), "compute": found.names(plugins.drivers("compute"))}


def load(**flags):
    named = {name.replace("__", "."): value for name, value in flags.items()}
    return config.load(flags={"state": state, "simulate": True, **named})


def refused(**flags):
    try:
        Cloud(load(**flags))
    except ConfigError as err:
        return str(err)
    return ""


told["unknown"] = refused(network__manager="nonesuch")
told["broken"] = refused(managers=["broken"])
driver = make_driver(load(simulate=False, compute__driver="toaster"), "compute", None, found)
told["driver"] = type(driver).__name__


async def run():
    chosen = load(network__manager="labelled", managers=["shelf"])
    migrate.prepare(chosen, upgrade=False)
    migrate.prepare(chosen, upgrade=False)
    cloud = Cloud(chosen)
    shelf = cloud.managers["shelf"]
    told["network"] = [type(cloud.network).__name__, shelf.network is cloud.network]
    await cloud.start()
    try:
        ctx = admin_context(cloud.clock)
        try:
            await shelf.on(chosen.host).put(ctx, "a title")
        except Error as err:
            told["refusal"] = str(err)
        told["books"] = [book.title for book in await cloud.db.read(lambda tx: tx.find(Book))]
        told["served"] = [shelf.serving, shelf.ready]
    finally:
        await cloud.stop()


asyncio.run(run())
print("told " + json.dumps(told))
"""


def package(folder: Path, name: str, code: str, entry_points: str) -> Path:
    """A third party's source: a pyproject and one file."""
    (folder / name / name).mkdir(parents=True)
    (folder / name / "pyproject.toml").write_text(PYPROJECT.format(name=name, entry_points=entry_points))
    (folder / name / name / "__init__.py").write_text(code)
    return folder / name


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What a process found in whose environment both packages are installed."""
    if not UV.exists():
        pytest.skip("uv is not in this environment: script/bootstrap installs it")
    folder = tmp_path_factory.mktemp("third-party")
    sources = [
        package(folder, "cloud_shelf", SHELF, SHELF_POINTS),
        package(folder, "cloud_toaster", TOASTER, TOASTER_POINTS),
    ]
    subprocess.run(
        [UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--target", folder / "site", *sources],
        check=True,
        timeout=100,
        env={**os.environ, "VIRTUAL_ENV": sys.prefix},
    )
    (folder / "state").mkdir()
    root = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", INSIDE, folder / "state"],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder / 'site'}{os.pathsep}{root}"},
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout.rpartition("told ")[2])


def test_what_is_installed_is_found_beside_our_own(told):
    assert {"labelled", "shelf", "network", "compute"} <= set(told["managers"])
    assert {"toaster", "fake", "qemu"} <= set(told["compute"])


def test_the_configuration_selects_another_network_manager(told):
    assert ["LabelledManager", True] == told["network"]


def test_the_configuration_selects_another_compute_driver(told):
    assert "ToasterDriver" == told["driver"]


def test_a_manager_of_a_new_topic_has_its_tables_and_is_served(told):
    assert "" == told.get("refusal", "")
    assert ["a title"] == told["books"]
    assert [True, True] == told["served"]


def test_an_unknown_name_is_refused_and_what_there_is_listed(told):
    assert "network.manager: there is no 'nonesuch' in micronova.managers; installed: " in told["unknown"]
    assert "labelled" in told["unknown"]


def test_a_package_that_names_what_it_has_not_is_refused(told):
    assert "managers: cloud_shelf:Nothing can't be loaded" in told["broken"]
