"""Real guests and their servants killed: the cloud notices, says so, and puts right what it can."""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from outside import cloud, find_processes, traces, wait_for, why_not_real

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(bool(why_not_real()), reason=why_not_real() or "possible"),
]
KILLS = 4
LONGEST = 4.0
NOTICED = 60
"""Seconds in which a periodic look must have come, also on a busy machine; they come every ten."""


@pytest.fixture(scope="module")
def before():
    return traces()


@pytest.fixture(scope="module")
def guests(before):
    """A real cloud with server `hello`."""
    with cloud() as made:
        made.up()
        wait_for(lambda: "Ctrl-C stops the services" in made.log(), 300, every=0.2, said="the demo")
        assert "the demo ended early" not in made.log(), made.log()[-3000:]
        yield made


@pytest.fixture
def hello(guests):
    session = guests.session()
    return session, session.named("/compute/v2.1/servers", "servers", "hello")["id"]


def qemu(id):
    """The process of a server's guest."""
    found = find_processes("qemu-system", id)
    return found[0] if found else None


def test_a_killed_qemu_is_told_and_can_be_started_again(hello):
    session, id = hello

    os.kill(qemu(id), signal.SIGKILL)

    session.reaches(id, "SHUTOFF", NOTICED)
    session.act(id, {"os-start": None})
    session.reaches(id, "ACTIVE")
    assert qemu(id) is not None


def test_a_killed_dnsmasq_is_healed(guests, hello):
    session, _ = hello
    network = session.named("/network/v2.0/networks", "networks", "private")["id"]
    [old] = dnsmasq(network)

    os.kill(old, signal.SIGKILL)

    wait_for(lambda: [pid for pid in dnsmasq(network) if pid != old], NOTICED, said="a new dnsmasq")


def dnsmasq(network):
    """The processes that give addresses in a network of this host."""
    [space] = [name for name in traces()["namespaces"] if network in name]
    told = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True, check=True).stdout
    return [int(pid) for pid in told.split() if Path(f"/proc/{pid}/comm").read_text().strip() == "dnsmasq"]


def test_guests_outlive_a_killed_cloud(guests, hello):
    _, id = hello
    pid = qemu(id)

    guests.kill()
    assert qemu(id) == pid
    guests.up("--no-demo")

    assert guests.session().settled(id)["status"] == "ACTIVE"
    assert qemu(id) == pid
    wait_for(lambda: guests.audit() == [], 30, every=1, said="agreement")


def test_ctrl_c_leaves_guests_running_and_down_stops_them(guests, hello):
    _, id = hello
    os.kill(guests.pid, signal.SIGINT)
    wait_for(lambda: guests.pid is None, said="the end of the services")
    assert qemu(id) is not None
    assert "Guests keep running" in guests.log()

    done = guests.down()

    assert done.returncode == 0, done.stderr
    assert qemu(id) is None
    guests.up("--no-demo")
    guests.session().reaches(id, "ACTIVE")


def test_a_second_cloud_on_the_host_does_not_cut_off_the_guests_of_the_first(hello):
    session, id = hello
    [address] = session.server(id)["addresses"]["private"]
    network = session.named("/network/v2.0/networks", "networks", "private")["id"]
    [space] = [name for name in traces()["namespaces"] if network in name]
    way = subprocess.run(["ip", "route", "get", address["addr"]], capture_output=True, text=True, check=False).stdout
    if f" dev mn{space.split('-')[1]}" not in way:
        pytest.skip("another cloud on this host has the same addresses")
    wait_for(lambda: speaks_ssh(address["addr"]), 180, every=0.5, said="ssh")  # its console shows earlier starts too

    with cloud("--no-demo") as second:
        second.up()

        assert speaks_ssh(address["addr"])


def speaks_ssh(address):
    """Whether somebody with ssh answers there."""
    try:
        with socket.create_connection((address, 22), timeout=10) as talking:
            return talking.recv(4) == b"SSH-"
    except OSError:
        return False


@pytest.mark.parametrize("number", range(KILLS))
def test_a_kill_at_any_moment_of_a_real_build_leaves_no_doubt(guests, hello, number):
    session, keep = hello
    image = session.named("/image/v2/images", "images", "tiny")["id"]
    network = session.named("/network/v2.0/networks", "networks", "private")["id"]
    id = session.boot(image, network, f"k{number}")

    time.sleep(random.Random(f"real kill {number}").uniform(0, LONGEST))
    guests.kill()
    guests.up("--no-demo")

    session = guests.session()
    server = session.settled(id)
    assert server["status"] == "ACTIVE" or (server["status"] == "ERROR" and server["fault"]["message"]), server
    assert (qemu(id) is not None) == (server["status"] == "ACTIVE")
    guests.idle()
    wait_for(lambda: session.audit() == [], 30, every=1, said="agreement")
    session.delete_server(id)
    assert find_processes(id) == []
    wait_for(lambda: session.audit() == [], 30, every=1, said="agreement")
    assert session.settled(keep)["status"] == "ACTIVE"


def test_a_disk_without_space_for_a_guest_is_a_fault(guests, hello):
    session, _ = hello
    image = session.named("/image/v2/images", "images", "tiny")["id"]
    network = session.named("/network/v2.0/networks", "networks", "private")["id"]
    folder = guests.state / "compute" / "guests"
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        server = session.settled(session.boot(image, network, "full"))
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)

    assert server["status"] == "ERROR"
    assert "space" in server["fault"]["message"], server["fault"]
    session.delete_server(server["id"])
    wait_for(lambda: guests.audit() == [], 60, every=1, said="agreement")


def test_down_with_erase_leaves_nothing_of_the_cloud(guests, before, hello):
    """The last one of this file: it ends the cloud that the others used."""
    session, id = hello
    volume = attached_volume(session, id)
    network = session.named("/network/v2.0/networks", "networks", "private")["id"]
    ports = [port["id"] for port in session.get("/network/v2.0/ports")["ports"]]
    [space] = [name for name in traces()["namespaces"] if network in name]
    tag = re.fullmatch(rf"mn-(\w+)-{network}", space)[1]
    mine = (f"mn-{tag}-", f"mn{tag}", f"mn_{tag}", str(guests.state), network, volume, *(port[:11] for port in ports))
    assert find_processes("qemu-storage-daemon", volume)
    there = of_ours(traces(mine), mine)
    assert all(there[kind] for kind in ("links", "namespaces", "tables", "processes", "routes")), there

    done = guests.down("--erase")

    assert done.returncode == 0, done.stderr
    left = {kind: found - before[kind] for kind, found in of_ours(traces(mine), mine).items()}
    assert {kind: set() for kind in left} == left
    assert not guests.state.exists()
    assert not [name for name in os.listdir("/run") if tag in name and name.startswith(("mn", "micronova"))]
    assert not (guests.home / ".config" / "openstack" / "clouds.yaml").exists()
    assert shutil.which("qemu-system-x86_64")


def attached_volume(session, server_id):
    """The id of a new volume that the server uses."""
    project = session.named("/identity/v3/projects", "projects", "admin")["id"]
    made = session.post(f"/volume/v3/{project}/volumes", {"volume": {"size": 1}})["volume"]["id"]
    path = f"/volume/v3/{project}/volumes/{made}"
    wait_for(lambda: session.get(path)["volume"]["status"] == "available", said="a volume")
    asked = {"volumeAttachment": {"volumeId": made}}
    session.post(f"/compute/v2.1/servers/{server_id}/os-volume_attachments", asked)
    wait_for(lambda: session.get(path)["volume"]["status"] == "in-use", said="its use by the server")
    return made


def of_ours(found, words):
    """What has one of our names in it."""
    return {kind: {one for one in names if any(word in one for word in words)} for kind, names in found.items()}
