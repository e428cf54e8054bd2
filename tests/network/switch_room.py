"""Hosts behind switches, for tests of VLAN networks: what the switches carry, and what the rows say of them."""

from network.network_world import ALICE

from micronova.context import admin_context
from micronova.network.contract import NicRequest
from micronova.network.db import SwitchState
from micronova.network.drivers.fake_switch import FakeSwitch
from micronova.network.strategies.vlan import VlanManager
from micronova.network.switch_file import SwitchSettings
from micronova.network.switches import Switch

FLAGS = {
    "network__vlan_ranges": ["rack:100:109"],
    "network__interfaces": ["lab:eth7"],
    "tasks__retry_seconds": 0.01,
    "tasks__sweep_seconds": 0.2,
}
PORTS = {"h1": ("Gi1/0/1",), "h2": ("Gi1/0/2",)}


def switch_of(name="rack1", **values):
    settings = SwitchSettings(driver="fake", hosts=PORTS, uplinks=("Te1/1",), **values)
    return Switch(name, settings, FakeSwitch(name, settings))


def behind(*there):
    """Strategies of hosts behind these switches."""
    known = {one.name: one for one in there}
    return lambda runtime, host: (VlanManager(runtime, host, switches=known),)


async def boot(r, network, server, host):
    manager = r.hosts[host].manager
    requests = await manager.check_requests(ALICE, (NicRequest(network_id=network),), ())
    await manager.allocate_for_server(ALICE, server, host, server, requests, ())
    await manager.plug_server(ALICE, server)


async def leave(r, server, host):
    manager = r.hosts[host].manager
    await manager.unplug_server(ALICE, server)
    await manager.deallocate_for_server(ALICE, server)


def carried(switch, host):
    """VLANs on the switch's port of a host."""
    port = switch.driver.state.ports[PORTS[host][0]].facts
    return set(port.vlans) - {1} if port.trunk else set()


def vlans(switch):
    return set(switch.driver.state.vlans) - {1}


async def status(r, network):
    return (await r.call("GET", f"/networks/{network}"))["network"]["status"]


async def trouble(r):
    rows = await r.runtime.db.read(lambda tx: tx.find(SwitchState))
    return [row.trouble for row in rows]


async def look(r, host="h1"):
    """One periodic look, and all that comes of it."""
    await r.hosts[host].strategies[0].look(admin_context(r.runtime.clock))
    await r.idle()


async def is_in(r, network, wanted):
    return wanted == await status(r, network)
