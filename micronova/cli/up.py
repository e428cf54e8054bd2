"""`up` and `serve`: from flags to a cloud that answers, and back to silence in order."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from micronova.cli import clouds_yaml, logs, serving, settings
from micronova.cli.folder import StateFolder
from micronova.cli.progress import Progress
from micronova.config import Config
from micronova.context import admin_context
from micronova.errors import ConfigError, Error

READY_FD = "MICRONOVA_READY_FD"
"""Environment variable with the descriptor on which a detached process says that it answers, or why not."""
LOG = "micronova.log"


def up(given: dict[str, Any]) -> None:
    """Start the whole cloud in this process, or with --detach in one that stays behind."""
    ready = Ready()
    loaded = settings.from_flags(given)
    folder = StateFolder(loaded.state)
    folder.make()
    if given["detach"] and not ready.asked:
        detach(folder)
        return
    try:
        folder.acquire()
        logs.set_up(loaded.options.log.level, as_json=loaded.options.log.json, file=folder.path / LOG)
        settings.record(loaded)
        serving.run(_up(loaded, folder, ready, demo=not given["no_demo"]))
    except Error as err:
        ready.failed(str(err))
        raise
    finally:
        folder.release()


def serve(topics: Sequence[str], given: dict[str, Any]) -> None:
    """Serve some topics on this host, on the configured bus and database."""
    ready = Ready()
    loaded = settings.from_flags(given)
    if loaded.options.bus.url == "memory:":
        raise ConfigError("`serve` needs a bus that other processes share: --bus nats://HOST:PORT")
    folder = StateFolder(loaded.state)
    folder.make()
    try:
        folder.acquire()
        logs.set_up(loaded.options.log.level, as_json=loaded.options.log.json)
        settings.record(loaded)
        serving.run(_serve(loaded, folder, tuple(topics), ready))
    except Error as err:
        ready.failed(str(err))
        raise
    finally:
        folder.release()


class Ready:
    """The word to whoever started us that we answer."""

    def __init__(self) -> None:
        fd = os.environ.pop(READY_FD, "")
        self._out = os.fdopen(int(fd), "w") if fd else None

    @property
    def asked(self) -> bool:
        return self._out is not None

    def answers(self, url: str) -> None:
        self._say(f"ok {url}")

    def failed(self, sentence: str) -> None:
        self._say(f"failed {sentence}")

    def _say(self, line: str) -> None:
        if self._out is not None and not self._out.closed:
            self._out.write(line + "\n")
            self._out.close()


def detach(folder: StateFolder) -> None:
    """Start this command again in the background; return when it answers. Raises ConfigError when it can't start."""
    reading, writing = os.pipe()
    with open(folder.path / LOG, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "micronova", *sys.argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(writing,),
            env={**os.environ, READY_FD: str(writing)},
        )
    os.close(writing)
    with os.fdopen(reading) as told:
        word, _, rest = told.readline().strip().partition(" ")
    if word == "ok":
        click.echo(f"micronova answers at {rest} (process {process.pid}); its log is {folder.path / LOG}")
        return
    raise ConfigError(rest or f"the cloud could not start; its log is {folder.path / LOG}")


async def _up(loaded: Config, folder: StateFolder, ready: Ready, *, demo: bool) -> None:
    show = Progress()
    bound = serving.bind(loaded.options.api.listen)
    with show.step("database"):
        from micronova.db import migrate
        from micronova.wiring import CATALOG, Cloud

        migrate.prepare(loaded, upgrade=True)
    cloud = Cloud(loaded)
    ctx = admin_context(cloud.clock)
    try:
        with show.step("services"):
            await cloud.start()
        with show.step("identity"):
            admin, member = folder.password("admin"), folder.password("demo")
            await cloud.identity.bootstrap(ctx, admin, member, CATALOG)
            await cloud.compute.bootstrap(ctx)
        http = serving.Http(cloud.front().app, bound)
        await http.start()
        url = serving.url_of(bound)
        clouds = _clouds(url, admin, member, loaded.options.api.region)
        clouds_yaml.put(folder.path / "clouds.yaml", clouds)
        ready.answers(url)
        show.line(f"micronova answers at {url} ({show.total()})")
        for fact in cloud.compute.banner():
            show.line(fact)
        await _then_wait(cloud, folder, clouds, show, demo=demo)
        show.line("stopping the services")
        await http.stop()
    finally:
        await cloud.stop()
    if not loaded.options.simulate:
        show.line("Guests keep running: `micronova up` finds them again, `micronova down` stops them.")


async def _then_wait(
    cloud: Any, folder: StateFolder, clouds: dict[str, dict[str, Any]], show: Progress, *, demo: bool
) -> None:
    """Show the demo if asked, then wait for the signal to stop; the signal ends the demo too."""
    waiting = asyncio.create_task(serving.until_signal(), name="signal")
    if not demo:
        await waiting
        return
    from micronova.cli import demo as scene

    try:
        clouds_yaml.put(clouds_yaml.user_file(), clouds)
    except ConfigError as err:
        show.line(f"{err}; clients find the cloud with OS_CLIENT_CONFIG_FILE={folder.path / 'clouds.yaml'}")
    showing = asyncio.create_task(scene.run(cloud, folder, clouds["micronova"], show), name="demo")
    await asyncio.wait([waiting, showing], return_when=asyncio.FIRST_COMPLETED)
    if showing.done():
        if showing.exception() is not None:
            show.line(f"the demo ended early: {showing.exception()}")
        show.line("Ctrl-C stops the services; guests keep running.")
        await waiting
    else:
        showing.cancel()
        await asyncio.wait([showing])


async def _serve(loaded: Config, folder: StateFolder, topics: tuple[str, ...], ready: Ready) -> None:
    from micronova.db import migrate
    from micronova.wiring import API_TOPICS, CATALOG, TOPICS, Cloud

    unknown = [topic for topic in topics if topic not in ("api", *TOPICS, *loaded.options.managers)]
    if unknown:
        raise ConfigError(f"there is no topic {unknown[0]!r}; there are: api, {', '.join(TOPICS)}")
    api = "api" in topics
    bound = serving.bind(loaded.options.api.listen) if api else None
    migrate.prepare(loaded, upgrade=api)
    cloud = Cloud(loaded)
    ctx = admin_context(cloud.clock)
    served = dict.fromkeys([*(API_TOPICS if api else ()), *(topic for topic in topics if topic != "api")])
    try:
        await cloud.start(tuple(served))
        http = None
        if bound is not None:
            admin, member = folder.password("admin"), folder.password("demo")
            await cloud.identity.bootstrap(ctx, admin, member, CATALOG)
            await cloud.compute.bootstrap(ctx)
            http = serving.Http(cloud.front().app, bound)
            await http.start()
            url = serving.url_of(bound)
            clouds_yaml.put(folder.path / "clouds.yaml", _clouds(url, admin, member, loaded.options.api.region))
        ready.answers(serving.url_of(bound) if bound is not None else cloud.runtime.config.host)
        await serving.until_signal()
        if http is not None:
            await http.stop()
    finally:
        await cloud.stop()


def _clouds(url: str, admin: str, member: str, region: str) -> dict[str, dict[str, Any]]:
    auth_url = f"{url}/identity/v3"
    return {
        "micronova": clouds_yaml.entry(auth_url, "admin", admin, "admin", region),
        "micronova-demo": clouds_yaml.entry(auth_url, "demo", member, "demo", region),
    }


def user_clouds_of(folder: Path) -> dict[str, str]:
    """The clouds that were written for users, with their passwords."""
    return {name: cloud["auth"]["password"] for name, cloud in clouds_yaml.read(folder / "clouds.yaml").items()}
