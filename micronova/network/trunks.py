"""Trunks: which port carries which others under which tags, and when that may change."""

from collections.abc import Sequence

from micronova.context import Context
from micronova.db import Tx
from micronova.network import db, resources, subports
from micronova.network.attributes import Values
from micronova.network.collection import Collection, Found
from micronova.network.db import Network, Port, SubPort, Trunk
from micronova.network.ports import Ports
from micronova.network.refusals import invalid, missing, refusal
from micronova.network.resources.trunks import Carried
from micronova.network.room import Room


class Trunks(Collection[Trunk]):
    """All trunks."""

    resource = resources.TRUNK
    row = Trunk

    def __init__(self, room: Room, ports: Ports) -> None:
        super().__init__(room)
        self._ports = ports

    def found(self, tx: Tx, rows: Sequence[Trunk]) -> Found[Trunk]:
        """The trunks with what they carry."""
        carried = db.sub_ports_of(tx, (row.id for row in rows))
        return Found(list(rows), {row.id: list(carried.get(row.id, ())) for row in rows})

    def insert(self, tx: Tx, ctx: Context, values: Values) -> Trunk:
        """The port carries others from now on. Raises NotFound, BadRequest, InUse for ports in use."""
        wanted: Sequence[Carried] = values.pop("sub_ports")
        parent = self._own_port(tx, ctx, values["port_id"])
        _check_unused(tx, parent.id)
        trunk = tx.insert(Trunk(**self.standard(tx, values)))
        self._carry(tx, ctx, trunk, parent, wanted)
        self._tell(tx, ctx, parent)
        return trunk

    def erase(self, tx: Tx, ctx: Context, row: Trunk) -> None:
        """What it carried is free. Raises Conflict while it is disabled, InUse while a server's frames are carried."""
        _check_enabled(row)
        parent = tx.get(Port, row.port_id)
        carried = db.sub_ports_of(tx, [row.id]).get(row.id, [])
        if carried and parent.device_id:
            raise refusal("TrunkInUse", f"Trunk {row.id} is currently in use.")
        for sub_port in carried:
            subports.free(tx, tx.get(Port, sub_port.id))
        tx.delete(row)
        self._tell(tx, ctx, parent)

    # -- what it carries

    async def add(self, ctx: Context, id: str, wanted: Sequence[Carried]) -> Found[Trunk]:
        """The trunk carries these ports too. Raises NotFound, BadRequest, Conflict, InUse."""

        def record(tx: Tx) -> Found[Trunk]:
            trunk = self._permitted(tx, ctx, id, "add_subports")
            parent = tx.get(Port, trunk.port_id)
            self._carry(tx, ctx, trunk, parent, wanted)
            return self._changed(tx, ctx, trunk, parent)

        return await self._write(record, ctx, "a trunk carries more ports")

    async def remove(self, ctx: Context, id: str, port_ids: Sequence[str]) -> Found[Trunk]:
        """The trunk doesn't carry these ports any more. Raises NotFound when it doesn't already, Conflict."""

        def record(tx: Tx) -> Found[Trunk]:
            trunk = self._permitted(tx, ctx, id, "remove_subports")
            for port_id in port_ids:
                row = tx.first(SubPort, id=port_id)
                if row is None or row.trunk_id != trunk.id:
                    raise refusal(
                        "SubPortNotFound",
                        f"SubPort on trunk {trunk.id} with parent port {port_id} could not be found.",
                    )
                subports.free(tx, tx.get(Port, port_id))
            return self._changed(tx, ctx, trunk, tx.get(Port, trunk.port_id))

        return await self._write(record, ctx, "a trunk carries fewer ports")

    def _permitted(self, tx: Tx, ctx: Context, id: str, rule: str) -> Trunk:
        row = self.visible(tx, ctx, id)
        self._pass(ctx, (rule,), self.target(tx, row))
        _check_enabled(row)
        return row

    def _changed(self, tx: Tx, ctx: Context, trunk: Trunk, parent: Port) -> Found[Trunk]:
        """The trunk as it is now; its host says when that is real."""
        changed = tx.change(trunk, status=subports.DOWN, updated_at=tx.now)
        self._tell(tx, ctx, parent)
        return self.found(tx, [changed])

    def _carry(self, tx: Tx, ctx: Context, trunk: Trunk, parent: Port, wanted: Sequence[Carried]) -> None:
        taken = db.sub_ports_of(tx, [trunk.id]).get(trunk.id, [])
        first = max((row.position for row in taken), default=-1) + 1
        network = tx.get(Network, parent.network_id)
        for position, (port_id, kind, tag) in enumerate(wanted, first):
            port = self._own_port(tx, ctx, port_id)
            self._check_carriable(tx, trunk, parent, port)
            own = tx.get(Network, port.network_id)
            if own.mtu > network.mtu:
                raise refusal(
                    "SubPortMtuGreaterThanTrunkPortMtu",
                    f"MTU {own.mtu} of subport {port.id} cannot be greater than MTU {network.mtu} of trunk {trunk.id}.",
                )
            number = tag if tag is not None else _inherited(own)
            if tx.count(SubPort, trunk_id=trunk.id, segmentation_type=kind, segmentation_id=number):
                raise refusal(
                    "DuplicateSubPort",
                    f"segmentation_type {kind} and segmentation_id {number} already in use on trunk {trunk.id}.",
                )
            tx.insert(
                SubPort(
                    id=port.id,
                    trunk_id=trunk.id,
                    segmentation_type=kind,
                    segmentation_id=number,
                    position=position,
                )
            )
            subports.bind(tx, port, parent.host)

    def _own_port(self, tx: Tx, ctx: Context, id: str) -> Port:
        """The port if it is the caller's own: who sees it because it is on his network doesn't get its frames."""
        port = self._ports.visible(tx, ctx, id)
        if not ctx.is_admin and port.project_id != ctx.project_id:
            raise missing("port", id)
        return port

    def _check_carriable(self, tx: Tx, trunk: Trunk, parent: Port, port: Port) -> None:
        if port.id == parent.id:
            raise _not_eligible(port.id)
        _check_unused(tx, port.id)
        if port.device_id:
            raise refusal(
                "PortInUse",
                f"Unable to complete operation on port {port.id} for network {port.network_id}. Port already has an "
                f"attached device {port.device_id}.",
            )

    def _tell(self, tx: Tx, ctx: Context, parent: Port) -> None:
        if parent.status == "ACTIVE":
            self.room.tell(tx, ctx, [parent.host])


def _check_unused(tx: Tx, port_id: str) -> None:
    """Raises InUse for a port that carries others already, or is carried."""
    if tx.count(SubPort, id=port_id):
        raise refusal("TrunkPortInUse", f"Port {port_id} is in use by another trunk.")
    if tx.count(Trunk, port_id=port_id):
        raise _not_eligible(port_id)


def _check_enabled(row: Trunk) -> None:
    if not row.admin_state_up:
        raise refusal("TrunkDisabled", f"Trunk {row.id} is currently disabled.")


def _inherited(network: Network) -> int:
    if network.network_type != "vlan" or network.segmentation_id is None:
        raise invalid(f"Segmentation details of network {network.id} can't be inherited: it is no vlan network")
    return network.segmentation_id


def _not_eligible(port_id: str) -> Exception:
    return refusal(
        "ParentPortInUse",
        f"Port {port_id} is currently in use and is not eligible for use as a parent port.",
    )
