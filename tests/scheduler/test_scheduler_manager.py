"""Hosts, claims and the record of decisions."""

from datetime import timedelta

import pytest

from micronova import heartbeat
from micronova.clock import SystemClock
from micronova.context import Context, admin_context
from micronova.db import Tx
from micronova.errors import BadRequest, NotFound
from micronova.scheduler.db import ROWS, Aggregate, Allocation, Decision
from micronova.scheduler.driver import Request
from micronova.scheduler.manager import HostReport, SchedulerManager
from micronova.testing.ground import ground

CTX = admin_context(SystemClock())


def a_host(name: str, ram_mib: int = 4096) -> HostReport:
    return HostReport(host=name, hypervisor_type="fake", hypervisor_version=1, vcpus=4, ram_mib=ram_mib, disk_gib=100)


async def cloud(*hosts: HostReport) -> SchedulerManager:
    scheduler = SchedulerManager(ground(*ROWS))
    for said in hosts:
        await scheduler.report(CTX, said)
        await serve(scheduler, said.host)
    return scheduler


async def serve(scheduler: SchedulerManager, host: str, *, stopped: bool = False) -> None:
    said = heartbeat.Announcement("compute", host, "nova-compute", "nova", "1")
    await scheduler.db.write(
        lambda tx: heartbeat.report(tx, scheduler.clock, said, stopped=stopped), CTX, why="sign of life"
    )


def wanted(consumer_id: str, ram_mib: int = 1024, **more: object) -> Request:
    return Request(consumer_id=consumer_id, project_id="p1", vcpus=1, ram_mib=ram_mib, disk_gib=1, **more)  # type: ignore[arg-type]


async def claim(scheduler: SchedulerManager, request: Request) -> Decision:
    return await scheduler.db.write(lambda tx: scheduler.claim(tx, CTX, request), CTX, why="test")


async def test_a_claim_is_held_until_it_is_released() -> None:
    scheduler = await cloud(a_host("h1"))

    decision = await claim(scheduler, wanted("s1"))

    assert decision.host == "h1"
    assert [view.ram_used_mib for view in await scheduler.hosts(CTX)] == [1024]
    await scheduler.db.write(lambda tx: scheduler.release(tx, "s1"), CTX, why="test")
    await scheduler.db.write(lambda tx: scheduler.release(tx, "s1"), CTX, why="test")
    assert [view.ram_used_mib for view in await scheduler.hosts(CTX)] == [0]


async def test_claims_fill_hosts_and_never_more() -> None:
    scheduler = await cloud(a_host("h1"), a_host("h2"))

    decisions = [await claim(scheduler, wanted(f"s{n}")) for n in range(9)]

    assert sorted(decision.host for decision in decisions) == ["", *["h1"] * 4, *["h2"] * 4]
    assert [view.ram_used_mib for view in await scheduler.hosts(CTX)] == [4096, 4096]


async def test_no_host_holds_nothing_and_is_recorded_with_numbers() -> None:
    scheduler = await cloud(a_host("h1", 3000))

    decision = await claim(scheduler, wanted("s1", 999_999))

    assert decision.host == ""
    assert "the closest, h1, is 996999 MiB short" in decision.message
    assert await scheduler.db.read(lambda tx: tx.count(Allocation)) == 0
    assert "needs 999999 MiB, host h1 has 3000 MiB free, 996999 MiB short" in await scheduler.explain(CTX, "s1")


async def test_a_host_whose_service_stopped_takes_nothing() -> None:
    scheduler = await cloud(a_host("h1"))
    await serve(scheduler, "h1", stopped=True)

    decision = await claim(scheduler, wanted("s1"))

    assert decision.message == "No valid host was found: 1 host, 1 is down."


async def test_a_disabled_host_takes_nothing() -> None:
    scheduler = await cloud(a_host("h1"))

    def disable(tx: Tx) -> None:
        heartbeat.set_disabled(tx, heartbeat.services(tx)[0].id, True, "maintenance")

    await scheduler.db.write(disable, CTX, why="test")

    assert (await claim(scheduler, wanted("s1"))).message == "No valid host was found: 1 host, 1 is disabled."


async def test_an_aggregate_with_a_zone_moves_its_hosts_there() -> None:
    scheduler = await cloud(a_host("h1"), a_host("h2"))

    def group(tx: Tx) -> None:
        tx.insert(Aggregate(uuid="a", name="a", zone="east", hosts=("h2",), created_at=tx.now))

    await scheduler.db.write(group, CTX, why="test")

    assert (await claim(scheduler, wanted("s1", zone="east"))).host == "h2"
    assert (await claim(scheduler, wanted("s2", zone="nova"))).host == "h1"
    assert (await claim(scheduler, wanted("s3", zone="west"))).host == ""


async def test_claiming_again_replaces_what_was_held_and_counts_it_as_free() -> None:
    scheduler = await cloud(a_host("h1"))
    await claim(scheduler, wanted("s1", 3000))

    again = await claim(scheduler, wanted("s1", 4000))

    assert again.host == "h1"
    assert [view.ram_used_mib for view in await scheduler.hosts(CTX)] == [4000]


async def test_a_change_is_counted() -> None:
    scheduler = await cloud(a_host("h1"))
    await claim(scheduler, wanted("s1"))

    await scheduler.db.write(
        lambda tx: scheduler.change(tx, "s1", vcpus=2, ram_mib=2048, disk_gib=3), CTX, why="resized"
    )

    view = (await scheduler.hosts(CTX))[0]
    assert (view.vcpus_used, view.ram_used_mib, view.disk_used_gib, view.servers) == (2, 2048, 3, 1)


async def test_reserved_memory_is_not_given_away() -> None:
    scheduler = SchedulerManager(ground(*ROWS))
    await scheduler.report(CTX, HostReport(**{**as_dict(a_host("h1")), "reserved_ram_mib": 4000}))
    await serve(scheduler, "h1")

    assert "is 928 MiB short" in (await claim(scheduler, wanted("s1"))).message


def as_dict(said: HostReport) -> dict[str, object]:
    return {name: getattr(said, name) for name in said.__struct_fields__}


async def test_a_host_that_reports_again_keeps_its_id() -> None:
    scheduler = SchedulerManager(ground(*ROWS))

    first = await scheduler.report(CTX, a_host("h1"))
    same = await scheduler.report(CTX, a_host("h1"))
    grown = await scheduler.report(CTX, a_host("h1", 8192))

    assert first == same
    assert (grown.id, grown.ram_mib) == (first.id, 8192)


async def test_a_host_that_holds_servers_is_not_forgotten() -> None:
    scheduler = await cloud(a_host("h1"))
    await claim(scheduler, wanted("s1"))

    with pytest.raises(BadRequest):
        await scheduler.forget_host(CTX, "h1")


async def test_another_project_is_not_told_why() -> None:
    scheduler = await cloud(a_host("h1"))
    await claim(scheduler, wanted("s1"))

    with pytest.raises(NotFound):
        await scheduler.explain(Context(request_id="r", project_id="p2"), "s1")


async def test_old_decisions_are_forgotten_but_not_those_about_living_servers() -> None:
    scheduler = await cloud(a_host("h1"))
    await claim(scheduler, wanted("s1"))
    await claim(scheduler, wanted("gone", 999_999))
    await claim(scheduler, wanted("fresh", 999_999))

    def age(tx: Tx) -> None:
        for consumer in ("s1", "gone"):
            row = tx.find(Decision, consumer_id=consumer)[0]
            tx.change(row, created_at=tx.now - timedelta(days=1000))

    await scheduler.db.write(age, CTX, why="test")
    await scheduler.forget_decisions(CTX)

    left = await scheduler.db.read(lambda tx: tx.find(Decision, order=(("serial", True),)))
    assert [row.consumer_id for row in left] == ["s1", "fresh"]
