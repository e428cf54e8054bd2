"""Subnet pools: ranges that subnets are cut from, each piece given once."""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from micronova.context import Context
from micronova.db import Tx
from micronova.network import address_scopes, ipam, resources
from micronova.network.attributes import Values
from micronova.network.db import AddressScope, Subnet, SubnetPool
from micronova.network.refusals import invalid, missing, refusal
from micronova.network.room import Room
from micronova.network.shareable import Shareable
from micronova.network.sharing import is_given

SHORTEST = {4: 8, 6: 64}
LONGEST = {4: 32, 6: 128}
Span = tuple[int, int]


class SubnetPools(Shareable[SubnetPool]):
    """All subnet pools."""

    resource = resources.SUBNET_POOL
    row = SubnetPool

    def insert(self, tx: Tx, ctx: Context, values: Values) -> SubnetPool:
        """Store ranges of one IP version, joined where they touch."""
        values["prefixes"] = _joined(values["prefixes"])
        version = ipam.network_of(values["prefixes"][0]).version
        values["min_prefixlen"] = _given(values["min_prefixlen"], SHORTEST[version])
        values["max_prefixlen"] = _given(values["max_prefixlen"], LONGEST[version])
        values["default_prefixlen"] = _given(values["default_prefixlen"], values["min_prefixlen"])
        _check_lengths(values, version)
        self._check_only_default(tx, version, values["is_default"])
        if values["address_scope_id"] is not None:
            address_scopes.check_pool(tx, ctx, {**values, "ip_version": version}, None)
        return self.store(tx, SubnetPool(**self.standard(tx, values), ip_version=version))

    def alter(self, tx: Tx, ctx: Context, row: SubnetPool, values: Values) -> SubnetPool:
        """Store the new values; a pool grows, and never loses a range."""
        self._check_own_scope(tx, ctx, row)
        values = {name: value for name, value in values.items() if value is not None or "prefixlen" not in name}
        if "prefixes" in values:
            values["prefixes"] = _joined(values["prefixes"])
            nets = [ipam.network_of(prefix) for prefix in values["prefixes"]]
            if nets[0].version != row.ip_version or not all(_inside(ipam.network_of(p), nets) for p in row.prefixes):
                raise refusal(
                    "IllegalSubnetPoolUpdate",
                    "Illegal subnetpool update : prefixes must be a superset of existing prefixes.",
                )
        merged = {name: values.get(name, getattr(row, name)) for name in resources.PREFIX_LENGTHS}
        _check_lengths(merged, row.ip_version)
        if values.get("is_default") and not row.is_default:
            self._check_only_default(tx, row.ip_version, True)
        self._check_scope(tx, ctx, row, values)
        return self.touch(tx, row, values)

    def erase(self, tx: Tx, ctx: Context, row: SubnetPool) -> None:
        """The pool is gone. Raises BadRequest while subnets are cut from it."""
        if tx.count(Subnet, subnetpool_id=row.id):
            raise refusal(
                "SubnetPoolDeleteError", "Unable to delete subnet pool: Subnet pool has existing allocations."
            )
        self.drop(tx, row)

    def _check_own_scope(self, tx: Tx, ctx: Context, row: SubnetPool) -> None:
        """Raises BadRequest when the pool came into another project's scope: it stays as it is."""
        scope = tx.first(AddressScope, id=row.address_scope_id) if row.address_scope_id is not None else None
        if scope is not None and not ctx.is_admin and scope.project_id != ctx.project_id:
            raise refusal(
                "IllegalSubnetPoolUpdate",
                f"Illegal subnetpool update : subnetpool {row.id} cannot be updated when associated with shared "
                f"address scope {scope.id}.",
            )

    def _check_scope(self, tx: Tx, ctx: Context, row: SubnetPool, values: Values) -> None:
        """The pool as it is to be fits into its scope; hosts follow when it is another one."""
        scope_id = values.get("address_scope_id", row.address_scope_id)
        if scope_id is not None and ("prefixes" in values or scope_id != row.address_scope_id):
            prefixes = values.get("prefixes", row.prefixes)
            wanted = {"address_scope_id": scope_id, "prefixes": prefixes, "ip_version": row.ip_version}
            address_scopes.check_pool(tx, ctx, wanted, row.id)
        if scope_id != row.address_scope_id:
            self.room.tell(tx, ctx, address_scopes.move_pool(tx, row, scope_id))

    def _check_only_default(self, tx: Tx, version: int, is_default: bool) -> None:
        other = tx.first(SubnetPool, is_default=True, ip_version=version) if is_default else None
        if other is not None:
            raise invalid(
                f"A default subnetpool for this IP family has already been set. Only one default may exist per IP "
                f"family: {other.id}"
            )


def cut(room: Room, tx: Tx, ctx: Context, pool_id: str, asked: Values) -> str:
    """The range of a new subnet from the pool: the one asked for, or the first free one of the wanted length.

    Raises NotFound for a pool the caller doesn't see, BadRequest for a length that it doesn't give, Conflict when
    nothing is free.
    """
    pool = tx.first(SubnetPool, id=pool_id)
    if pool is None or not (
        ctx.is_admin or pool.shared or pool.project_id == ctx.project_id or is_given(tx, ctx.project_id, pool.id)
    ):
        raise missing("subnetpool", pool_id)
    if asked.get("ip_version") not in (None, pool.ip_version):
        raise invalid("Cannot allocate requested subnet from the available set of prefixes: IP versions differ")
    wanted = ipam.network_of(asked["cidr"]) if asked.get("cidr") else None
    length = _given(asked.get("prefixlen"), pool.default_prefixlen) if wanted is None else wanted.prefixlen
    _check_length(pool, length)
    given = tx.find(Subnet, subnetpool_id=pool.id)
    _check_quota(pool, length, [subnet for subnet in given if subnet.project_id == asked["project_id"]])
    used = [subnet.cidr for subnet in given]
    found = _first_free(pool, length, [*used, room.options.link_range]) if wanted is None else str(wanted)
    if wanted is not None and (
        not _inside(wanted, [ipam.network_of(prefix) for prefix in pool.prefixes]) or ipam.overlapping(wanted, used)
    ):
        raise _nothing("Cannot allocate requested subnet from the available set of prefixes.")
    if found is None:
        raise _nothing(f"Insufficient prefix space to allocate subnet size /{length}.")
    tx.change(pool, updated_at=tx.now)  # two that cut the same piece can't both win
    return found


def default_pool(tx: Tx, version: int) -> str:
    """The pool that subnets are cut from when none is named. Raises NotFound."""
    pool = tx.first(SubnetPool, is_default=True, ip_version=version)
    if pool is None:
        raise missing("subnetpool", "default")
    return pool.id


# -- inside


def _given(value: Any, otherwise: int) -> int:
    return otherwise if value is None else int(value)


def _joined(prefixes: Sequence[str]) -> tuple[str, ...]:
    """The ranges in order, joined where they touch. Raises BadRequest for none and for two IP versions."""
    nets = [ipam.network_of(prefix) for prefix in prefixes]
    if not nets:
        raise refusal("EmptySubnetPoolPrefixList", "Empty subnet pool prefix list.")
    if len({net.version for net in nets}) > 1:
        raise refusal("PrefixVersionMismatch", "Cannot mix IPv4 and IPv6 prefixes in a subnet pool.")
    merged: Iterable[ipam.IPv4Or6] = ipaddress.collapse_addresses(nets)  # type: ignore[type-var]
    return tuple(str(net) for net in merged)


def _inside(net: ipam.IPv4Or6, ranges: Iterable[ipam.IPv4Or6]) -> bool:
    first, last = _span(net)
    spans = [_span(other) for other in ranges if other.version == net.version]
    return any(low <= first and last <= high for low, high in spans)


def _span(net: ipam.IPv4Or6) -> Span:
    return int(net.network_address), int(net.broadcast_address)


def _check_lengths(values: Values, version: int) -> None:
    least, most, default = (values[name] for name in resources.PREFIX_LENGTHS)
    for name, value in zip(resources.PREFIX_LENGTHS, (least, most, default), strict=True):
        if value > LONGEST[version]:
            raise refusal("IllegalSubnetPoolPrefixBounds", f"Illegal prefix bounds: {name}={value} is too long.")
    if not least <= default <= most:
        raise refusal(
            "IllegalSubnetPoolPrefixBounds",
            f"Illegal prefix bounds: min_prefixlen={least}, default_prefixlen={default}, max_prefixlen={most}.",
        )


def _check_length(pool: SubnetPool, length: int) -> None:
    if length < pool.min_prefixlen:
        raise refusal(
            "MinPrefixSubnetAllocationError",
            f"Unable to allocate subnet with prefix length {length}, minimum allowed prefix is {pool.min_prefixlen}.",
        )
    if length > pool.max_prefixlen:
        raise refusal(
            "MaxPrefixSubnetAllocationError",
            f"Unable to allocate subnet with prefix length {length}, maximum allowed prefix is {pool.max_prefixlen}.",
        )


def _check_quota(pool: SubnetPool, length: int, mine: Sequence[Subnet]) -> None:
    """A project's share of the pool: addresses in IPv4, /64 ranges in IPv6 (API reference, "default_quota")."""
    if pool.default_quota is None:
        return
    unit = 32 if pool.ip_version == 4 else 64
    lengths = [length, *(ipam.network_of(subnet.cidr).prefixlen for subnet in mine)]
    if sum(2 ** max(unit - one, 0) for one in lengths) > pool.default_quota:
        raise refusal("SubnetPoolQuotaExceeded", "Per-tenant subnet pool prefix quota exceeded.")


def _first_free(pool: SubnetPool, length: int, used: Sequence[str]) -> str | None:
    """The first aligned range of this length that overlaps with none of `used`."""
    nets = [ipam.network_of(cidr) for cidr in used]
    taken = sorted(_span(net) for net in nets if net.version == pool.ip_version)
    step = 1 << (LONGEST[pool.ip_version] - length)
    for prefix in pool.prefixes:
        low, high = _span(ipam.network_of(prefix))
        at = -(-low // step) * step
        for first, last in taken:
            if first <= at + step - 1 and at <= last:
                at = -(-(last + 1) // step) * step
        if at + step - 1 <= high:
            return f"{ipam.text(at, pool.ip_version)}/{length}"
    return None


def _nothing(reason: str) -> Exception:
    return refusal("SubnetAllocationError", f"Failed to allocate subnet: {reason}")
