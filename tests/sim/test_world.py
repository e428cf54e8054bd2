"""Simulated clouds: what survives a killed process, how it dies, what a user is told."""

import asyncio

import pytest

from micronova.compute.create import NewServer
from micronova.compute.db import Server
from micronova.errors import DriverError
from micronova.image.db import Image
from micronova.sim import snapshot
from micronova.sim.asking import ADMIN, member
from micronova.sim.faults import Dice, cut_off, rejoin
from micronova.sim.gates import NO_TROUBLE, Trouble
from micronova.sim.invariants import ALWAYS, HEALED, broken
from micronova.sim.loop import VirtualLoop, run
from micronova.sim.workload import Users, upload
from micronova.sim.world import Ground, World
from micronova.tasks import Task

GROUND = Ground()
ANN = member("p1")


class Town:
    """A world with its users' first things, and one server."""

    def __init__(self, loop):
        self.notes = []
        self.world = World(1, loop, GROUND, self.notes.append)
        self.users = Users(self.world, Dice(self.world.clock))

    async def open(self):
        await self.world.open()
        await self.users.open()
        return self

    async def ask(self, what, ask):
        await asyncio.wait([self.world.request(what, ask)])

    async def boot(self):
        asked = NewServer(name="s", flavor_ref="tiny", image_ref=self.users._image_id)
        await self.ask("create", lambda api: api.compute.create(ANN, asked))
        await asyncio.sleep(5)
        return await self.server()

    async def server(self):
        return await self.world.read(lambda tx: tx.first(Server))

    async def broken(self, invariants=(*ALWAYS, *HEALED)):
        return broken(invariants, await snapshot.take(self.world, wanted=True))


def simulated(test):
    """Run an async test in virtual time, with a town."""

    def wrapper():
        loop = VirtualLoop()

        async def main():
            town = await Town(loop).open()
            await test(town)
            assert [] == town.world.bugs
            await town.world.close()

        run(main(), loop)

    wrapper.__name__, wrapper.__doc__ = test.__name__, test.__doc__
    return wrapper


@simulated
async def test_a_server_is_built_and_nothing_is_wrong(town):
    server = await town.boot()

    assert "active" == server.vm_state
    assert [] == await town.broken()


@simulated
async def test_guests_and_ports_outlive_the_process_of_their_host(town):
    server = await town.boot()
    machine = town.world.machines[server.host]

    await machine.kill()
    guests, ports = await machine.compute.list(), list(machine.network.ports)
    machine.start()
    await asyncio.sleep(30)

    assert (1, 1) == (len(guests), len(ports))
    assert [] == await town.broken()


@simulated
async def test_a_power_cut_takes_guests_and_networks_and_the_next_start_brings_them_back(town):
    server = await town.boot()
    machine = town.world.machines[server.host]

    await machine.reboot()
    after = [guest.power for guest in await machine.compute.list()], dict(machine.network.networks)
    machine.start()
    await asyncio.sleep(30)

    assert (["shutdown"], {}) == after
    assert "active" == (await town.server()).vm_state
    assert [] == await town.broken()


@simulated
async def test_a_process_can_die_between_any_two_things_it_does_and_the_next_goes_on(town):
    for machine in town.world.hosts:
        machine.process.life.fuse = 20

    server = await town.boot()
    dead = [machine for machine in town.world.hosts if not machine.up]
    for machine in dead:
        machine.start()
    await asyncio.sleep(60)

    assert server.host in [machine.name for machine in dead]
    assert "active" == (await town.server()).vm_state
    assert [] == await town.broken()


@simulated
async def test_what_a_dead_process_still_tries_has_no_effect(town):
    process = town.world.api.process

    process.life.end()
    with pytest.raises(asyncio.CancelledError):
        await process.db.write(lambda tx: None, ADMIN, why="from beyond")
    with pytest.raises(asyncio.CancelledError):
        await process.bus.cast("compute", b"")

    assert not town.world.api.up


@simulated
async def test_a_user_loses_the_connection_when_the_api_dies(town):
    town.world.api.process.life.fuse = 2

    await town.ask("create", lambda api: api.compute.get(ANN, "x"))
    await town.ask("create", lambda api: api.compute.get(ANN, "x")) if town.world.api.up else None

    assert town.world.request("late", lambda api: api.compute.get(ANN, "x")) is None
    assert "late: nobody answers" in town.notes[-1]


@simulated
async def test_a_host_that_is_cut_off_still_finds_its_work_and_is_heard_again(town):
    server = await town.boot()
    machine = town.world.machines[server.host]

    cut_off(machine)
    await town.ask("stop", lambda api: api.compute.stop(ANN, server.id))
    await town.ask("console", lambda api: api.compute.console(ANN, server.id))
    silence = town.notes[-1]
    await asyncio.sleep(10)
    stopped = await town.server()
    rejoin(machine)
    await asyncio.sleep(1)
    heard = []
    await town.ask("console", lambda api: _keep(heard, api.compute.console(ANN, server.id)))

    assert "HostUnreachable" in silence
    assert "stopped" == stopped.vm_state
    assert b"login:" in heard[0]


@simulated
async def test_an_error_after_the_effect_is_survived(town):
    calls = []
    for machine in town.world.hosts:
        machine.weather.trouble = lambda operation: _once(calls, operation, DriverError("too late"))

    await town.boot()

    assert "active" == (await town.server()).vm_state
    assert 2 == (await town.world.read(lambda tx: tx.first(Task, method="build"))).attempts
    assert [] == await town.broken()


@simulated
async def test_an_upload_whose_last_word_was_lost_keeps_its_bytes(town):
    town.world.api.weather.trouble = lambda operation: _lose_after(town.world.api, operation)

    await town.ask("upload", lambda api: _upload(api))
    await asyncio.sleep(700)

    image = await town.world.read(lambda tx: tx.first(Image, name="mine"))
    assert "active" == image.status
    assert image.location in town.world.api.store.committed


@simulated
async def test_an_upload_that_ended_while_the_database_was_away_is_settled_soon(town):
    machine = town.world.api
    machine.weather.trouble = lambda operation: _break_database(machine, operation)

    await town.ask("upload", lambda api: _upload(api))
    stuck = (await town.world.read(lambda tx: tx.first(Image, name="mine"))).status
    machine.weather.trouble = lambda operation: NO_TROUBLE
    machine.weather.db_down = False
    await asyncio.sleep(700)

    assert "saving" == stuck
    assert "queued" == (await town.world.read(lambda tx: tx.first(Image, name="mine"))).status
    assert [] == await town.broken()


async def _keep(found, answer):
    found.append(await answer)


def _once(calls, operation, error):
    if operation == "ensure" and not calls:
        calls.append(operation)
        return Trouble(late_error=error)
    return NO_TROUBLE


def _lose_after(machine, operation):
    if operation == "commit":
        machine.weather.lose_commits = 1
    return NO_TROUBLE


def _break_database(machine, operation):
    if operation == "commit":
        machine.weather.db_down = True
    return NO_TROUBLE


async def _upload(api):
    return await upload(api, ANN, "mine", "private")
