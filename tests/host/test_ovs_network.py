"""The Open vSwitch driver on a host that is a network namespace: the kit, crashes, repairs, and what is left."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest
from linux_guests import EGRESS, PING, SSH, network, plug, port
from netlab import Guest, Lab, sh, steady, until
from ovs_lab import bridge_of, daemons, flows, folder, ports_of, vsctl
from ovs_lab import ovs_driver as ovs_driver
from tap_guest import behind_tap

from micronova.clock import SystemClock
from micronova.errors import ConfigError, DriverError
from micronova.network.driver import PortSpec
from micronova.network.drivers.ovs.driver import OvsNetworkDriver
from micronova.network.drivers.served.names import Names
from micronova.network.drivers.served.namespace import in_namespace
from micronova.testing.network_kit import EVERY_KIND_OF_RULE, FRIENDS, NetworkDriverKit, network_spec, port_spec

pytestmark = pytest.mark.host
PORT = port_spec(1)
NETWORK = network_spec(0)
LONG = 3_000_000
ENDLESS_WORK = """
import asyncio, sys
from pathlib import Path
from micronova.clock import SystemClock
from micronova.network.drivers.ovs.driver import OvsNetworkDriver
from micronova.testing.network_kit import EVERY_KIND_OF_RULE, FRIENDS, port_spec, routed_spec

async def main():
    driver = OvsNetworkDriver(Path(sys.argv[1]), SystemClock())
    await driver.init_host()
    print("ready", flush=True)
    while True:
        await driver.ensure_network(routed_spec(0, 1))
        await driver.ensure_port(port_spec(1, rules=EVERY_KIND_OF_RULE), (FRIENDS,))
        await driver.ensure_network(routed_spec(1, 0))
        await driver.ensure_port(port_spec(1))
        await driver.remove_port(port_spec(1).id)
        await driver.remove_network(routed_spec(0).id)

asyncio.run(main())
"""


class TestOvsNetworkDriver(NetworkDriverKit):
    pass


def start(*argv: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)


def remains(tmp_path: Path, cloud: str = "network") -> list[str]:
    """Whatever is left of the cloud on this host."""
    names = Names("mn", tmp_path / cloud)
    links = [line.split()[0] for line in sh("ip", "-br", "link").splitlines()]
    found = [name for name in links if name.startswith((names.interfaces, "kit"))]
    found += [path.name for path in Path("/run/netns").glob(f"{names.cloud}-*")]
    found += [line for line in sh("nft", "list", "tables").splitlines() if names.table in line]
    found += [line for line in sh("ip", "rule").splitlines() if names.interfaces in line]
    found += [str(path) for path in Path("/run").glob(f"{names.cloud}*")]
    found += [str(path) for path in (tmp_path / cloud).rglob("*") if path.is_file()]
    return found + [name for name in ports_of() if name.startswith((names.interfaces, "kit"))]


async def test_erasing_leaves_nothing_and_no_daemon(driver: OvsNetworkDriver, tmp_path: Path) -> None:
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(PORT)
    there, running = remains(tmp_path), daemons()

    await driver.erase()

    assert len(there) >= 10
    assert 2 == len(running)
    assert [] == remains(tmp_path)
    assert {} == daemons()
    assert "ovs-netdev" not in sh("ip", "link")
    assert [] == list(Path("/run").glob(f"{folder().name}*"))


async def test_erasing_works_when_the_records_are_lost(driver: OvsNetworkDriver, tmp_path: Path) -> None:
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(PORT)
    for path in (tmp_path / "network").rglob("*.json"):
        path.unlink()

    await OvsNetworkDriver(tmp_path / "network", SystemClock()).erase()

    assert [] == remains(tmp_path)
    assert {} == daemons()


async def test_removing_a_network_leaves_only_the_flows_that_all_bridges_have(
    driver: OvsNetworkDriver, tmp_path: Path
) -> None:
    before, had = flows(tmp_path), ports_of()
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(port_spec(1, rules=EVERY_KIND_OF_RULE), (FRIENDS,))
    between = flows(tmp_path)

    await driver.remove_port(PORT.id)
    await driver.remove_network(NETWORK.id)

    assert len(between) > len(before) + 30
    assert before == flows(tmp_path)
    assert had == ports_of()


async def test_flows_that_somebody_deleted_come_back(driver: OvsNetworkDriver, tmp_path: Path) -> None:
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(PORT)
    before = flows(tmp_path)
    sh("ovs-ofctl", "-O", "OpenFlow15", "del-flows", bridge_of(tmp_path))

    await driver.ensure_network(NETWORK)

    assert before == flows(tmp_path)


async def test_repeating_leaves_daemons_ports_and_interfaces_as_they_are(
    driver: OvsNetworkDriver, tmp_path: Path
) -> None:
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(PORT)
    before = (daemons(), ports_of(), flows(tmp_path), steady(sh("ip", "-br", "link")), steady(sh("ip", "route")))
    restarted = OvsNetworkDriver(tmp_path / "network", SystemClock())

    await restarted.init_host()
    await restarted.ensure_network(NETWORK)
    await restarted.ensure_port(PORT)
    await restarted.close()

    assert before == (
        daemons(),
        ports_of(),
        flows(tmp_path),
        steady(sh("ip", "-br", "link")),
        steady(sh("ip", "route")),
    )


@pytest.mark.parametrize("victims", [["ovs-vswitchd"], ["ovsdb-server"], ["ovs-vswitchd", "ovsdb-server"]])
async def test_a_killed_switch_heals_and_connections_go_on(
    lab: Lab, driver: OvsNetworkDriver, tmp_path: Path, victims: list[str]
) -> None:
    specs = (port("a", 11), port("b", 12, rules=(*EGRESS, PING, SSH)))
    await driver.ensure_network(network())
    a, b = [await plug(lab, driver, spec) for spec in specs]
    had = flows(tmp_path)
    with b.listens(22) as listener:
        client = in_namespace(a.path, lambda: socket.create_connection(("10.9.0.12", 22), timeout=5))
        server, _ = await asyncio.to_thread(listener.accept)
        with client, server:
            running = daemons()
            for name in victims:
                os.kill(running[name], signal.SIGKILL)
            until(lambda: not set(victims) & daemons().keys())

            await driver.ensure_network(network())
            await driver.ensure_ports(specs)

            client.settimeout(20)
            server.settimeout(20)
            client.sendall(b"still there?")
            assert b"still there?" == await asyncio.to_thread(server.recv, 100)
            server.sendall(b"yes")
            assert b"yes" == await asyncio.to_thread(client.recv, 100)
            assert not a.connects("10.9.0.12", 80)
            assert had == flows(tmp_path)


async def test_a_bridge_that_somebody_deleted_comes_back(lab: Lab, driver: OvsNetworkDriver) -> None:
    specs = (port("a", 11), port("b", 12, rules=(*EGRESS, PING)))
    await driver.ensure_network(network())
    a, b = [await plug(lab, driver, spec) for spec in specs]
    vsctl("del-br", next(name for name in vsctl("list-br").split()))
    silent = not a.pings("10.9.0.12")

    await driver.ensure_network(network())
    await driver.ensure_ports(specs)

    assert silent
    until(lambda: a.pings("10.9.0.12"))
    assert b.reaches("10.9.0.1")


async def test_a_switch_that_hangs_is_an_error_in_time(
    driver: OvsNetworkDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("openflow", "database", "instance"):
        monkeypatch.setattr(f"micronova.network.drivers.ovs.{module}.WAIT", 1.0)
    running = daemons()
    os.kill(running["ovs-vswitchd"], signal.SIGSTOP)

    with pytest.raises(DriverError):
        await driver.ensure_network(NETWORK)

    os.kill(running["ovs-vswitchd"], signal.SIGCONT)
    monkeypatch.undo()
    await driver.ensure_network(NETWORK)
    assert [NETWORK.id] == await driver.list_networks()


async def test_two_clouds_share_the_switch_and_do_not_meet(driver: OvsNetworkDriver, tmp_path: Path) -> None:
    other = OvsNetworkDriver(tmp_path / "other", SystemClock())
    await other.init_host()
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(PORT)
    await other.ensure_network(NETWORK)
    await other.ensure_port(msgspec.structs.replace(PORT, device="other1"))
    before = flows(tmp_path)

    await other.erase()
    await other.close()

    assert 2 == len(daemons())
    assert [PORT.device, PORT.device] == remains(tmp_path, "other")
    assert before == flows(tmp_path)
    assert [NETWORK.id] == await driver.list_networks()
    assert [PORT.id] == [facts.id for facts in await driver.list_ports()]


async def test_bridges_of_others_are_left_alone(driver: OvsNetworkDriver) -> None:
    vsctl("add-br", "foreign", "--", "set", "Bridge", "foreign", "datapath_type=netdev")
    try:
        await driver.ensure_network(NETWORK)
        await driver.ensure_port(PORT)
        await driver.init_host()
        await driver.erase()

        assert "foreign" == vsctl("list-br").strip()
        assert 2 == len(daemons())
    finally:
        await driver.init_host()
        vsctl("del-br", "foreign")


async def test_an_interface_that_is_on_another_bridge_is_refused(driver: OvsNetworkDriver) -> None:
    sh("ip", "link", "add", PORT.device, "type", "veth", "peer", "name", "far")
    vsctl("add-br", "foreign", "--", "set", "Bridge", "foreign", "datapath_type=netdev")
    vsctl("add-port", "foreign", PORT.device)
    try:
        await driver.ensure_network(NETWORK)

        with pytest.raises(DriverError):
            await driver.ensure_port(PORT)

        assert PORT.device in vsctl("list-ports", "foreign")
    finally:
        vsctl("del-br", "foreign")


async def test_an_interface_that_was_there_is_given_back(driver: OvsNetworkDriver) -> None:
    sh("ip", "link", "add", PORT.device, "type", "veth", "peer", "name", "far")
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(PORT)
    attached = PORT.device in ports_of()

    await driver.remove_port(PORT.id)

    assert attached
    assert PORT.device not in ports_of()
    assert PORT.device in sh("ip", "link")
    assert "alias" not in sh("ip", "link", "show", PORT.device)


async def test_a_tap_that_went_and_came_is_plugged_in_again(driver: OvsNetworkDriver) -> None:
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(PORT)
    sh("ip", "link", "delete", PORT.device)

    await driver.ensure_port(PORT)

    assert "[]" == vsctl("get", "Interface", PORT.device, "error").strip()
    assert "1" == vsctl("get", "Interface", PORT.device, "ofport").strip()


async def test_after_a_reboot_the_records_of_what_is_gone_are_forgotten(
    driver: OvsNetworkDriver, tmp_path: Path
) -> None:
    names = Names("mn", tmp_path / "network")
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(PORT)
    for pid in daemons().values():
        os.kill(pid, signal.SIGKILL)
    until(lambda: not daemons())
    for name in (PORT.device, names.link(NETWORK.id), names.service(NETWORK.id)):
        sh("ip", "link", "delete", name)
    sh("ip", "netns", "delete", names.namespace(NETWORK.id))
    sh("nft", "flush", "ruleset")
    booted = OvsNetworkDriver(tmp_path / "network", SystemClock())

    await booted.init_host()

    assert [] == await booted.list_ports()
    assert [] == await booted.list_networks()
    assert PORT.device not in ports_of()
    await booted.ensure_network(NETWORK)
    await booted.ensure_port(PORT)
    assert 1 == len(await booted.list_ports())
    await booted.close()


async def test_guests_behind_taps_speak_tcp_and_leave_checksums_to_the_host(lab: Lab, driver: OvsNetworkDriver) -> None:
    await driver.ensure_network(network())
    await driver.ensure_ports((port("a", 11), port("b", 12, rules=(*EGRESS, SSH))))
    c = await plug(lab, driver, port("c", 13))
    with behind_tap(lab, "p-a", port("a", 11).mac) as a, behind_tap(lab, "p-b", port("b", 12).mac) as b:
        a.set_address("10.9.0.11/24")
        b.set_address("10.9.0.12/24")

        for one, other, address in ((a, b, "10.9.0.12"), (c, a, "10.9.0.11"), (a, c, "10.9.0.13")):
            assert LONG == await asyncio.to_thread(carried, one, other, address)
        assert not a.connects("10.9.0.12", 80)
        assert "10.9.0.11" == a.dhcp()["ip"]


def carried(sender: Guest, receiver: Guest, address: str) -> int:
    """How many of many bytes a TCP connection carried."""
    got = 0
    with receiver.listens(22) as listener:
        listener.settimeout(10)
        client = in_namespace(sender.path, lambda: socket.create_connection((address, 22), timeout=30))
        server, _ = listener.accept()
        with client, server:
            server.settimeout(30)
            pusher = threading.Thread(target=lambda: (client.sendall(bytes(LONG)), client.shutdown(socket.SHUT_WR)))
            pusher.start()
            while data := server.recv(1 << 16):
                got += len(data)
            pusher.join()
    return got


@pytest.mark.slow
async def test_a_driver_killed_at_any_moment_leaves_what_the_next_completes(
    driver: OvsNetworkDriver, tmp_path: Path
) -> None:
    for moment in range(8):
        argv = [sys.executable, "-c", ENDLESS_WORK, str(tmp_path / "network")]
        worker = start(*argv)
        assert worker.stdout is not None
        worker.stdout.readline()
        await asyncio.sleep(moment * 0.11)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.communicate()
        healer = OvsNetworkDriver(tmp_path / "network", SystemClock())

        await healer.init_host()
        await healer.ensure_network(NETWORK)
        await healer.ensure_port(PORT)
        await healer.remove_network(network_spec(1).id)

        assert [PORT.id] == [facts.id for facts in await healer.list_ports()], f"moment {moment}"
        assert [NETWORK.id] == await healer.list_networks(), f"moment {moment}"
        await healer.erase()
        assert [] == remains(tmp_path), f"moment {moment}"


@pytest.mark.parametrize("wrong", [{"prefix": "toolong"}, {"link_range": "10.0.0.1/8"}, {"link_range": "10.0.0.0/8"}])
def test_options_that_can_not_be_are_told(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        OvsNetworkDriver(tmp_path, SystemClock(), **wrong)


async def test_many_ports_share_their_rules_and_change_them_in_one_step(
    driver: OvsNetworkDriver, tmp_path: Path
) -> None:
    await driver.ensure_network(NETWORK)
    specs = tuple(_one_of_many(number) for number in range(200))
    begun = time.monotonic()
    await driver.ensure_ports(specs, (FRIENDS,))
    took = time.monotonic() - begun
    many = len(flows(tmp_path))

    await driver.ensure_ports(tuple(msgspec.structs.replace(spec, rules=EVERY_KIND_OF_RULE[:5]) for spec in specs))

    assert len(specs) == len(await driver.list_ports())
    assert len(flows(tmp_path)) < many
    assert took < 60


def _one_of_many(number: int) -> PortSpec:
    return PortSpec(
        id=f"p{number}",
        network_id=NETWORK.id,
        device=f"kit{number}",
        mac=f"fa:16:3e:01:{number // 256:02x}:{number % 256:02x}",
        ips=(f"10.60.{number // 250}.{number % 250 + 2}",),
        rules=EVERY_KIND_OF_RULE,
    )
