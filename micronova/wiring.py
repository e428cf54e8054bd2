"""The only file that knows everybody: configuration -> drivers -> managers -> services -> application."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from micronova import http, operations, plugins
from micronova.bus import Bus
from micronova.clock import Clock, SystemClock
from micronova.compute import api as compute_api
from micronova.compute import db as compute_db
from micronova.compute import policies as compute_policies
from micronova.compute.manager import ComputeManager
from micronova.compute.metadata.app import MetadataService
from micronova.config import Config
from micronova.db import Database, Engine, Row
from micronova.errors import ConfigError
from micronova.identity import api as identity_api
from micronova.identity import db as identity_db
from micronova.identity import policies as identity_policies
from micronova.identity.manager import IdentityManager
from micronova.image import api as image_api
from micronova.image import db as image_db
from micronova.image import policies as image_policies
from micronova.image.manager import ImageManager
from micronova.manager import Manager, Runtime
from micronova.network import api as network_api
from micronova.network import db as network_db
from micronova.network import policies as network_policies
from micronova.network.manager import NetworkManager
from micronova.network.strategies.base import StrategyManager
from micronova.plugins import Plugins
from micronova.policy import Policy
from micronova.scheduler import db as scheduler_db
from micronova.scheduler.manager import SchedulerManager
from micronova.schema import CORE
from micronova.service import Service
from micronova.volume import api as volume_api
from micronova.volume import db as volume_db
from micronova.volume import policies as volume_policies
from micronova.volume.backup_store import BackupStore
from micronova.volume.driver import VolumeDriver
from micronova.volume.keys import KeyManager
from micronova.volume.manager import VolumeManager

LOG = logging.getLogger(__name__)

ROWS: tuple[type[Row], ...] = (
    *CORE,
    *identity_db.ROWS,
    *scheduler_db.ROWS,
    *image_db.ROWS,
    *network_db.ROWS,
    *volume_db.ROWS,
    *compute_db.ROWS,
)
"""Every row class of the cloud: what a database of this version holds."""
RULES: dict[str, str] = {
    **identity_policies.RULES,
    **image_policies.RULES,
    **network_policies.RULES,
    **volume_policies.RULES,
    **compute_policies.RULES,
    **operations.RULES,
}
CATALOG = (
    ("identity", "keystone", "/identity"),
    ("image", "glance", "/image"),
    ("network", "neutron", "/network"),
    ("block-storage", "cinder", "/volume/v3/$(project_id)s"),
    ("volumev3", "cinderv3", "/volume/v3/$(project_id)s"),
    ("compute", "nova", "/compute/v2.1"),
)
"""What a new cloud's catalog offers: type, name, path."""
TOPICS = ("identity", "image", "scheduler", "network", "volume", "compute")
API_TOPICS = ("identity", "image", "scheduler")
"""What `serve api` serves besides HTTP: managers whose work is done where the API is."""
FAKE = "fake"
NETWORK = "network"
VOLUME = "volume"


def database_url(config: Config) -> str:
    return config.options.database.url or f"sqlite:///{config.state / 'micronova.db'}"


def make_engine(config: Config, installed: Plugins) -> Engine:
    """The database driver that the configured URL names."""
    url = database_url(config)
    name = url.partition(":")[0].partition("+")[0]
    cls = installed.load(plugins.DB, name, "database.url")
    engine: Engine = cls(url, durable=config.options.database.durable or name != "sqlite")
    return engine


def make_bus(config: Config, clock: Clock, installed: Plugins) -> Bus:
    """The bus that the configured URL names."""
    name = config.options.bus.url.partition(":")[0]
    name = "nats" if name in ("tls", "ws", "wss") else name
    bus: Bus = installed.load(plugins.BUS, name, "bus.url").configured(config, clock)
    return bus


def make_driver(config: Config, room: str, clock: Clock, installed: Plugins) -> Any:
    """The driver that the configuration names for a room; the fake one where the cloud is simulated."""
    name = getattr(config.options, room).driver
    if config.options.simulate and room in ("network", "compute"):
        name = FAKE
    return installed.load(plugins.drivers(room), name, f"{room}.driver").configured(config, clock)


def make_volume_drivers(config: Config, clock: Clock, installed: Plugins) -> dict[str, VolumeDriver]:
    """The drivers of this host's back ends by name; fake ones where the cloud is simulated.

    Raises ConfigError for two back ends at one place: each would take the other's volumes for its own.
    """
    made: dict[str, VolumeDriver] = {}
    taken: dict[str, str] = {}
    for name, options in config.options.volume.backends.items():
        driver = FAKE if config.options.simulate else options.driver
        cls = installed.load(plugins.drivers(VOLUME), driver, f"volume.backends.{name}.driver")
        made[name] = cls.configured(config, clock, name)
        other = taken.setdefault(made[name].place, name)
        if other != name:
            raise ConfigError(
                f"configuration: volume.backends.{name}: {made[name].place} is that of back end {other} already"
            )
    return made


def make_backup_store(config: Config, clock: Clock, installed: Plugins) -> BackupStore:
    """What keeps this host's backups of volumes."""
    option = "volume.backup_driver"
    cls = installed.load(plugins.drivers("backup"), config.options.volume.backup_driver, option)
    made: BackupStore = cls.configured(config, clock)
    return made


def make_keys(config: Config, clock: Clock, installed: Plugins) -> KeyManager:
    """What keeps the keys of this host's encrypted volumes; the local one where the cloud is simulated."""
    name = "local" if config.options.simulate else config.options.volume.key_driver
    made: KeyManager = installed.load(plugins.drivers("keys"), name, "volume.key_driver").configured(config, clock)
    return made


class Cloud:
    """One process's part of a cloud: its managers, those it serves, and the application."""

    def __init__(
        self, config: Config, *, clock: Clock | None = None, bus: Bus | None = None, db: Database | None = None
    ):
        self.config = config
        self.plugins = Plugins()
        self.clock = clock or SystemClock()
        self.bus = bus or make_bus(config, self.clock, self.plugins)
        self.db = db or Database(make_engine(config, self.plugins), self.clock)
        self.runtime = Runtime(config, self.clock, self.bus, self.db)
        policy_file = config.options.identity.policy_file
        self.policy = Policy(RULES, Path(policy_file) if policy_file else None)
        self.strategies = self._strategies()
        self.managers = self._managers()
        self.metadata = MetadataService(self.compute)
        self.network.on_metadata_socket = self.metadata.add
        self.network.on_metadata_gone = self.metadata.remove
        self.volume.on_grown = self.compute.record_grown
        self.volume.guests = self.compute
        self.services: list[Service] = []

    # -- the managers by name

    @property
    def identity(self) -> IdentityManager:
        return self.managers["identity"]  # type: ignore[return-value]

    @property
    def image(self) -> ImageManager:
        return self.managers["image"]  # type: ignore[return-value]

    @property
    def network(self) -> NetworkManager:
        return self.managers["network"]  # type: ignore[return-value]

    @property
    def scheduler(self) -> SchedulerManager:
        return self.managers["scheduler"]  # type: ignore[return-value]

    @property
    def volume(self) -> VolumeManager:
        return self.managers["volume"]  # type: ignore[return-value]

    @property
    def compute(self) -> ComputeManager:
        return self.managers["compute"]  # type: ignore[return-value]

    # -- life

    async def start(self, topics: Sequence[str] = ()) -> None:
        """Serve `topics` on this host, or all there are. Raises Error in one sentence when one can't be served here."""
        await self.bus.start()
        asked = dict.fromkeys(topics or self.managers)
        # hosts of networks must be known to strategies before they are brought in order
        strategies = [strategy.topic for strategy in self.strategies] if NETWORK in asked else []
        service = Service(self.runtime, [self.managers[topic] for topic in dict.fromkeys([*strategies, *asked])])
        self.services.append(service)
        await service.start()

    async def stop(self) -> None:
        """Stop serving; what users have stays. Repeating changes nothing."""
        for service in reversed(self.services):
            await service.stop()
        self.services.clear()
        await self.metadata.close()
        await self.bus.stop()
        self.db.close()

    def apis(self) -> list[http.Api]:
        """Every API of this cloud, and our own."""
        options = self.config.options
        rooms = [
            identity_api.api(self.identity),
            image_api.api(self.image, options),
            network_api.api(self.network, options),
            volume_api.api(self.volume, options),
            compute_api.api(self.compute, project_exists=self.identity.project_exists),
        ]
        return [*rooms, operations.api(self.managers, [api.prefix for api in rooms])]

    def front(self) -> http.Front:
        """The application with every API of this cloud."""
        options = self.config.options
        return http.Front(
            self.apis(),
            self.identity.authenticate,
            self.policy,
            self.clock,
            public_url=options.api.public_url,
            max_body_bytes=options.api.max_body_bytes,
        )

    # -- inside

    def _strategies(self) -> tuple[StrategyManager, ...]:
        """The configured strategies of the network. Raises ConfigError for what is none, and for one named twice."""
        option, made = "network.strategies", dict[str, StrategyManager]()
        for name in self.config.options.network.strategies:
            cls = self.plugins.load(plugins.MANAGERS, name, option)
            if not (isinstance(cls, type) and issubclass(cls, StrategyManager)):
                raise ConfigError(f"configuration: {option}: {name!r} is no strategy of networks")
            strategy = cls.wired(self.runtime, {})
            if strategy.topic in made:
                raise ConfigError(f"configuration: {option}: {name!r} has the topic of another one, {strategy.topic}")
            made[strategy.topic] = strategy
        return tuple(made.values())

    def _managers(self) -> dict[str, Manager]:
        made: dict[str, Manager] = {strategy.topic: strategy for strategy in self.strategies}
        for topic in TOPICS:
            made[topic] = self._manager(topic, made)
        for name in self.config.options.managers:
            cls: type[Manager] = self.plugins.load(plugins.MANAGERS, name, "managers")
            made[cls.topic] = cls.wired(self.runtime, made)
        return made

    def _manager(self, topic: str, made: Mapping[str, Manager]) -> Manager:
        options = getattr(self.config.options, topic)
        cls: Any = self.plugins.load(plugins.MANAGERS, options.manager, f"{topic}.manager")
        others: dict[str, Any] = {name: made[name] for name in NEEDS[topic]}
        if topic in HAS_DRIVER:
            others["driver"] = make_driver(self.config, topic, self.clock, self.plugins)
        if topic in HAS_POLICY:
            others["policy"] = self.policy
        if topic == NETWORK:
            others["strategies"] = self.strategies
        if topic == VOLUME:
            others["drivers"] = make_volume_drivers(self.config, self.clock, self.plugins)
            others["backup_store"] = make_backup_store(self.config, self.clock, self.plugins)
            others["keys"] = make_keys(self.config, self.clock, self.plugins)
        manager: Manager = cls(self.runtime, **others)
        return manager


NEEDS: dict[str, tuple[str, ...]] = {
    "identity": (),
    "image": (),
    "scheduler": (),
    "network": (),
    "volume": ("image",),
    "compute": ("network", "image", "scheduler", "volume"),
}
"""Which other managers a manager calls."""
HAS_POLICY = ("identity", "image", "network", "volume", "compute")
HAS_DRIVER = ("image", "network", "compute", "scheduler")
