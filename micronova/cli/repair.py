"""`repair`: what is wrong with one resource of the running cloud, what would be done about it, and doing it."""

import asyncio
import sys
from typing import Any
from urllib.parse import quote

import click
import msgspec

from micronova.cli import settings
from micronova.cli.look import connected
from micronova.config import Config
from micronova.errors import Error, NotFound

NOT_FOUND = 404


def repair(id: str, state: str | None, as_json: bool, *, do: bool) -> None:
    """Print what is wrong; exit 1 when something is that was not mended. Raises NotFound, ConfigError."""
    report = asyncio.run(_ask(settings.recorded(state), id, do=do))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        for line in told(report, do=do):
            click.echo(line)
    if not all(one["done"] for one in report["ailments"]):
        sys.exit(1)


async def _ask(loaded: Config, id: str, *, do: bool) -> dict[str, Any]:
    client = await connected(loaded, "repair")
    path = f"/micronova/v1/repair/{quote(id, safe='')}"
    try:
        return dict(await client.post(path, {}) if do else await client.get(path))
    except Error as err:
        if err.facts.get("status") == NOT_FOUND:
            raise NotFound(msgspec.json.decode(err.facts["body"])["error"]["message"]) from err
        raise


def told(report: dict[str, Any], *, do: bool) -> list[str]:
    """The report in lines for a person."""
    ailments = report["ailments"]
    if not ailments:
        return [f"{report['summary']}: rows, tasks and hosts agree, there is nothing to repair"]
    lines = [report["summary"]]
    for number, one in enumerate(ailments, 1):
        finding = one["finding"]
        lines.append(f"  {number}. {finding['kind']} {finding['id']} {finding['what']}")
        lines.append(f"     {_outcome(one, do=do)}")
    if not do and any(one["finding"]["action"] for one in ailments):
        lines.append(f"`micronova repair {report['id']} --do` does it")
    return lines


def _outcome(one: dict[str, Any], *, do: bool) -> str:
    finding = one["finding"]
    if not finding["action"]:
        return f"nothing is done about it; {finding['advice']}"
    if not do:
        return f"repair would {finding['cure']}"
    return f"done: {finding['cure']}" if one["done"] else f"could not {finding['cure']}: {one['error']}"
