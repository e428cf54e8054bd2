"""What tests of the Open vSwitch driver need beside netlab."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from netlab import Lab, sh

from micronova.clock import SystemClock
from micronova.network.drivers.ovs.driver import OvsNetworkDriver
from micronova.network.drivers.ovs.names import integration_bridge
from micronova.network.drivers.ovs.processes import living
from micronova.network.drivers.served.names import Names

NEEDED = ("ovs-vsctl", "ovs-ofctl", "ovs-vswitchd", "ovsdb-server", "ovsdb-tool")


def need_ovs() -> None:
    """Skip the test where Open vSwitch isn't installed."""
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        pytest.skip(f"needs the commands {', '.join(missing)}: install openvswitch-switch")


@pytest.fixture(name="driver")
async def ovs_driver(lab: Lab, tmp_path: Path) -> AsyncIterator[OvsNetworkDriver]:
    need_ovs()
    driver = OvsNetworkDriver(tmp_path / "network", SystemClock())
    try:
        await driver.init_host()
        yield driver
    finally:
        await driver.erase()
        await driver.close()


def folder() -> Path:
    """Where the Open vSwitch of this namespace has its sockets."""
    return Path("/run") / f"mn-ovs-{os.stat('/proc/thread-self/ns/net').st_ino}"


def daemons() -> dict[str, int]:
    """The daemons that run, by name."""
    found = {name: living(folder() / f"{name}.pid") for name in ("ovsdb-server", "ovs-vswitchd")}
    return {name: pid for name, pid in found.items() if pid is not None}


def vsctl(*words: str) -> str:
    """What the command prints."""
    return sh("ovs-vsctl", f"--db=unix:{folder() / 'db.sock'}", "--timeout=10", *words)


def ports_of() -> list[str]:
    """All ports of all bridges."""
    if "ovsdb-server" not in daemons():
        return []
    return sorted(port for bridge in vsctl("list-br").split() for port in vsctl("list-ports", bridge).split())


def bridge_of(tmp_path: Path) -> str:
    """Where the flows of this test's cloud are."""
    return f"unix:{folder() / integration_bridge(Names('mn', tmp_path / 'network'))}.mgmt"


def flows(tmp_path: Path) -> list[str]:
    """The flows of this test's cloud, but those that were learned, and its groups; without counters."""
    told = sh("ovs-ofctl", "-O", "OpenFlow15", "--no-stats", "dump-flows", bridge_of(tmp_path))
    groups = sh("ovs-ofctl", "-O", "OpenFlow15", "dump-groups", bridge_of(tmp_path))
    lines = [line.strip() for line in (told + groups).splitlines() if "idle_timeout=300, priority" not in line]
    return sorted(line for line in lines if not line.startswith(("OFPST", "NXST")) and "idle_timeout" not in line[:60])
