"""`micronova status` and `micronova log` on the rows of a cloud that does not run."""

import asyncio

import pytest

from micronova import heartbeat
from micronova.cli import look, settings
from micronova.context import admin_context
from micronova.db import Tx, migrate
from micronova.errors import NotFound
from micronova.heartbeat import Announcement
from micronova.volume.db import Volume
from micronova.wiring import Cloud

HERE = ("network_flat_dhcp", "volume")


@pytest.fixture
def state(tmp_path):
    """A state folder with a volume `data`, one that is gone, and services that did not say good-bye."""
    loaded = settings.from_flags({"state": str(tmp_path), "simulate": True})
    settings.record(loaded)
    migrate.upgrade(loaded)
    cloud = Cloud(loaded)

    def fill(tx: Tx) -> None:
        for id, name in (("v1", "data"), ("v2", "gone")):
            made = Volume(id=id, name=name, project_id="p", user_id="u", size_gib=1, status="error", created_at=tx.now)
            tx.insert(made)
        for topic in HERE:
            heartbeat.report(tx, cloud.clock, Announcement(topic, "h1", "x", "nova", "1"))

    def remove(tx: Tx) -> None:
        tx.delete(tx.get(Volume, "v2"))

    for change in (fill, remove):
        asyncio.run(cloud.db.write(change, admin_context(cloud.clock), why="made by a test"))
    return str(tmp_path)


def test_status_counts_volumes_and_calls_no_service_of_a_dead_process_up(state, capsys):
    look.status(state, as_json=False)

    told = capsys.readouterr().out.splitlines()
    assert [f"the cloud in {state} does not run", "servers: none", "volumes: 1 error", "open tasks: 0"] == told[:4]
    assert ["  network_flat_dhcp  h1  down  ", "  volume             h1  down  "] == [line[:31] for line in told[4:]]


@pytest.mark.parametrize("name", ["data", "gone"])
def test_a_volume_s_changes_are_found_by_its_name_too(state, capsys, name):
    look.log(name, state, as_json=False)

    assert "Z volumes insert: made by a test (" in capsys.readouterr().out


def test_a_log_of_nothing_says_what_was_looked_for(state):
    with pytest.raises(NotFound, match="nothing with the id nope, and no server, volume or network called so"):
        look.log("nope", state, as_json=False)
