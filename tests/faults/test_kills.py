"""Kill -9 of the whole cloud at random moments of a build: every server is finished then, or failed; nothing leaked."""

import contextlib
import random
import threading
import time

import httpx2
import pytest
from outside import Cloud, cloud

SHORT = {"MICRONOVA_TASKS_SWEEP_SECONDS": "0.5"}
KILLS = 16
SERVERS = 4
LONGEST = 0.5
"""Seconds after the first request at which the latest kill comes; a build takes a part of it."""


@pytest.fixture(scope="module")
def victim():
    with cloud("--simulate", "--no-demo", environment=SHORT) as made:
        made.up()
        session = made.session()
        session.image(bytes(1 << 20), name="tiny")
        session.network("10.40.0.0/24", name="private")
        yield made


def build_and_kill(victim: Cloud, moment: float, count: int) -> None:
    """Servers are asked for, one after the other, and the process ends `moment` seconds after the first request."""
    session = victim.session()
    image = session.named("/image/v2/images", "images", "tiny")["id"]
    network = session.named("/network/v2.0/networks", "networks", "private")["id"]

    def ask() -> None:
        with contextlib.suppress(httpx2.HTTPError, AssertionError):
            for number in range(count):
                session.boot(image, network, f"k{number}")

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(moment)
    victim.kill()
    asking.join(60)


def agrees(victim: Cloud, wait: float = 120) -> None:
    """Every server is finished or says why not, rows and hosts agree, and nothing is held by nobody."""
    session = victim.session()
    servers = [session.settled(one["id"], wait) for one in session.get("/compute/v2.1/servers")["servers"]]
    victim.idle()
    for server in servers:
        assert server["status"] in ("ACTIVE", "ERROR"), server
        assert server["status"] == "ACTIVE" or server["fault"]["message"], server
    active = {server["id"] for server in servers if server["status"] == "ACTIVE"}
    assert session.audit() == []
    assert active == holders(session)
    assert len(active) == running(session)
    for server in servers:
        session.delete_server(server["id"])
    victim.idle()
    assert set() == holders(session)
    assert 0 == running(session)
    assert session.audit() == []


def holders(session) -> set[str]:
    """The servers that hold ports."""
    ports = session.get("/network/v2.0/ports")["ports"]
    owned = [port for port in ports if port["device_owner"].startswith("compute:")]
    assert len(owned) == len({port["fixed_ips"][0]["ip_address"] for port in owned})
    return {port["device_id"] for port in owned}


def running(session) -> int:
    """How many guests' worth of the host is claimed."""
    answer = session.ask("GET", "/compute/v2.1/os-hypervisors/detail", **{"OpenStack-API-Version": "compute 2.53"})
    hypervisors = answer.json()["hypervisors"]
    assert all(one["vcpus_used"] == one["running_vms"] for one in hypervisors), hypervisors
    return sum(one["running_vms"] for one in hypervisors)


@pytest.mark.parametrize("number", range(KILLS))
def test_a_kill_at_any_moment_of_a_build_leaves_no_doubt(victim, number):
    moment = random.Random(f"kill {number}").uniform(0, LONGEST)

    build_and_kill(victim, moment, SERVERS)
    victim.up()

    agrees(victim)


def test_a_kill_while_servers_are_deleted(victim):
    session = victim.session()
    image = session.named("/image/v2/images", "images", "tiny")["id"]
    network = session.named("/network/v2.0/networks", "networks", "private")["id"]
    ids = [session.boot(image, network, f"d{number}") for number in range(SERVERS)]
    for id in ids:
        session.settled(id)

    for id in ids:
        session.ask("DELETE", f"/compute/v2.1/servers/{id}")
    victim.kill()
    victim.up()
    victim.idle()

    assert [] == victim.session().get("/compute/v2.1/servers")["servers"]
    agrees(victim)


def test_a_kill_while_an_image_comes_in(victim):
    session = victim.session()
    made = session.post("/image/v2/images", {"name": "late", "disk_format": "raw", "container_format": "bare"})

    def slowly():
        yield bytes(1 << 20)
        victim.kill()
        yield bytes(1 << 20)

    with pytest.raises(httpx2.HTTPError):
        session.upload(made["id"], slowly())
    victim.up()

    session = victim.session()
    assert session.get(f"/image/v2/images/{made['id']}")["status"] == "queued"
    assert session.upload(made["id"], b"again").status_code == 204
    assert not list((victim.state / "images" / "incoming").iterdir())
    assert victim.audit() == []
