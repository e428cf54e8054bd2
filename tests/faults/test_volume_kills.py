"""Kill -9 of the whole cloud while volumes come and go: afterwards rows, guests and back ends tell one story."""

import contextlib
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from outside import Cloud, Session, cloud, wait_for

SHORT = {"MICRONOVA_TASKS_SWEEP_SECONDS": "0.5"}
KILLS = 6
LONGEST = 0.7
"""Seconds after the first request at which the latest kill comes."""
SERVERS = "/compute/v2.1/servers"


class Victim:
    """A cloud with two servers and three volumes, and a hand that plugs them in and out."""

    def __init__(self, made: Cloud) -> None:
        self.cloud = made
        session = self.cloud.session()
        self.image = session.image(bytes(1 << 20), name="tiny")
        network = session.network("10.40.0.0/24", name="private")
        self.path = f"/volume/v3/{session.named('/identity/v3/projects', 'projects', 'admin')['id']}/volumes"
        self.servers = [session.boot(self.image, network, f"s{number}") for number in range(2)]
        for id in self.servers:
            session.settled(id)
        self.volumes = [session.post(self.path, {"volume": {"size": 1}})["volume"]["id"] for _ in range(3)]
        wait_for(lambda: {"available"} == {one["status"] for one in self.details(session)}, said="volumes")

    def details(self, session: Session) -> list[dict[str, Any]]:
        return list(session.get(f"{self.path}/detail")["volumes"])

    def hurry(self, session: Session, chance: random.Random) -> None:
        """Every volume changes sides, a server boots from a new one, and an older such server goes."""
        with contextlib.suppress(httpx2.HTTPError, AssertionError):
            for volume in self.volumes:
                self._turn(session, volume, chance.choice(self.servers))
            old = [one for one in session.get(SERVERS)["servers"] if one["id"] not in self.servers]
            disk = {"source_type": "image", "uuid": self.image, "destination_type": "volume", "volume_size": 1}
            disks = [{**disk, "boot_index": 0, "delete_on_termination": True}]
            body = {"name": "b", "flavorRef": session.flavor(), "networks": "none", "block_device_mapping_v2": disks}
            session.post(SERVERS, {"server": body})
            for one in old:
                session.ask("DELETE", f"{SERVERS}/{one['id']}")

    def _turn(self, session: Session, volume: str, server: str) -> None:
        attached = session.get(f"{self.path}/{volume}")["volume"]["attachments"]
        if attached:
            session.ask("DELETE", f"{SERVERS}/{attached[0]['server_id']}/os-volume_attachments/{volume}")
        else:
            asked = {"volumeAttachment": {"volumeId": volume}}
            session.ask("POST", f"{SERVERS}/{server}/os-volume_attachments", asked)

    def settled(self) -> None:
        """Nothing is to be done any more but to watch."""

        def quiet() -> bool:
            with contextlib.closing(sqlite3.connect(self.cloud.state / "micronova.db", timeout=30)) as database:
                question = "SELECT count(*) FROM tasks WHERE open AND method != 'expire'"
                return bool(database.execute(question).fetchone()[0] == 0)

        wait_for(quiet, 120, said="the end of all tasks")

    def agrees(self, session: Session) -> None:
        """Each volume is in use by the servers that show it, or by nobody; guests have what their servers have."""
        self.settled()
        owners: dict[str, list[str]] = {}
        for server in session.get(f"{SERVERS}/detail")["servers"]:
            assert server["status"] in ("ACTIVE", "ERROR"), server
            for disk in server["os-extended-volumes:volumes_attached"]:
                owners.setdefault(disk["id"], []).append(server["id"])
        for volume in self.details(session):
            users = [one["server_id"] for one in volume["attachments"]]
            assert owners.get(volume["id"], []) == users, volume
            assert volume["status"] == ("in-use" if users else "available"), volume
        wait_for(lambda: session.audit() == [], 60, every=0.5, said="agreement")


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    with cloud("--simulate", "--no-demo", environment=SHORT) as made:
        yield Victim(made.up())


@pytest.mark.parametrize("number", range(KILLS))
def test_a_kill_while_volumes_come_and_go_leaves_no_doubt(victim: Victim, number: int) -> None:
    chance = random.Random(f"volumes {number}")
    asking = threading.Thread(target=victim.hurry, args=(victim.cloud.session(), chance))
    asking.start()
    time.sleep(chance.uniform(0, LONGEST))
    victim.cloud.kill()
    asking.join(60)

    victim.cloud.up()

    victim.agrees(victim.cloud.session())


def test_why_and_repair_tell_of_a_volume_and_repair_mends_it(victim: Victim) -> None:
    volume, nobody = victim.volumes[0], "99999999-0000-4000-8000-000000000000"
    session = victim.cloud.session()
    status = session.get(f"{victim.path}/{volume}")["volume"]["status"]
    session.ask("POST", f"{victim.path}/{volume}/action", {"os-reset_status": {"status": "extending"}})

    why = victim.cloud.run("why", volume)
    told = victim.cloud.run("repair", volume)
    mended = victim.cloud.run("repair", volume, "--do")
    well = victim.cloud.run("repair", volume)
    unknown = victim.cloud.run("repair", nobody)

    assert "  looked at 1 back end\n" in why.stdout
    assert (1, 0, 0) == (told.returncode, mended.returncode, well.returncode), told.stderr
    assert f"is extending, and no task sees to that\n     repair would say that it is {status}\n" in told.stdout
    assert mended.stdout.endswith(f"     done: say that it is {status}\n")
    assert well.stdout.endswith(": rows, tasks and hosts agree, there is nothing to repair\n")
    said = (
        f"micronova: there is no server, volume, snapshot, attachment, backup, port or network with the id {nobody}\n"
    )
    assert (1, "", said) == (unknown.returncode, unknown.stdout, unknown.stderr)


def test_nothing_is_left_but_the_volumes_that_were_there(victim: Victim) -> None:
    session = victim.cloud.session()
    for server in session.get(SERVERS)["servers"]:
        session.delete_server(server["id"])

    victim.settled()

    assert sorted(victim.volumes) == sorted(one["id"] for one in victim.details(session))
    victim.agrees(session)
