"""The Linux network driver on a host that is a network namespace: the kit, crashes, repairs, and what is left."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from netlab import Lab, sh, steady

from micronova.clock import SystemClock
from micronova.errors import ConfigError, DriverError
from micronova.network.driver import PortSpec
from micronova.network.drivers.linux.driver import LinuxNetworkDriver
from micronova.network.drivers.served.names import Names
from micronova.testing.network_kit import EVERY_KIND_OF_RULE, FRIENDS, NetworkDriverKit, network_spec, port_spec

pytestmark = pytest.mark.host
PORT = port_spec(1)
NETWORK = network_spec(0)
ENDLESS_WORK = """
import asyncio, sys
from pathlib import Path
from micronova.clock import SystemClock
from micronova.network.driver import FloatingSpec
from micronova.network.drivers.linux.driver import LinuxNetworkDriver
from micronova.testing.network_kit import EVERY_KIND_OF_RULE, FRIENDS, port_spec, routed_spec

async def main():
    driver = LinuxNetworkDriver(Path(sys.argv[1]), SystemClock())
    await driver.init_host()
    print("ready", flush=True)
    floating = FloatingSpec(floating_ip="203.0.113.9", fixed_ip="10.60.0.11", port_id="p")
    while True:
        await driver.ensure_network(routed_spec(0, 1, floating=(floating,)))
        await driver.ensure_port(port_spec(1, rules=EVERY_KIND_OF_RULE), (FRIENDS,))
        await driver.ensure_network(routed_spec(1, 0))
        await driver.ensure_port(port_spec(1))
        await driver.remove_port(port_spec(1).id)
        await driver.remove_network(routed_spec(0).id)

asyncio.run(main())
"""


class TestLinuxNetworkDriver(NetworkDriverKit):
    pass


def servers(names: Names, run_folder: Path = Path("/run")) -> list[int]:
    """Process ids of the cloud's DHCP servers."""
    marker = f"--conf-file={run_folder / names.cloud}/".encode()
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and marker in Path("/proc", name, "cmdline").read_bytes():
                found.append(int(name))
        except OSError:
            continue
    return found


def remains(names: Names, tmp_path: Path) -> list[str]:
    """Whatever is left of the cloud on this host."""
    links = [line.split()[0] for line in sh("ip", "-br", "link").splitlines()]
    found = [name for name in links if name.startswith((names.interfaces, "kit"))]
    found += [path.name for path in Path("/run/netns").glob(f"{names.cloud}-*")]
    found += [line for line in sh("nft", "list", "tables").splitlines() if names.table in line]
    found += [line for line in sh("ip", "rule").splitlines() if names.interfaces in line]
    found += [str(pid) for pid in servers(names)]
    found += [str(path) for path in Path("/run").glob(f"{names.cloud}*")]
    found += [str(path) for path in (tmp_path / "network").rglob("*") if path.is_file()]
    return found


def start(*argv: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)


async def test_erasing_leaves_no_interface_namespace_table_process_or_file(
    driver: LinuxNetworkDriver, tmp_path: Path
) -> None:
    names = Names("mn", tmp_path / "network")
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(PORT)
    there = remains(names, tmp_path)

    await driver.erase()

    assert len(there) >= 10
    assert [] == remains(names, tmp_path)


async def test_erasing_works_when_the_records_are_lost(driver: LinuxNetworkDriver, tmp_path: Path) -> None:
    names = Names("mn", tmp_path / "network")
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(PORT)
    for path in (tmp_path / "network").rglob("*.json"):
        path.unlink()

    await LinuxNetworkDriver(tmp_path / "network", SystemClock()).erase()

    assert [] == remains(names, tmp_path)


async def test_removing_a_network_leaves_only_the_empty_tables(driver: LinuxNetworkDriver, tmp_path: Path) -> None:
    names = Names("mn", tmp_path / "network")
    before = sh("nft", "list", "ruleset")
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(PORT)

    await driver.remove_port(PORT.id)
    await driver.remove_network(NETWORK.id)

    assert before == sh("nft", "list", "ruleset")
    assert [] == servers(names)
    assert [] == [word for word in remains(names, tmp_path) if "table" not in word and "/run" not in word]


async def test_tables_of_others_are_left_alone(driver: LinuxNetworkDriver) -> None:
    sh("nft", "add table inet foreign; add chain inet foreign c; add rule inet foreign c counter accept")
    before = sh("nft", "list", "table", "inet", "foreign")

    await driver.ensure_network(NETWORK)
    await driver.ensure_port(PORT)
    await driver.init_host()
    await driver.erase()

    assert before == sh("nft", "list", "table", "inet", "foreign")


async def test_filters_that_somebody_flushed_come_back(driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(PORT)
    before = sh("nft", "list", "ruleset")
    sh("nft", "flush", "ruleset")

    await driver.ensure_port(PORT)

    assert sorted(before.split()) == sorted(sh("nft", "list", "ruleset").split())


async def test_repeating_leaves_the_server_and_the_interfaces_as_they_are(
    driver: LinuxNetworkDriver, tmp_path: Path
) -> None:
    names = Names("mn", tmp_path / "network")
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(PORT)
    before = (servers(names), steady(sh("ip", "-br", "link")), steady(sh("ip", "route")))
    restarted = LinuxNetworkDriver(tmp_path / "network", SystemClock())

    await restarted.init_host()
    await restarted.ensure_network(NETWORK)
    await restarted.ensure_port(PORT)
    await restarted.close()

    assert before == (servers(names), steady(sh("ip", "-br", "link")), steady(sh("ip", "route")))


async def test_a_namespace_that_lost_its_name_is_replaced(driver: LinuxNetworkDriver, tmp_path: Path) -> None:
    names = Names("mn", tmp_path / "network")
    await driver.ensure_network(NETWORK)
    held = await driver.metadata_socket(NETWORK.id)
    sh("ip", "netns", "delete", names.namespace(NETWORK.id))

    await driver.ensure_network(NETWORK)

    inside = sh("ip", "-n", names.namespace(NETWORK.id), "-br", "link")
    assert "gw@" in inside
    assert "out@" in inside
    assert 1 == len(servers(names))
    assert held is not None
    held.close()


async def test_after_a_reboot_the_records_of_what_is_gone_are_forgotten(
    driver: LinuxNetworkDriver, tmp_path: Path
) -> None:
    names = Names("mn", tmp_path / "network")
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(PORT)
    for pid in servers(names):
        os.kill(pid, signal.SIGKILL)
    for name in (PORT.device, names.bridge(NETWORK.id), names.link(NETWORK.id), names.service(NETWORK.id)):
        sh("ip", "link", "delete", name)
    sh("ip", "netns", "delete", names.namespace(NETWORK.id))
    sh("nft", "flush", "ruleset")
    booted = LinuxNetworkDriver(tmp_path / "network", SystemClock())

    await booted.init_host()

    assert [] == await booted.list_ports()
    await booted.ensure_network(NETWORK)
    await booted.ensure_port(PORT)
    assert 1 == len(await booted.list_ports())
    await booted.close()


@pytest.mark.slow
async def test_a_driver_killed_at_any_moment_leaves_what_the_next_completes(
    driver: LinuxNetworkDriver, tmp_path: Path
) -> None:
    names = Names("mn", tmp_path / "network")
    for moment in range(10):
        argv = [sys.executable, "-c", ENDLESS_WORK, str(tmp_path / "network")]
        worker = start(*argv)
        assert worker.stdout is not None
        worker.stdout.readline()
        await asyncio.sleep(moment * 0.033)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.communicate()
        healer = LinuxNetworkDriver(tmp_path / "network", SystemClock())

        await healer.init_host()
        await healer.ensure_network(NETWORK)
        await healer.ensure_port(PORT)
        await healer.remove_network(network_spec(1).id)

        assert [PORT.id] == [facts.id for facts in await healer.list_ports()], f"moment {moment}"
        assert 1 == len(servers(names)), f"moment {moment}"
        await healer.erase()
        assert [] == remains(names, tmp_path), f"moment {moment}"


async def test_an_interface_that_was_only_begun_is_completed_when_the_rules_change(
    driver: LinuxNetworkDriver, tmp_path: Path
) -> None:
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(port_spec(1, rules=EVERY_KIND_OF_RULE), (FRIENDS,))
    sh("ip", "link", "delete", PORT.device)
    sh("ip", "tuntap", "add", PORT.device, "mode", "tap", "vnet_hdr")
    healer = LinuxNetworkDriver(tmp_path / "network", SystemClock())

    await healer.init_host()
    await healer.ensure_port(PORT)

    assert [PORT.id] == [facts.id for facts in await healer.list_ports()]
    await healer.close()


async def test_two_clouds_on_one_host_do_not_meet(driver: LinuxNetworkDriver, tmp_path: Path) -> None:
    other = LinuxNetworkDriver(tmp_path / "other", SystemClock())
    await other.init_host()
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(PORT)
    await other.ensure_network(NETWORK)
    await other.ensure_port(msgspec.structs.replace(PORT, device="other1"))

    await other.erase()
    await other.close()

    assert [NETWORK.id] == await driver.list_networks()
    assert [PORT.id] == [facts.id for facts in await driver.list_ports()]
    assert 1 == len(servers(Names("mn", tmp_path / "network")))


async def test_a_number_is_not_taken_that_another_cloud_shows(lab: Lab, tmp_path: Path) -> None:
    sh("ip", "addr", "add", "100.64.0.1/30", "dev", "lo")
    sh("ip", "addr", "add", "100.64.0.9/30", "dev", "lo")
    small = LinuxNetworkDriver(tmp_path / "small", SystemClock(), link_range="100.64.0.0/28")
    try:
        await small.init_host()
        await small.ensure_network(network_spec(1))
        await small.ensure_network(network_spec(2))

        with pytest.raises(DriverError, match="all 4 networks"):
            await small.ensure_network(network_spec(3))

        assert {"100.64.0.5", "100.64.0.13"} <= set(sh("ip", "-br", "addr").replace("/", " ").split())
    finally:
        await small.erase()


async def test_an_interface_that_was_there_is_given_back(driver: LinuxNetworkDriver) -> None:
    sh("ip", "link", "add", PORT.device, "type", "veth", "peer", "name", "far")
    await driver.ensure_network(NETWORK)
    await driver.ensure_port(PORT)
    attached = sh("ip", "link", "show", PORT.device)

    await driver.remove_port(PORT.id)

    assert "master" in attached
    assert "master" not in sh("ip", "link", "show", PORT.device)


async def test_a_tap_belongs_to_the_user_it_is_for(lab: Lab, tmp_path: Path) -> None:
    driver = LinuxNetworkDriver(tmp_path / "taps", SystemClock(), tap_owner=65534)
    try:
        await driver.init_host()
        await driver.ensure_network(NETWORK)
        await driver.ensure_port(PORT)

        told = sh("ip", "-d", "link", "show", PORT.device)

        assert "tun type tap" in told
        assert "persist on" in told
        assert "multi_queue" not in told
        assert "user nobody" in told
        assert "mtu 1450" in told
    finally:
        await driver.erase()


@pytest.mark.parametrize("wrong", [{"prefix": "toolong"}, {"prefix": "A"}, {"link_range": "10.0.0.1/8"}])
def test_options_that_can_not_be_are_told(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        LinuxNetworkDriver(tmp_path, SystemClock(), **wrong)


async def test_a_hundred_ports_come_at_once(driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(NETWORK)
    specs = tuple(
        msgspec.structs.replace(
            port_spec(number % 200),
            id=f"p{number}",
            device=f"kit{number}",
            ips=(f"10.60.0.{number % 250 + 2}",),
            leases=(),
        )
        for number in range(100)
    )
    start = time.monotonic()

    await driver.ensure_ports(specs)

    took = time.monotonic() - start
    assert len(specs) == len(await driver.list_ports())
    assert took < 30


async def test_a_table_of_others_that_drops_what_is_forwarded_is_told_in_one_sentence(
    lab: Lab, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sh("nft", "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }")
    driver = LinuxNetworkDriver(tmp_path / "other", SystemClock())
    try:
        await driver.init_host()

        [told] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert "table ip filter drops forwarded packets" in told
        assert Names("mn", tmp_path / "other").interfaces in told
    finally:
        await driver.erase()
        await driver.close()


async def test_many_ports_share_their_rules_and_change_them_in_one_step(driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(NETWORK)
    first, second = (EVERY_KIND_OF_RULE, EVERY_KIND_OF_RULE[:5])
    specs = [
        PortSpec(
            id=f"p{number}",
            network_id=NETWORK.id,
            device=f"kit{number}",
            mac=f"fa:16:3e:01:{number // 256:02x}:{number % 256:02x}",
            ips=(f"10.60.{number // 250}.{number % 250 + 2}",),
            rules=first,
        )
        for number in range(200)
    ]
    await driver.ensure_ports(tuple(specs), (FRIENDS,))
    chains = sh("nft", "list", "ruleset").count("chain ingress-")

    await driver.ensure_ports(tuple(msgspec.structs.replace(spec, rules=second) for spec in specs))

    told = sh("nft", "list", "ruleset")
    assert (1, 1) == (chains, told.count("chain ingress-"))
    [chain] = {word.rstrip(",") for word in told.split() if word.startswith("ingress-")}
    assert told.count(f": goto {chain}") == len(specs)
