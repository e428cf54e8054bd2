"""What users do to networks, at random: subnets, ports, security groups, routers, floating IPs."""

from typing import Any

from micronova.context import Context
from micronova.network.db import FloatingIp, Network, Port, Router, Rule, SecurityGroup, Subnet
from micronova.network.router_interfaces import Asked
from micronova.sim.asking import ADMIN, Asking, Habit, create

OUTSIDE = "203.0.113.0/28"
"""So few addresses that gateways and floating IPs run out of them."""


class NetworkUsers(Asking):
    """Users of networks. `outside` is the external network that everybody's routers may lead to."""

    outside = ""

    def network_habits(self) -> list[Habit]:
        """What they do, and how often."""
        return [
            (4, self._create_network),
            (2, self._change_network),
            (2, self._delete_network),
            (4, self._create_subnet),
            (2, self._change_subnet),
            (2, self._delete_subnet),
            (5, self._create_port),
            (4, self._change_port),
            (4, self._delete_port),
            (3, self._create_group),
            (6, self._create_rule),
            (3, self._delete_rule),
            (1, self._delete_group),
            (2, self._create_router),
            (5, self._join_router),
            (2, self._part_router),
            (3, self._change_router),
            (1, self._delete_router),
            (4, self._create_floating_ip),
            (5, self._move_floating_ip),
            (2, self._delete_floating_ip),
        ]

    # -- networks

    async def _create_network(self, ctx: Context) -> None:
        body = {"name": self._name("network")}
        kind = self._dice.weighed(((4, ""), (2, "vlan"), (1, "vxlan"), (2, "flat")))
        if kind:
            # who names a type must be an administrator
            body |= {"provider:network_type": kind, "tenant_id": ctx.project_id}
            ctx = ADMIN
        self._ask(ctx, f"creates {kind} {body['name']}", lambda api: create(api.network.networks, ctx, body))

    async def _change_network(self, ctx: Context) -> None:
        body = {"mtu": self._dice.number(1280, 1500), "admin_state_up": self._dice.happens(0.8)}
        await self._change(ctx, Network, body, lambda api: api.network.networks)

    async def _delete_network(self, ctx: Context) -> None:
        await self._delete(ctx, Network, lambda api: api.network.networks)

    async def _create_subnet(self, ctx: Context) -> None:
        network = await self._pick(ctx, Network)
        if network is None:
            return
        cidrs = ("10.1.0.0/28", "10.2.0.0/29", "10.3.0.0/24", "fd00:1::/64")
        body: dict[str, Any] = {"network_id": network.id, "name": self._name("subnet"), "cidr": self._dice.one(cidrs)}
        body["ip_version"] = 6 if ":" in body["cidr"] else 4
        if body["ip_version"] == 6 and self._dice.happens(0.7):
            body.update(ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
        self._ask(ctx, f"creates {body['name']} {body['cidr']}", lambda api: create(api.network.subnets, ctx, body))

    async def _change_subnet(self, ctx: Context) -> None:
        body: dict[str, Any] = {"dns_nameservers": [f"9.9.9.{self._dice.number(1, 9)}"]}
        if self._dice.happens(0.3):
            body = {"gateway_ip": None}
        await self._change(ctx, Subnet, body, lambda api: api.network.subnets)

    async def _delete_subnet(self, ctx: Context) -> None:
        await self._delete(ctx, Subnet, lambda api: api.network.subnets)

    async def _create_port(self, ctx: Context) -> None:
        network = await self._pick(ctx, Network)
        if network is None:
            return
        body: dict[str, Any] = {"network_id": network.id, "name": self._name("port")}
        if self._dice.happens(0.3):
            body["fixed_ips"] = [{"ip_address": f"10.1.0.{self._dice.number(2, 14)}"}]
        if self._dice.happens(0.2):
            body["mac_address"] = f"fa:16:3e:00:00:0{self._dice.number(1, 3)}"
        self._ask(ctx, f"creates {body['name']}", lambda api: create(api.network.ports, ctx, body))

    async def _change_port(self, ctx: Context) -> None:
        body: dict[str, Any] = {"name": self._name("port")}
        match self._dice.number(1, 4):
            case 1:
                body = {"admin_state_up": self._dice.happens(0.5)}
            case 2:
                body = {"fixed_ips": [{"ip_address": f"10.1.0.{self._dice.number(2, 14)}"}]}
            case 3:
                group = await self._pick(ctx, SecurityGroup)
                body = {"security_groups": [group.id] if group else []}
        await self._change(ctx, Port, body, lambda api: api.network.ports)

    async def _delete_port(self, ctx: Context) -> None:
        await self._delete(ctx, Port, lambda api: api.network.ports)

    # -- security groups

    async def _create_group(self, ctx: Context) -> None:
        body = {"name": self._name("group")}
        self._ask(ctx, f"creates {body['name']}", lambda api: create(api.network.security_groups, ctx, body))

    async def _create_rule(self, ctx: Context) -> None:
        group, other = await self._pick(ctx, SecurityGroup), await self._pick(ctx, SecurityGroup)
        if group is None:
            return
        port = self._dice.number(1, 4)
        body: dict[str, Any] = {"security_group_id": group.id, "direction": "ingress", "protocol": "tcp"}
        body |= {"port_range_min": port, "port_range_max": port + self._dice.number(0, 2)}
        if other is not None and self._dice.happens(0.5):
            body["remote_group_id"] = other.id
        self._ask(
            ctx,
            f"opens {group.name} for {port}",
            lambda api: create(api.network.security_group_rules, ctx, body),
        )

    async def _delete_rule(self, ctx: Context) -> None:
        await self._delete(ctx, Rule, lambda api: api.network.security_group_rules)

    async def _delete_group(self, ctx: Context) -> None:
        await self._delete(ctx, SecurityGroup, lambda api: api.network.security_groups)

    # -- routers

    async def _create_router(self, ctx: Context) -> None:
        body: dict[str, Any] = {"name": self._name("router")}
        if self._dice.happens(0.7):
            body["external_gateway_info"] = {"network_id": self.outside}
        self._ask(ctx, f"creates {body['name']}", lambda api: create(api.network.routers, ctx, body))

    async def _join_router(self, ctx: Context) -> None:
        router, subnet = await self._pick(ctx, Router), await self._pick(ctx, Subnet)
        if router is None or subnet is None:
            return
        asked = Asked(subnet_id=subnet.id)
        what = f"joins {router.name} with {subnet.name or subnet.id}"
        self._ask(ctx, what, lambda api: api.network.add_router_interface(ctx, router.id, asked))

    async def _part_router(self, ctx: Context) -> None:
        router, subnet = await self._pick(ctx, Router), await self._pick(ctx, Subnet)
        if router is None or subnet is None:
            return
        asked = Asked(subnet_id=subnet.id)
        what = f"parts {router.name} from {subnet.name or subnet.id}"
        self._ask(ctx, what, lambda api: api.network.remove_router_interface(ctx, router.id, asked))

    async def _change_router(self, ctx: Context) -> None:
        body: dict[str, Any] = {"admin_state_up": self._dice.happens(0.7)}
        match self._dice.number(1, 3):
            case 1:
                body = {"external_gateway_info": {"network_id": self.outside} if self._dice.happens(0.7) else {}}
            case 2:
                hop = f"10.1.0.{self._dice.number(2, 14)}"
                body = {"routes": [{"destination": "198.51.100.0/24", "nexthop": hop}]}
        await self._change(ctx, Router, body, lambda api: api.network.routers)

    async def _delete_router(self, ctx: Context) -> None:
        await self._delete(ctx, Router, lambda api: api.network.routers)

    # -- floating IPs

    async def _create_floating_ip(self, ctx: Context) -> None:
        body: dict[str, Any] = {"floating_network_id": self.outside, "description": self._name("floating")}
        port = await self._pick(ctx, Port) if self._dice.happens(0.5) else None
        if port is not None:
            body["port_id"] = port.id
        if self._dice.happens(0.2):
            body["fixed_ip_address"] = f"10.1.0.{self._dice.number(2, 14)}"
        self._ask(ctx, f"creates {body['description']}", lambda api: create(api.network.floating_ips, ctx, body))

    async def _move_floating_ip(self, ctx: Context) -> None:
        port = await self._pick(ctx, Port) if self._dice.happens(0.8) else None
        body = {"port_id": port.id if port else None}
        await self._change(ctx, FloatingIp, body, lambda api: api.network.floating_ips)

    async def _delete_floating_ip(self, ctx: Context) -> None:
        await self._delete(ctx, FloatingIp, lambda api: api.network.floating_ips)
