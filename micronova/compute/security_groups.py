"""A server's security groups: those of its ports, which the network room keeps; here by the server and by name."""

from typing import Any

import msgspec

from micronova.compute.base import ComputeBase
from micronova.context import Context
from micronova.db import Tx
from micronova.network import server_groups
from micronova.network.server_groups import GroupWithRules


class Groups(ComputeBase):
    """The part of the compute manager that puts servers into security groups."""

    async def security_groups(self, ctx: Context, id: str) -> list[dict[str, Any]]:
        """The server's groups with the rules that let packets in, by name, as the API shows them."""

        def read(tx: Tx) -> list[dict[str, Any]]:
            self.owned(tx, ctx, id, "os-security-groups:list")
            return [show_group(found) for found in server_groups.groups_of(tx, id)]

        return await self.db.read(read)

    async def add_security_group(self, ctx: Context, id: str, name: str) -> None:
        """All the server's ports are in the group too.

        Raises NotFound for a group that is not there, Conflict when several have that name.
        """

        def add(tx: Tx) -> None:
            server = self.changeable(tx, ctx, id, "os-security-groups:add")
            owner = msgspec.structs.replace(ctx, project_id=server.project_id)
            server_groups.join(self.network.ports, tx, owner, id, name)

        await self.db.write(add, ctx, why="security group added by request")

    async def remove_security_group(self, ctx: Context, id: str, name: str) -> None:
        """None of the server's ports is in the group. Raises NotFound when none was."""

        def remove(tx: Tx) -> None:
            server = self.changeable(tx, ctx, id, "os-security-groups:remove")
            owner = msgspec.structs.replace(ctx, project_id=server.project_id)
            server_groups.leave(self.network.ports, tx, owner, id, name)

        await self.db.write(remove, ctx, why="security group removed by request")


def show_group(found: GroupWithRules) -> dict[str, Any]:
    """A security group as Nova shows it."""
    group = found.group
    return {
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "tenant_id": group.project_id,
        "rules": [_rule(rule, found.others) for rule in found.rules],
    }


def _rule(rule: Any, others: dict[str, Any]) -> dict[str, Any]:
    other = others.get(rule.remote_group_id or "")
    anywhere = "0.0.0.0/0" if rule.ethertype == "IPv4" else "::/0"
    return {
        "id": rule.id,
        "parent_group_id": rule.group_id,
        "ip_protocol": rule.protocol,
        "from_port": rule.port_min,
        "to_port": rule.port_max,
        "ip_range": {} if rule.remote_group_id else {"cidr": rule.remote_prefix or anywhere},
        "group": {"name": other.name, "tenant_id": other.project_id} if other else {},
    }
