"""The keys of tokens: rows that every process shares, rotated."""

import pytest
from identity_world import Cloud

from micronova.clock import SystemClock
from micronova.db.journal import Entry
from micronova.errors import Unavailable
from micronova.identity.keys import KEEP, Keys, TokenKey

CLOCK = SystemClock()


async def test_what_one_process_sealed_opens_in_another(cloud: Cloud) -> None:
    context = await cloud.another().authenticate(cloud.token)

    assert "admin" == context.user_name


async def test_a_rotation_reaches_every_process_at_once(cloud: Cloud) -> None:
    there = cloud.another()
    await there.authenticate(cloud.token)

    await cloud.manager.rotate_keys(cloud.ctx)
    fresh = (await cloud.login("admin", "secret")).headers["x-subject-token"]

    assert "admin" == (await there.authenticate(fresh)).user_name


async def test_older_keys_open_for_a_while_and_are_then_removed(cloud: Cloud) -> None:
    for _ in range(KEEP - 1):
        await cloud.manager.rotate_keys(cloud.ctx)
    held = (await cloud.another().authenticate(cloud.token)).user_name
    await cloud.manager.rotate_keys(cloud.ctx)

    assert "admin" == held
    assert 401 == (await cloud.get("/identity/v3/projects", token=cloud.token[:-1] + "A")).status
    assert KEEP == await cloud.runtime.db.read(lambda tx: tx.count(TokenKey))


async def test_keys_never_reach_the_journal(cloud: Cloud) -> None:
    entries = await cloud.runtime.db.read(lambda tx: tx.find(Entry, table_name=TokenKey.TABLE))

    assert entries
    assert {"***"} == {entry.after["secret"] for entry in entries}


def test_without_keys_nothing_is_sealed_or_opened() -> None:
    keys = Keys(CLOCK)

    assert keys.open("gAAAA") is None
    with pytest.raises(Unavailable):
        keys.seal(b"words")
