"""The configuration of Open vSwitch: one transaction, one `ovs-vsctl`, which waits until the switch has followed.

Every port of ours tells in its database row which cloud it is of; rows of others are left alone.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from micronova.command import run
from micronova.errors import DriverError
from micronova.network.drivers.ovs.instance import Switch

WAIT = 20.0
OWNER = "micronova-cloud"
FORMATS = ("--format", "--bare")  # options of the program, not of its commands
MANY = 200  # ports in one command: all of their words must fit into one command line


class Plug(msgspec.Struct, frozen=True, kw_only=True):
    """A bridge's port: the interface `name`, which flows know as `number`; None for a bridge that isn't ours.

    `options` are a tunnel's or a patch's; `bridge` is another one that it is on. With a queue of its `own` the switch
    leaves the interface's queue alone.
    """

    name: str
    number: int | None
    own: bool = False
    bridge: str = ""
    kind: str = ""
    options: tuple[tuple[str, str], ...] = ()


class Plugged(msgspec.Struct, frozen=True, kw_only=True):
    """A port of this cloud as the switch has it; `number` is None when it could not make it, and `error` says why."""

    name: str
    number: int | None
    wanted: int | None
    error: str
    options: dict[str, str]


class Database:
    """The rows of one cloud, called `cloud` in them."""

    def __init__(self, cloud: str) -> None:
        self._cloud = cloud

    async def ensure_bridge(self, switch: Switch, name: str) -> None:
        """The bridge is there, and passes nothing but what flows let pass."""
        await self._do(
            switch,
            ["--may-exist", "add-br", name],
            ["set", "Bridge", name, f"datapath_type={switch.datapath}", "fail_mode=secure"],
            ["set", "Bridge", name, "protocols=OpenFlow10,OpenFlow13,OpenFlow15", "mcast_snooping_enable=false"],
            ["set", "Bridge", name, "other_config:disable-in-band=true", f"external_ids:{OWNER}={self._cloud}"],
        )

    async def carries_tcp(self, switch: Switch) -> bool:
        """Whether unfinished checksums, which guests leave to their host, get finished on the way."""
        told = await self._do(switch, ["get", "Open_vSwitch", ".", "other_config"])
        return switch.datapath != "netdev" or b'userspace-tso-enable="true"' in told

    async def remove_bridge(self, switch: Switch, name: str) -> None:
        """The bridge is gone, with all its ports."""
        await self._do(switch, ["--if-exists", "del-br", name])
        queues = await self._queues(switch)
        if queues:
            await self._do(switch, ["destroy", "QoS", *queues])

    async def bridges(self, switch: Switch) -> set[str]:
        """The bridges of Open vSwitch, whoever made them."""
        return set((await self._do(switch, ["list-br"])).decode().split())

    async def ensure(self, switch: Switch, bridge: str, plugs: Iterable[Plug]) -> None:
        """The bridge has these ports, and others those that are on them, under their numbers; all in one step.

        Raises DriverError when the switch can't make one of them.
        """
        have = await self.plugged(switch)
        missing = [plug for plug in plugs if not _is_so(plug, have.get(plug.name))]
        if not missing:
            return
        for start in range(0, len(missing), MANY):
            some = missing[start : start + MANY]
            queue = await self._queue(switch) if any(plug.own for plug in some) else ""
            await self._do(switch, *(words for plug in some for words in self._add(plug.bridge or bridge, plug, queue)))
        have = await self.plugged(switch)
        for plug in missing:
            self._check(plug, have.get(plug.name))

    async def remove(self, switch: Switch, names: Iterable[str]) -> None:
        """Of this cloud's ports, none of these names is left, on whatever bridge."""
        wanted = set(names)
        commands = [["--if-exists", "del-port", name] for name in await self.plugged(switch) if name in wanted]
        if commands:
            await self._do(switch, *commands)

    async def plugged(self, switch: Switch) -> dict[str, Plugged]:
        """This cloud's ports by name, on whatever bridge."""
        columns = "--columns=name,ofport,ofport_request,error,options"
        told = await self._do(
            switch, ["--format=json", columns, "find", "Interface", f"external_ids:{OWNER}={self._cloud}"]
        )
        try:
            rows = msgspec.json.decode(told)["data"]
        except (msgspec.DecodeError, KeyError, TypeError) as err:
            raise DriverError("ovs-vsctl told something that is no table", command="ovs-vsctl") from err
        return {plugged.name: plugged for plugged in map(_plugged, rows)}

    async def _queue(self, switch: Switch) -> str:
        """The row that tells the switch to leave a queue alone."""
        found = await self._queues(switch)
        if not found:
            await self._do(switch, ["create", "QoS", "type=linux-noop", f"external_ids:{OWNER}={self._cloud}"])
            found = await self._queues(switch)
        return found[0]

    async def _queues(self, switch: Switch) -> list[str]:
        ours = f"external_ids:{OWNER}={self._cloud}"
        return (await self._do(switch, ["--bare", "--columns=_uuid", "find", "QoS", ours])).decode().split()

    def _add(self, bridge: str, plug: Plug, queue: str) -> list[list[str]]:
        row = [f"external_ids:{OWNER}={self._cloud}"]
        row += [f"ofport_request={plug.number}"] if plug.number is not None else []
        row += [f"type={plug.kind}"] if plug.kind else []
        row += [f'options:{name}="{value}"' for name, value in plug.options]
        again = ["--if-exists", "del-port", bridge, plug.name]  # one that failed is tried again only when it is new
        left = [["set", "Port", plug.name, f"qos={queue}"]] if plug.own else []
        return [again, ["add-port", bridge, plug.name], ["set", "Interface", plug.name, *row], *left]

    def _check(self, plug: Plug, have: Plugged | None) -> None:
        if have is None or not _is_so(plug, have):
            reason = (have.error if have else "") or f"it became port {have.number if have else None}"
            raise DriverError(f"Open vSwitch can't attach {plug.name} as port {plug.number}: {reason}")

    async def _do(self, switch: Switch, *commands: list[str]) -> bytes:
        """One transaction."""
        argv = ["ovs-vsctl", f"--db={switch.database}", f"--timeout={WAIT:.0f}", "--no-syslog"]
        first, *rest = commands
        argv += [word for word in first if word.startswith(FORMATS)]
        argv += ["--", *(word for word in first if not word.startswith(FORMATS))]
        for command in rest:
            argv += ["--", *command]
        return await run(argv, wait=WAIT + 1)


def _is_so(plug: Plug, have: Plugged | None) -> bool:
    return (
        have is not None
        and (plug.number is None or have.number == plug.number)
        and have.wanted == plug.number
        and not have.error
        and have.options == dict(plug.options)
    )


def _plugged(row: list[Any]) -> Plugged:
    name, number, wanted, error, options = row
    told = number if isinstance(number, int) and number > 0 else None
    return Plugged(
        name=name,
        number=told,
        wanted=wanted if isinstance(wanted, int) else None,
        error=error if isinstance(error, str) else "",
        options=dict(options[1]) if isinstance(options, list) else {},
    )
