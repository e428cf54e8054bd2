"""The command `micronova`: its words, and which module carries each out; that is imported when the word is used."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from micronova import __version__
from micronova.errors import Error

STATE = "state"


def state_option(fn: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--state", "state", metavar="DIR", help="Folder of everything this cloud keeps on this host.")(
        fn
    )


def json_option(fn: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(fn)


def config_option(fn: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--config", "file", type=click.Path(path_type=Path), metavar="FILE", help="TOML file.")(fn)


def wires(fn: Callable[..., Any]) -> Callable[..., Any]:
    fn = click.option("--bus", metavar="URL", help="memory: or nats://HOST:PORT")(fn)
    return click.option("--db", metavar="URL", help="sqlite:///PATH or postgresql://…")(fn)


@click.group()
@click.version_option(__version__)
def command() -> None:
    """A small cloud that speaks the OpenStack API."""


@command.command()
@state_option
@config_option
@wires
@click.option("--listen", metavar="HOST:PORT", help="Where the API listens; port 0 picks a free one.")
@click.option("--simulate", is_flag=True, help="Fake drivers: no root, no guests, the whole API.")
@click.option("--detach", is_flag=True, help="Return when the cloud answers; it goes on in the background.")
@click.option("--no-demo", is_flag=True, help="Don't make the demo's image, network and server.")
def up(**given: Any) -> None:
    """Start the cloud: all services in one process."""
    from micronova.cli.up import up as run

    run(given)


@command.command()
@state_option
@click.option("--erase", is_flag=True, help="Leave no process, namespace, bridge, nft table or file.")
def down(state: str | None, erase: bool) -> None:
    """Stop the services and the guests."""
    from micronova.cli.down import down as run

    run(state, erase=erase)


@command.command()
@click.argument("topics", nargs=-1, required=True)
@state_option
@config_option
@wires
@click.option("--listen", metavar="HOST:PORT", help="Where the API listens, for `serve api`.")
def serve(topics: tuple[str, ...], **given: Any) -> None:
    """Serve some topics on this host: api, network, compute, image …, for clouds of many hosts."""
    from micronova.cli.up import serve as run

    run(topics, given)


@command.command()
@state_option
@json_option
def status(state: str | None, as_json: bool) -> None:
    """What runs, what it holds, and what waits."""
    from micronova.cli.look import status as run

    run(state, as_json)


@command.command()
@click.argument("resource")
@state_option
@json_option
def why(resource: str, state: str | None, as_json: bool) -> None:
    """Why RESOURCE, a server or a volume (name or id), is where it is, or is not."""
    from micronova.cli.look import why as run

    run(resource, state, as_json)


@command.group()
def net() -> None:
    """The network."""


@net.command("trace")
@click.argument("port")
@click.argument("ip")
@click.option("--protocol", type=click.Choice(["icmp", "tcp", "udp"]), default="icmp", show_default=True)
@click.option("--port", "number", type=int, help="Destination port of tcp or udp.")
@click.option("--from", "source", metavar="ADDRESS", help="Source address, if not the port's own.")
@state_option
@json_option
def net_trace(port: str, ip: str, state: str | None, as_json: bool, **given: Any) -> None:
    """Whether a packet from PORT (id, name, or a server with one port) to IP would pass, and why not.

    The exit code is 1 when it would be dropped.
    """
    from micronova.cli.look import Packet
    from micronova.cli.look import net_trace as run

    run(Packet(port, ip, given["protocol"], given["number"], given["source"]), state, as_json)


@command.group()
def task() -> None:
    """The cloud's work: what has been asked, what is being done."""


@task.command("list")
@state_option
@json_option
@click.option("--all", "everything", is_flag=True, help="All that are finished, not only the latest.")
def task_list(state: str | None, as_json: bool, everything: bool) -> None:
    """Tasks that are not finished, and the latest that are."""
    from micronova.cli.look import task_list as run

    run(state, as_json, everything=everything)


@task.command("show")
@click.argument("id")
@state_option
@json_option
def task_show(id: str, state: str | None, as_json: bool) -> None:
    """One task, step by step."""
    from micronova.cli.look import task_show as run

    run(id, state, as_json)


@command.command()
@click.argument("resource")
@state_option
@json_option
def log(resource: str, state: str | None, as_json: bool) -> None:
    """Every change of RESOURCE (an id, or a server's, volume's or network's name): when, who, why."""
    from micronova.cli.look import log as run

    run(resource, state, as_json)


@command.group()
def config() -> None:
    """The configuration."""


@config.command("show")
@state_option
@config_option
@json_option
def config_show(state: str | None, file: Path | None, as_json: bool) -> None:
    """Each option, its value and where it came from."""
    from micronova.cli.look import config_show as run

    run(state, file, as_json)


@command.group()
def db() -> None:
    """The database."""


@db.command("upgrade")
@state_option
@config_option
@click.option("--db", metavar="URL", help="sqlite:///PATH or postgresql://…")
@json_option
def db_upgrade(state: str | None, file: Path | None, db: str | None, as_json: bool) -> None:
    """Bring the database to this version."""
    from micronova.cli.look import db_upgrade as run

    run(state, file, db, as_json)


@command.command()
@state_option
@json_option
def audit(state: str | None, as_json: bool) -> None:
    """Compare what the rows say with what the hosts have; exit 1 when they differ."""
    from micronova.cli.look import audit as run

    run(state, as_json)


@command.command()
@click.argument("id")
@click.option("--do", is_flag=True, help="Do it too.")
@state_option
@json_option
def repair(id: str, do: bool, state: str | None, as_json: bool) -> None:
    """What is wrong with a server, volume, snapshot, attachment, backup, port or network, and what would be done.

    The exit code is 1 when something is wrong and was not mended.
    """
    from micronova.cli.repair import repair as run

    run(id, state, as_json, do=do)


def main() -> None:
    """Run the command; what went wrong is one sentence on standard error and exit code 1."""
    try:
        command(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as err:
        err.show()
        sys.exit(err.exit_code)
    except Error as err:
        click.echo(f"micronova: {err}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
