"""`down`: stop the services, then the guests; with --erase nothing of the cloud is left on this host."""

import asyncio
import os
import signal

import click

from micronova.cli import clouds_yaml, settings
from micronova.cli.folder import StateFolder
from micronova.cli.up import user_clouds_of
from micronova.config import Config
from micronova.errors import ConfigError, Error

STOP_WAIT = 60.0
GUEST_WAIT = 5.0


def down(state: str | None, *, erase: bool) -> None:
    """Stop what runs on the state folder. Raises ConfigError when there is no cloud in it, or it does not stop."""
    folder = StateFolder(settings.state_of(state))
    if erase and not (folder.path / settings.RECORD).exists():
        click.echo(f"there is no cloud in {folder.path}")
        return
    loaded = settings.recorded(state)
    asyncio.run(_down(loaded, folder, erase=erase))


async def _down(loaded: Config, folder: StateFolder, *, erase: bool) -> None:
    await _stop_process(folder)
    folder.acquire()
    try:
        await _stop_guests(loaded, erase=erase)
        if erase:
            try:
                clouds_yaml.remove(clouds_yaml.user_file(), user_clouds_of(folder.path))
            except ConfigError as err:
                click.echo(str(err), err=True)
            folder.erase()
    finally:
        folder.release()
    click.echo(f"erased {folder.path}" if erase else f"stopped; `micronova up --state {folder.path}` starts it again")


async def _stop_process(folder: StateFolder) -> None:
    pid = folder.pid()
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    for _ in range(int(STOP_WAIT / 0.05)):
        if folder.pid() is None:
            click.echo(f"stopped the services (process {pid})")
            return
        await asyncio.sleep(0.05)
    raise ConfigError(f"process {pid} did not stop in {STOP_WAIT:g} s")


async def _stop_guests(loaded: Config, *, erase: bool) -> None:
    """Stop this host's guests; with `erase` remove them and everything the drivers made."""
    from micronova.clock import SystemClock
    from micronova.plugins import Plugins
    from micronova.wiring import make_driver, make_volume_drivers

    installed, clock = Plugins(), SystemClock()
    compute = make_driver(loaded, "compute", clock, installed)
    network = make_driver(loaded, "network", clock, installed)
    try:
        await compute.init_host()
    except Error as err:
        click.echo(f"guests can't be looked after: {err}", err=True)
    guests = await compute.list()
    stop = compute.remove if erase else lambda id: compute.stop(id, wait=GUEST_WAIT)
    await asyncio.gather(*(stop(guest.id) for guest in guests))
    if guests:
        click.echo(f"{'removed' if erase else 'stopped'} {len(guests)} guests")
    if erase:
        await network.erase()
        for backend in make_volume_drivers(loaded, clock, installed).values():
            await backend.erase()
            await backend.close()
    await compute.close()
    await network.close()
