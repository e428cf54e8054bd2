"""Subnets: which address ranges fit on a network, and when one may go."""

import ipaddress
from typing import Any

from micronova.context import Context
from micronova.db import Not, Tx
from micronova.network import address_scopes, db, ipam, networks, reach, resources, subnet_pools
from micronova.network.addresses import ROUTER_OWNER, Addresses, automatic, claimant
from micronova.network.attributes import Values
from micronova.network.collection import Collection, Where, get
from micronova.network.db import Address, Network, Port, Subnet, SubnetPool
from micronova.network.refusals import bad, bad_for, invalid, refusal

AUTO_PREFIX = 64
SERVICES = ("network:", "neutron:", "compute:")
"""How owners of ports begin that a subnet may be kept for."""
LONGEST_WITH_DHCP = {4: 30, 6: 126}


class Subnets(Collection[Subnet]):
    """All subnets."""

    resource = resources.SUBNET
    row = Subnet

    def scopes(self, tx: Tx, ctx: Context) -> list[Where]:
        reach = networks.ids_in_reach(tx, ctx)
        return [{"project_id": ctx.project_id}, {"network_id": reach, "project_id": Not(ctx.project_id)}]

    def sees(self, tx: Tx, ctx: Context, row: Subnet) -> bool:
        if row.project_id == ctx.project_id:
            return True
        return networks.open_to(ctx, tx.get(Network, row.network_id))

    def target(self, tx: Tx, row: Subnet) -> dict[str, Any]:
        return networks.owner_target(tx.get(Network, row.network_id), row.project_id)

    def new_target(self, tx: Tx, ctx: Context, values: Values) -> dict[str, Any]:
        return networks.owner_target(networks.usable(tx, ctx, values["network_id"]), values["project_id"])

    def insert(self, tx: Tx, ctx: Context, values: Values) -> Subnet:
        """Store a range that fits with the network's others; ports that make their own addresses get one."""
        network = networks.usable(tx, ctx, values["network_id"])
        values = self._with_range(tx, ctx, values)
        net = ipam.network_of(values["cidr"])
        self._check_range(tx, network, net, values["ip_version"])
        self._check_scope(tx, network, net.version, values.get("subnetpool_id"))
        values["ip_version"] = net.version
        _check_modes(values, net)
        _check_service_types(values)
        asked = ipam.Gateway("gateway_ip" in values, values.get("gateway_ip"))
        values["gateway_ip"] = _gateway(net, asked)
        values["pools"] = _pools(net, values["pools"], values["gateway_ip"])
        _check_versions(values, net.version)
        subnet = tx.insert(Subnet(**self.standard(tx, values)))
        tx.change(network, subnet_ids=(*network.subnet_ids, subnet.id), updated_at=tx.now)
        if automatic(subnet):
            self._give_to_ports(tx, subnet)
        self.room.tell(tx, ctx, reach.hosts(tx, [network.id]))
        return subnet

    def alter(self, tx: Tx, ctx: Context, row: Subnet, values: Values) -> Subnet:
        """Store the new values; hosts that have the network follow."""
        net = ipam.network_of(row.cidr)
        values = dict(values)
        _check_service_types(values)
        if values.get("gateway_ip") is not None:
            values["gateway_ip"] = ipam.check_gateway(net, values["gateway_ip"])
        if "gateway_ip" in values:
            self._check_gateway_free(tx, row, values["gateway_ip"])
        gateway = values.get("gateway_ip", row.gateway_ip)
        if values.get("pools") is not None:
            values["pools"] = ipam.check_pools(net, values["pools"], gateway)
        else:
            values.pop("pools", None)
            ipam.check_gateway_outside(row.pools, gateway)
        if values.get("enable_dhcp") and net.prefixlen > LONGEST_WITH_DHCP[net.version]:
            raise _too_small()
        if values.get("enable_dhcp") is False and (row.ipv6_ra_mode or row.ipv6_address_mode):
            raise invalid("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
        _check_versions(values, net.version)
        changed = self.touch(tx, row, values)
        if changed is not row:
            self.room.tell(tx, ctx, reach.hosts(tx, [row.network_id]))
        return changed

    def erase(self, tx: Tx, ctx: Context, row: Subnet) -> None:
        """The range is gone; ports lose the addresses they made themselves. Raises InUse while others are given."""
        given = tx.find(Address, subnet_id=row.id)
        ports = db.find_all(tx, Port, (address.port_id for address in given))
        keeps = [p for p in ports.values() if not automatic(row) or p.device_owner.startswith(ROUTER_OWNER)]
        if keeps:
            raise refusal(
                "SubnetInUse",
                f"Unable to complete operation on subnet {row.id}: One or more ports have an IP allocation from this "
                "subnet.",
            )
        for address in given:
            tx.delete(address)
        for port in ports.values():
            left = tuple(one for one in port.fixed_ips if one.subnet_id != row.id)
            tx.change(port, fixed_ips=left, updated_at=tx.now)
        network = get(tx, Network, "network", row.network_id)
        tx.change(network, subnet_ids=tuple(id for id in network.subnet_ids if id != row.id), updated_at=tx.now)
        tx.delete(row)
        self.room.tell(tx, ctx, reach.hosts(tx, [row.network_id]))

    def _with_range(self, tx: Tx, ctx: Context, values: Values) -> Values:
        """The values with a range: the one given, or one from a pool."""
        values = dict(values)
        by_default = values.pop("use_default_subnetpool", False)
        if by_default and values.get("subnetpool_id") is not None:
            raise bad_for("subnets", "subnetpool_id and use_default_subnetpool cannot both be specified")
        if by_default:
            values["subnetpool_id"] = subnet_pools.default_pool(tx, values["ip_version"] or 4)
        if values.get("subnetpool_id") is None:
            if values.pop("prefixlen", None) is not None:
                raise bad_for("subnets", "a prefix length needs a subnet pool")
            if values["cidr"] is None:
                raise bad_for("subnets", "a subnetpool must be specified in the absence of a cidr")
            return values
        if values["cidr"] is not None and values.get("prefixlen") is not None:
            raise bad_for("subnets", "cidr and prefixlen must not be supplied together")
        cidr = subnet_pools.cut(self.room, tx, ctx, values["subnetpool_id"], values)
        values.pop("prefixlen", None)
        return {**values, "cidr": cidr}

    def _give_to_ports(self, tx: Tx, subnet: Subnet) -> None:
        addresses = Addresses(self.room, tx, subnet.network_id)
        for port in tx.find(Port, network_id=subnet.network_id):
            if not port.device_owner.startswith(ROUTER_OWNER):
                fixed = addresses.give_automatic(subnet, claimant(port))
                tx.change(port, fixed_ips=(*port.fixed_ips, fixed), updated_at=tx.now)

    def _check_range(self, tx: Tx, network: Network, net: ipam.IPv4Or6, version: int | None) -> None:
        if version not in (None, net.version):
            raise invalid(f"cidr '{net}' does not match the ip_version '{version}'")
        reserved = self.room.options.link_range
        if ipam.overlapping(net, [reserved]):
            raise invalid(f"cidr '{net}' overlaps with {reserved}, which this cloud uses for itself")
        others = [subnet.cidr for subnet in tx.find(Subnet, network_id=network.id)]
        if ipam.overlapping(net, others):
            raise invalid(f"Requested subnet with cidr: {net} for network: {network.id} overlaps with another subnet")

    def _check_scope(self, tx: Tx, network: Network, version: int, pool_id: str | None) -> None:
        """All subnets of an IP version on a network are from pools of one address scope, or of none."""
        pool = tx.first(SubnetPool, id=pool_id) if pool_id is not None else None
        others = tx.find(Subnet, network_id=network.id, ip_version=version)
        address_scopes.check_affinity(tx, others, pool.address_scope_id if pool is not None else None)

    def _check_gateway_free(self, tx: Tx, row: Subnet, gateway: str | None) -> None:
        if gateway == row.gateway_ip:
            return
        address = tx.first(Address, subnet_id=row.id, ip=gateway) if gateway is not None else None
        if address is None and row.gateway_ip is not None:
            held = tx.first(Address, subnet_id=row.id, ip=row.gateway_ip)
            port = tx.get(Port, held.port_id) if held is not None else None
            if port is None or not port.device_owner.startswith(ROUTER_OWNER):
                return
            gateway, address = row.gateway_ip, held
        if address is not None:
            raise refusal(
                "GatewayIpInUse",
                f"Gateway ip {gateway} already in use by port {address.port_id}. Unable to update.",
            )


def _gateway(net: ipam.IPv4Or6, asked: ipam.Gateway) -> str | None:
    if not asked.given:
        return ipam.default_gateway(net)
    return None if asked.ip is None else ipam.check_gateway(net, asked.ip)


def _pools(net: ipam.IPv4Or6, asked: tuple[ipam.Pool, ...] | None, gateway: str | None) -> tuple[ipam.Pool, ...]:
    """The asked pools, or all but the gateway."""
    return ipam.default_pools(net, gateway) if asked is None else ipam.check_pools(net, asked, gateway)


def _check_modes(values: Values, net: ipam.IPv4Or6) -> None:
    """IPv6 modes fit the range and each other (Networking API reference, "ipv6_address_mode and ipv6_ra_mode")."""
    ra, address = values["ipv6_ra_mode"], values["ipv6_address_mode"]
    if values["enable_dhcp"] and net.prefixlen > LONGEST_WITH_DHCP[net.version]:
        raise _too_small()
    if ra is None and address is None:
        return
    if net.version == 4:
        raise invalid("ipv6_ra_mode or ipv6_address_mode is not valid when ip_version is 4")
    if not values["enable_dhcp"]:
        raise invalid("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
    if ra and address and ra != address:
        raise invalid(
            f"ipv6_ra_mode set to '{ra}' with ipv6_address_mode set to '{address}' is not valid. If both attributes "
            "are set, they must be the same value"
        )
    if (ipam.is_automatic(ra) or ipam.is_automatic(address)) and net.prefixlen != AUTO_PREFIX:
        raise invalid(
            f"Invalid CIDR {net} for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the "
            f"prefix to be /{AUTO_PREFIX}"
        )


def _check_service_types(values: Values) -> None:
    for kind in values.get("service_types", ()):
        if not kind.startswith(SERVICES):
            raise refusal(
                "InvalidSubnetServiceType", f"Subnet service type {kind} does not correspond to a valid device owner."
            )


def _too_small() -> Exception:
    return bad("Subnet has a prefix length that is incompatible with DHCP service enabled")


def _check_versions(values: Values, version: int) -> None:
    """Name servers and routes are of the subnet's IP version."""
    for server in values.get("dns_nameservers", ()):
        if ipam.version_of(server) != version:
            raise invalid(f"dns_nameserver '{server}' does not match the ip_version '{version}'")
    for destination, nexthop in values.get("host_routes", ()):
        if {ipaddress.ip_network(destination).version, ipam.version_of(nexthop)} != {version}:
            raise invalid(f"host route to {destination} via {nexthop} does not match the ip_version '{version}'")
