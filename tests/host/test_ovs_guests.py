"""A real guest on the Open vSwitch driver: its card as QEMU makes it, TCP both ways, DHCP and metadata."""

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from linux_guests import network, plug, port
from netlab import Guest, Lab, connects, until
from ovs_lab import ovs_driver as ovs_driver
from qemu_bench import REAL_GUESTS, QemuBench, shown

from micronova.compute.driver import Nic
from micronova.guestimage import tiny
from micronova.network.drivers.ovs.driver import OvsNetworkDriver
from micronova.testing.compute_kit import ONE

pytestmark = REAL_GUESTS
LONG = 3_000_000


@pytest.fixture
async def bench(place: Path, image: tiny.TinyImage, lab: Lab) -> AsyncIterator[QemuBench]:
    bench = QemuBench(place / "state-ovs", image)
    await bench.driver.init_host()
    try:
        yield bench
    finally:
        await bench.erase()
        shutil.rmtree(place / "state-ovs", ignore_errors=True)


def serve(guest: Guest, folder: Path) -> subprocess.Popen[bytes]:
    """The guest serves the folder's files over HTTP; end it."""
    argv = ("nsenter", f"--net={guest.path}", "--", "busybox", "httpd", "-f", "-p", "8000", "-h", str(folder))
    return subprocess.Popen(argv)


async def test_a_guest_speaks_tcp_with_its_card_as_it_comes(
    bench: QemuBench,
    lab: Lab,
    driver: OvsNetworkDriver,
) -> None:
    a, b = port("a", 11), port("b", 12)
    await driver.ensure_network(network())
    neighbour = await plug(lab, driver, b)
    (lab.folder / "long").write_bytes(bytes(LONG))
    await driver.ensure_port(a)
    nic = Nic(port_id=a.id, mac=a.mac, device=a.device, mtu=1400)
    script = f"""#!/bin/sh
for i in 1 2 3 4 5; do
    got=$(timeout 20 wget -q -O - http://10.9.0.12:8000/long | wc -c)
    [ "$got" = {LONG} ] && break
    sleep 1
done
echo "fetched $got"
"""
    files = {"openstack/latest/user_data": script.encode(), "openstack/latest/meta_data.json": b'{"hostname": "a"}'}
    served = serve(neighbour, lab.folder)
    try:
        await bench.driver.ensure(msgspec.structs.replace(bench.spec(ONE), nics=(nic,), config_drive=files))

        assert f"fetched {LONG}" in await shown(bench, "fetched ")
        until(lambda: connects(neighbour.path, "10.9.0.11", 22), wait=60)
    finally:
        served.kill()
        served.wait()
