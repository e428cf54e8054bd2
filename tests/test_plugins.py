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
from micronova.network.manager import NetworkManager
from micronova.network.strategies.flat_dhcp import FlatDHCPManager


class FrontManager(NetworkManager):
    """A network manager of a third party."""


class Label(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "labels"

    id: Annotated[str, KEY]
    label: str


class LabelledManager(FlatDHCPManager):
    """Networks of a type that only a third party has."""

    topic = "network_labelled"
    network_type = "labelled"
    ROWS = (Label,)
    ready = False

    async def init_host(self, ctx):
        self.ready = True

    def allocate(self, tx, network_id, asked):
        tx.insert(Label(id=network_id, label="of a third party"))
        return super().allocate(tx, network_id, asked)


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

LOCKER = '''
"""Keys of encrypted volumes, and backups, kept by a third party."""

from micronova.errors import DriverError, NotFound


class Locker:
    """Keeps keys in memory, which is a bad place."""

    def __init__(self):
        self.keys = {}

    @classmethod
    def configured(cls, config, clock):
        return cls()

    async def put(self, id, key):
        self.keys[id] = key

    async def get(self, id):
        if id not in self.keys:
            raise NotFound("There is no such key.")
        return self.keys[id]

    async def remove(self, id):
        self.keys.pop(id, None)

    async def close(self):
        pass


class Attic:
    """Keeps backups, there too."""

    name = "cinder.backup.drivers.attic"
    shared = False

    def __init__(self):
        self.pieces = {}

    @classmethod
    def configured(cls, config, clock):
        return cls()

    async def put(self, backup, piece, data):
        self.pieces[backup, piece] = data

    async def get(self, backup, piece):
        if (backup, piece) not in self.pieces:
            raise DriverError("There is no such piece.")
        return self.pieces[backup, piece]

    async def remove(self, backup):
        self.pieces = {key: data for key, data in self.pieces.items() if key[0] != backup}

    async def backups(self):
        return sorted({backup for backup, _ in self.pieces})
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
front = "cloud_shelf:FrontManager"
labelled = "cloud_shelf:LabelledManager"
shelf = "cloud_shelf:ShelfManager"
broken = "cloud_shelf:Nothing"
"""
TOASTER_POINTS = """
[project.entry-points."micronova.drivers.compute"]
toaster = "cloud_toaster:ToasterDriver"
"""

LOCKER_POINTS = """
[project.entry-points."micronova.drivers.keys"]
locker = "cloud_locker:Locker"

[project.entry-points."micronova.drivers.backup"]
attic = "cloud_locker:Attic"
"""

INSIDE = """
import asyncio, json, sys
from micronova import config, plugins
from micronova.context import admin_context
from micronova.db import migrate
from micronova.errors import ConfigError, Error
from micronova.plugins import Plugins
from micronova.wiring import Cloud, make_backup_store, make_driver, make_keys

from micronova.network.attributes import for_create
from micronova.network.resources import NETWORK

from cloud_shelf import Book, Label

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
told["no_strategy"] = refused(network__strategies=["compute"])
told["twice"] = refused(network__strategies=["flat", "flat_dhcp"])
told["broken"] = refused(managers=["broken"])
driver = make_driver(load(simulate=False, compute__driver="toaster"), "compute", None, found)
told["driver"] = type(driver).__name__
kept = load(simulate=False, volume__key_driver="locker", volume__backup_driver="attic")
told["kept"] = [type(make(kept, None, found)).__name__ for make in (make_keys, make_backup_store)]
told["no_keys"] = refused(volume__backup_driver="s4")


async def run():
    strategies = ["flat_dhcp", "labelled"]
    chosen = load(network__manager="front", network__strategies=strategies, managers=["shelf"])
    migrate.prepare(chosen, upgrade=False)
    migrate.prepare(chosen, upgrade=False)
    cloud = Cloud(chosen)
    shelf = cloud.managers["shelf"]
    told["network"] = [type(cloud.network).__name__, shelf.network is cloud.network]
    told["types"] = cloud.network.room.strategies.types
    await cloud.start()
    try:
        ctx = admin_context(cloud.clock)
        try:
            await shelf.on(chosen.host).put(ctx, "a title")
        except Error as err:
            told["refusal"] = str(err)
        asked = for_create(NETWORK, {"name": "n", "tenant_id": "p", "provider:network_type": "labelled"})
        row = (await cloud.network.networks.create(ctx, [asked])).rows[0]
        labels = await cloud.db.read(lambda tx: tx.find(Label))
        told["labelled"] = [row.network_type, len(labels), cloud.managers["network_labelled"].ready]
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
        package(folder, "cloud_locker", LOCKER, LOCKER_POINTS),
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
    assert {"labelled", "shelf", "network", "compute", "vxlan"} <= set(told["managers"])
    assert {"toaster", "fake", "qemu"} <= set(told["compute"])


def test_the_configuration_selects_another_network_manager(told):
    assert ["FrontManager", True] == told["network"]


def test_a_strategy_of_a_third_party_carries_a_type_of_network_of_its_own(told):
    assert ["flat", "labelled"] == told["types"]
    assert ["labelled", 1, True] == told["labelled"]


def test_two_strategies_of_one_type_refuse_the_start(told):
    assert "FlatManager and FlatDHCPManager both carry networks of type 'flat'" in told["twice"]


def test_what_is_no_strategy_is_refused_as_one(told):
    assert "network.strategies: 'compute' is no strategy of networks" in told["no_strategy"]


def test_the_configuration_selects_another_compute_driver(told):
    assert "ToasterDriver" == told["driver"]


def test_the_configuration_selects_who_keeps_keys_and_backups(told):
    assert ["Locker", "Attic"] == told["kept"]
    assert "volume.backup_driver: there is no 's4' in micronova.drivers.backup; installed: " in told["no_keys"]
    assert "attic" in told["no_keys"]


def test_a_manager_of_a_new_topic_has_its_tables_and_is_served(told):
    assert "" == told.get("refusal", "")
    assert ["a title"] == told["books"]
    assert [True, True] == told["served"]


def test_an_unknown_name_is_refused_and_what_there_is_listed(told):
    assert "network.manager: there is no 'nonesuch' in micronova.managers; installed: " in told["unknown"]
    assert "labelled" in told["unknown"]


def test_a_package_that_names_what_it_has_not_is_refused(told):
    assert "managers: cloud_shelf:Nothing can't be loaded" in told["broken"]
