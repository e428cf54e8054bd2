"""Who has which address: given one at a time, each at most once, in the transaction that needs it.

The next address is the one after the highest given, so that an address just given back rests for a while; at the end of
a pool a few random ones are tried, and only in a nearly full pool are the gaps searched in order.
"""

from collections.abc import Collection, Sequence

import msgspec

from micronova.db import Tx
from micronova.network import db, ipam
from micronova.network.db import Address, FixedIp, Port, Subnet
from micronova.network.refusals import invalid, refusal
from micronova.network.room import Room

PROBES = 8
WINDOW = 256
ROUTER_OWNER = "network:router"

Wanted = tuple[str | None, str | None]
"""(subnet id, address): either may be left open."""


class Claimant(msgspec.Struct, frozen=True):
    """A port that wants addresses."""

    port_id: str
    network_id: str
    mac: str
    device_owner: str

    @property
    def is_router(self) -> bool:
        return self.device_owner.startswith(ROUTER_OWNER)


def claimant(port: Port) -> Claimant:
    return Claimant(port.id, port.network_id, port.mac, port.device_owner)


class Addresses:
    """The addresses of one network within a transaction."""

    def __init__(self, room: Room, tx: Tx, network_id: str) -> None:
        self._room = room
        self._tx = tx
        self._network_id = network_id
        self.subnets: list[Subnet] = tx.find(Subnet, network_id=network_id, order=(("created_at", True), ("id", True)))
        self._by_id: dict[str, Subnet] = db.by_id(self.subnets)

    def give_any(self, who: Claimant) -> tuple[FixedIp, ...]:
        """One address of each version the network has, and all that follow from the MAC.

        Raises Conflict when a version has none left, or no subnet is for this kind of port.
        """
        fitting = [subnet for subnet in self.subnets if _fits(subnet, who)]
        if self.subnets and not fitting:
            raise refusal(
                "IpAddressGenerationFailureNoMatchingSubnet", "No valid service subnet for the given device owner."
            )
        found = []
        for version in (4, 6):
            these = [s for s in fitting if s.ip_version == version and not automatic(s)]
            if these:
                found.append(self._give_from(these, who))
        return (*found, *self._give_automatic(who, ()))

    def give(self, who: Claimant, wanted: Sequence[Wanted]) -> tuple[FixedIp, ...]:
        """The addresses asked for, and all that follow from the MAC. Raises what makes one of them impossible."""
        return tuple(self._give_more([], who, wanted))

    def change(self, port: Port, who: Claimant, wanted: Sequence[Wanted]) -> tuple[FixedIp, ...]:
        """The port has these addresses and no others; those it keeps were never given back."""
        old = {(one.subnet_id, one.ip): one for one in port.fixed_ips}
        kept: list[FixedIp] = []
        rest: list[Wanted] = []
        for subnet_id, ip in wanted:
            same = next(
                (o for o in old.values() if o not in kept and subnet_id in (None, o.subnet_id) and ip in (None, o.ip)),
                None,
            )
            if same is not None and not (automatic(self._by_id[same.subnet_id]) and port.mac != who.mac):
                kept.append(same)
            else:
                rest.append((subnet_id, ip))
        self.take_back(port, [one for one in port.fixed_ips if one not in kept])
        return tuple(self._give_more(kept, who, rest))

    def give_automatic(self, subnet: Subnet, who: Claimant) -> FixedIp:
        """The address that follows from the MAC on this subnet."""
        return self._give_this(subnet, ipam.eui64(subnet.cidr, who.mac), who)

    def take_back(self, port: Port, these: Sequence[FixedIp]) -> None:
        """These addresses are free again."""
        gone = {(one.subnet_id, one.ip) for one in these}
        for address in self._tx.find(Address, port_id=port.id) if gone else ():
            if (address.subnet_id, address.ip) in gone:
                self._tx.delete(address)

    # -- inside

    def _give_more(self, found: list[FixedIp], who: Claimant, wanted: Sequence[Wanted]) -> list[FixedIp]:
        """What the port has, with what it asks for, with what follows from its MAC."""
        placed = [self._place(one, who) for one in wanted]
        # first those that name an address, so that none of them is given to one that doesn't
        for subnet, ip in sorted(placed, key=lambda one: one[1] is None):
            if not automatic(subnet) or who.is_router:
                found.append(self._give_from([subnet], who) if ip is None else self._give_this(subnet, ip, who))
        return [*found, *self._give_automatic(who, {one.subnet_id for one in found})]

    def _give_automatic(self, who: Claimant, have: Collection[str]) -> list[FixedIp]:
        if who.is_router:
            return []
        return [
            self.give_automatic(subnet, who)
            for subnet in self.subnets
            if automatic(subnet) and subnet.id not in have and _fits(subnet, who)
        ]

    def _place(self, wanted: Wanted, who: Claimant) -> tuple[Subnet, str | None]:
        """The subnet that a wish is for. Raises BadRequest when it can't be fulfilled on this network."""
        subnet_id, ip = wanted
        if subnet_id is not None:
            subnet = self._by_id.get(subnet_id)
            if subnet is None:
                raise invalid(
                    f"Failed to create port on network {self._network_id}, because fixed_ips included invalid subnet "
                    f"{subnet_id}"
                )
        else:
            subnet = next((s for s in self.subnets if ip is not None and _within(s, ip)), None)
            if subnet is None:
                raise refusal(
                    "InvalidIpForNetwork",
                    f"IP address {ip} is not a valid IP for any of the subnets on the specified network.",
                )
        if ip is None:
            return subnet, None
        if not _within(subnet, ip):
            raise refusal("InvalidIpForSubnet", f"IP address {ip} is not a valid IP for the specified subnet.")
        if automatic(subnet) and not who.is_router and ip != ipam.eui64(subnet.cidr, who.mac):
            raise refusal(
                "AllocationOnAutoAddressSubnet",
                f"IPv6 address {ip} can not be directly assigned to a port on subnet {subnet.id} as the subnet is "
                "configured for automatic addresses",
            )
        return subnet, ip

    def _give_from(self, subnets: Sequence[Subnet], who: Claimant) -> FixedIp:
        for subnet in subnets:
            for first, last in subnet.pools:
                free = self._free(subnet, ipam.number(first), ipam.number(last))
                if free is not None:
                    return self._record(subnet, free, who)
        if len(subnets) == 1:
            raise refusal("IpAddressGenerationFailure", f"No more IP addresses available for subnet {subnets[0].id}.")
        raise refusal("IpAddressGenerationFailure", f"No more IP addresses available on network {self._network_id}.")

    def _give_this(self, subnet: Subnet, ip: str, who: Claimant) -> FixedIp:
        value = ipam.number(ip)
        held = ip == self._room.strategy_of(self._tx, subnet.network_id).gateway_here(subnet) and not who.is_router
        if held or db.is_taken(self._tx, subnet.id, ipam.key(value, subnet.ip_version)):
            raise refusal(
                "IpAddressAlreadyAllocated", f"IP address {ip} already allocated in subnet {subnet.id}", ip=ip
            )
        return self._record(subnet, value, who)

    def _free(self, subnet: Subnet, first: int, last: int) -> int | None:
        """A free number in the range, or None when all are given."""
        tx, version = self._tx, subnet.ip_version
        ends = ipam.key(first, version), ipam.key(last, version)
        highest = db.highest_taken(tx, subnet.id, *ends)
        after = first if highest is None else int(highest, 16) + 1
        after += self._room.clock.randbelow(self._room.spread) if self._room.spread > 1 else 0
        if after <= last:
            return after
        for _ in range(PROBES):
            value = first + self._room.clock.randbelow(last - first + 1)
            if not db.is_taken(tx, subnet.id, ipam.key(value, version)):
                return value
        return self._gap(subnet, first, last)

    def _gap(self, subnet: Subnet, first: int, last: int) -> int | None:
        """The lowest free number, looked for in windows that grow."""
        window = WINDOW
        while first <= last:
            ends = ipam.key(first, subnet.ip_version), ipam.key(last, subnet.ip_version)
            taken = [int(number, 16) for number in db.taken(self._tx, subnet.id, *ends, most=window)]
            free = ipam.free_within(first, taken)
            if free - first < window:
                return free if free <= last else None
            # the whole window was one unbroken row: go on behind it
            first, window = free, window * 4
        return None

    def _record(self, subnet: Subnet, value: int, who: Claimant) -> FixedIp:
        ip = ipam.text(value, subnet.ip_version)
        self._tx.insert(
            Address(
                id=f"{subnet.id}/{ip}",
                subnet_id=subnet.id,
                number=ipam.key(value, subnet.ip_version),
                ip=ip,
                network_id=subnet.network_id,
                port_id=who.port_id,
            )
        )
        return FixedIp(subnet.id, ip)


def automatic(subnet: Subnet) -> bool:
    """Whether guests make their addresses on this subnet from their MACs."""
    return ipam.is_automatic(subnet.ipv6_address_mode) or ipam.is_automatic(subnet.ipv6_ra_mode)


def _fits(subnet: Subnet, who: Claimant) -> bool:
    """Whether the subnet is for this kind of port; one for every kind is for this one too."""
    return not subnet.service_types or who.device_owner in subnet.service_types


def _within(subnet: Subnet, ip: str) -> bool:
    first, last = ipam.usable(ipam.network_of(subnet.cidr))
    return subnet.ip_version == ipam.version_of(ip) and first <= ipam.number(ip) <= last
